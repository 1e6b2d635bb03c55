//! Placement against states built by commands, as the scheduler sees them.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AGEING_STEP, AddressSource, AssignTasks, AttemptNumber, AttemptOutcome, AttemptRef, Command,
    ConnectWorker, Constraint, ConstraintOp, DataId, FinishAttempts, FinishedAttempt, Incarnation,
    LeaseTimes, LogIndex, Process, Proposal, RegisterWorker, Resources, SchedulingOrder,
    SetScheduling, Specs, StartNumber, SubmitTasks, TaskId, TaskSpec, Term, Tick, Timestamp,
};

use super::*;

mod ahead;
mod explanations;
mod queues;
mod reservations;
mod rounds;

const AMPLE: Bounds = Bounds { placements: 1_000, probes: usize::MAX };

fn words(placed: &[Assignment]) -> Vec<String> {
    placed.iter().map(|one| format!("{}@{}", one.task, one.worker)).collect()
}

struct Script {
    state: State,
    index: u64,
    now: u64,
    term: u64,
}

impl Script {
    fn new() -> Self {
        Self { state: State::new(), index: 0, now: 0, term: 0 }
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        let proposal = Proposal { proposed_at: Timestamp(self.now), command };
        self.state.apply(LogIndex(self.index), proposal).reply.unwrap();
    }

    fn worker(&mut self, id: &str, cpus: u64, labels: &[(&str, &str)]) {
        self.worker_with(id, cpu(cpus), labels);
    }

    fn memory_worker(&mut self, id: &str, memory_mib: u64) {
        self.worker_with(id, Resources { memory_mib, ..cpu(1) }, &[]);
    }

    fn larger_worker(&mut self, id: &str, cpus: u64, memory_mib: u64) {
        self.worker_with(id, Resources { memory_mib, ..cpu(cpus) }, &[]);
    }

    fn worker_with(&mut self, id: &str, total: Resources, labels: &[(&str, &str)]) {
        let worker: WorkerId = id.parse().unwrap();
        self.apply(Command::RegisterWorker(RegisterWorker {
            worker: worker.clone(),
            address: None,
            labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        }));
        self.apply(Command::ConnectWorker(ConnectWorker {
            term: Term(self.term),
            worker,
            process: Process {
                data: DataId(1),
                start: StartNumber(1),
                incarnation: Incarnation(1),
                sequence: 0,
            },
            address: None,
            address_source: AddressSource::Detected,
            granted: LeaseTimes {
                heartbeat_interval: Duration::from_secs(5),
                heartbeat_timeout: Duration::from_secs(30),
                lease: Duration::from_secs(300),
            },
            token: None,
            specs: Specs { total, ..Specs::default() },
            unfit: None,
            running: Vec::new(),
            finished: Vec::new(),
        }));
    }

    fn tasks(&mut self, count: usize, class: &Class) {
        self.tasks_with(count, class, None);
    }

    fn tasks_with(&mut self, count: usize, class: &Class, run_timeout: Option<Duration>) {
        let spec = Arc::new(TaskSpec {
            name: None,
            command: vec!["true".to_owned()],
            env: cluster_state::TextMap::default(),
            working_dir: None,
            stdin: None,
            class: Arc::new(class.clone()),
            max_attempts: 3,
            retry_backoff: Duration::from_secs(1),
            run_timeout,
            on_disconnect: cluster_state::OnDisconnect::Keep,
            labels: cluster_state::TextMap::default(),
            secret_env: cluster_state::SecretMap::default(),
            timing: None,
        });
        self.apply(Command::SubmitTasks(SubmitTasks {
            tasks: vec![spec; count],
            idempotency_key: None,
        }));
    }

    /// Returns the position in the log and the time on its clock.
    fn moment(&self) -> (LogIndex, Timestamp) {
        (LogIndex(self.index), Timestamp(self.now))
    }

    /// Places tasks, and returns the verdicts.
    fn assign(&mut self, command: AssignTasks) -> Vec<Result<(), cluster_state::Rejection>> {
        self.index += 1;
        let command = Command::AssignTasks(command);
        let proposal = Proposal { proposed_at: Timestamp(self.now), command };
        match self.state.apply(LogIndex(self.index), proposal).reply {
            Ok(cluster_state::Reply::Assigned(verdicts)) => {
                verdicts.into_iter().map(|verdict| verdict.map(drop)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn pass(&self, placer: &mut Placer, strategy: Strategy, bounds: Bounds) -> Vec<Assignment> {
        placer.pass(&self.state, self.moment(), strategy, bounds)
    }

    fn place(&self, strategy: Strategy) -> Vec<String> {
        words(&self.pass(&mut Placer::default(), strategy, AMPLE))
    }

    /// Places what can be placed.
    fn commit(&mut self, strategy: Strategy) {
        let assignments = self.pass(&mut Placer::default(), strategy, AMPLE);
        self.apply(Command::AssignTasks(AssignTasks { term: Term(self.term), assignments }));
    }

    /// The first attempts of these tasks, whose backoff is over then.
    fn fails_to_start<const N: usize>(&mut self, worker: &str, tasks: [u64; N]) {
        let outcome = AttemptOutcome::StartFailed { detail: "no such file".to_owned() };
        let failed = tasks.map(|task| FinishedAttempt {
            attempt: AttemptRef { task: TaskId(task), attempt: AttemptNumber(1) },
            outcome: outcome.clone(),
            report: None,
        });
        let worker: WorkerId = worker.parse().unwrap();
        let epoch = self.state.worker(&worker).unwrap().epoch;
        self.apply(Command::FinishAttempts(FinishAttempts {
            worker,
            epoch,
            attempts: failed.to_vec(),
        }));
        self.now += 1_000;
        self.apply(Command::Tick(Tick { term: Term(self.term), forget: Vec::new() }));
    }

    fn order(&mut self, worker: &str, order: SchedulingOrder) {
        self.apply(Command::SetScheduling(SetScheduling {
            worker: worker.parse().unwrap(),
            order,
        }));
    }

    fn pending(&self, task: u64) -> Option<PendingReason> {
        PendingReason::of(&self.state, self.state.task(TaskId(task)).unwrap(), Timestamp(self.now))
    }
}

fn cpu(cpus: u64) -> Resources {
    Resources { cpu_milli: cpus * 1_000, ..Resources::default() }
}

fn class(priority: u8, cpus: u64) -> Class {
    Class {
        priority,
        resources: cpu(cpus),
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    }
}

#[test]
fn a_task_that_failed_to_start_goes_elsewhere_while_another_could_take_it() {
    let mut script = Script::new();
    script.worker("w1", 2, &[]);
    script.tasks(2, &class(50, 1));
    script.commit(Strategy::Spread);
    script.fails_to_start("w1", [1, 2]);
    assert_eq!(script.place(Strategy::Spread), ["t1@w1", "t2@w1"], "there is no other");

    script.worker("w2", 1, &[]);
    assert_eq!(script.place(Strategy::Binpack), ["t1@w2"], "the other one has room for one");
    script.tasks(1, &class(50, 1));
    assert_eq!(script.place(Strategy::Spread), ["t1@w2", "t3@w1"]);
}

#[test]
fn spread_takes_the_emptiest_worker() {
    let mut script = Script::new();
    script.worker("w1", 4, &[]);
    script.worker("w2", 4, &[]);
    script.tasks(3, &class(50, 1));
    assert_eq!(script.place(Strategy::Spread), ["t1@w1", "t2@w2", "t3@w1"]);
}

#[test]
fn binpack_fills_one_worker_first() {
    let mut script = Script::new();
    script.worker("w1", 2, &[]);
    script.worker("w2", 2, &[]);
    script.tasks(3, &class(50, 1));
    assert_eq!(script.place(Strategy::Binpack), ["t1@w1", "t2@w1", "t3@w2"]);
}

#[test]
fn a_worker_is_never_given_more_than_it_has() {
    let mut script = Script::new();
    script.worker("w1", 3, &[]);
    script.tasks(5, &class(50, 2));
    assert_eq!(script.place(Strategy::Spread), ["t1@w1"]);
}

#[test]
fn higher_priority_goes_first() {
    let mut script = Script::new();
    script.worker("w1", 1, &[]);
    script.tasks(1, &class(10, 1));
    script.tasks(1, &class(90, 1));
    assert_eq!(script.place(Strategy::Spread), ["t2@w1"]);
}

#[test]
fn waiting_makes_up_for_priority() {
    let mut script = Script::new();
    script.worker("w1", 1, &[]);
    script.tasks(1, &class(10, 1));
    script.now = u64::try_from(81 * AGEING_STEP.as_millis()).unwrap();
    script.tasks(1, &class(90, 1));
    assert_eq!(script.place(Strategy::Spread), ["t1@w1"]);
}

#[test]
fn constraints_and_a_named_worker_are_kept() {
    let mut script = Script::new();
    script.worker("w1", 4, &[("zone", "a")]);
    script.worker("w2", 4, &[("zone", "b")]);
    let zone = Constraint { label: "zone".to_owned(), op: ConstraintOp::Equals("b".to_owned()) };
    script.tasks(1, &Class { constraints: vec![zone], ..class(50, 1) });
    script.tasks(1, &Class { worker: Some("w2".parse().unwrap()), ..class(50, 1) });
    let mut placed = script.place(Strategy::Spread);
    placed.sort();
    assert_eq!(placed, ["t1@w2", "t2@w2"]);
}

#[test]
fn cordoned_and_draining_workers_get_nothing() {
    let mut script = Script::new();
    for worker in ["w1", "w2", "w3"] {
        script.worker(worker, 4, &[]);
    }
    script.order("w1", SchedulingOrder::Cordon);
    script.order("w2", SchedulingOrder::Drain { timeout: None });
    script.tasks(6, &class(50, 1));
    let on_the_open_one = ["t1@w3", "t2@w3", "t3@w3", "t4@w3"];
    assert_eq!(script.place(Strategy::Spread), on_the_open_one);
    assert_eq!(script.place(Strategy::Binpack), on_the_open_one);

    script.order("w1", SchedulingOrder::Uncordon);
    assert_eq!(script.place(Strategy::Spread).len(), 6);
}

#[test]
fn what_is_running_counts_when_spreading_over_many() {
    let mut script = Script::new();
    for number in 0..100 {
        script.worker(&format!("w{number:03}"), 4, &[]);
    }
    script.tasks(150, &class(50, 1));
    script.commit(Strategy::Spread);
    script.tasks(50, &class(50, 1));
    let expected = (0..50).map(|number| format!("t{}@w{:03}", 151 + number, 50 + number));
    assert_eq!(script.place(Strategy::Spread), expected.collect::<Vec<_>>());
}

#[test]
fn binpack_goes_on_with_the_fullest_worker_that_fits() {
    let mut script = Script::new();
    script.worker("w1", 4, &[]);
    script.tasks(1, &class(50, 1));
    script.commit(Strategy::Binpack);
    script.worker("w0", 4, &[]);
    script.tasks(1, &class(60, 4));
    script.tasks(3, &class(50, 1));
    assert_eq!(script.place(Strategy::Binpack), ["t2@w0", "t3@w1", "t4@w1", "t5@w1"]);
}

#[test]
fn one_pass_never_places_more_than_there_is_room() {
    let mut script = Script::new();
    for worker in ["w1", "w2"] {
        script.worker(worker, 3, &[]);
    }
    script.tasks(2, &class(90, 2));
    script.tasks(9, &class(50, 1));
    assert_eq!(script.place(Strategy::Spread), ["t1@w1", "t2@w2", "t3@w1", "t4@w2"]);
}

#[test]
fn a_waiting_task_says_why() {
    let mut script = Script::new();
    script.tasks(1, &class(50, 1));
    assert_eq!(script.pending(1), Some(PendingReason::NoWorkers));

    script.apply(Command::RegisterWorker(RegisterWorker {
        worker: "w1".parse().unwrap(),
        address: None,
        labels: None,
    }));
    assert_eq!(script.pending(1), Some(PendingReason::NoneActive(1)));

    script.worker("w1", 1, &[]);
    assert_eq!(script.pending(1), Some(PendingReason::AllBusy { workers: 1, ahead: 0 }));

    script.tasks(1, &class(50, 64));
    assert_eq!(script.pending(2), Some(PendingReason::NoneLargeEnough));

    script.tasks(1, &Class { worker: Some("w9".parse().unwrap()), ..class(50, 1) });
    assert_eq!(script.pending(3), Some(PendingReason::NoneAllowed));

    script.order("w1", SchedulingOrder::Cordon);
    assert_eq!(script.pending(1), Some(PendingReason::NoneOpen(1)));
    script.order("w1", SchedulingOrder::Drain { timeout: None });
    assert_eq!(script.pending(1), Some(PendingReason::NoneOpen(1)));
}

#[test]
fn a_place_far_back_in_the_queue_is_not_counted_to_the_end() {
    let mut script = Script::new();
    script.worker("w1", 1, &[]);
    script.tasks(5_000, &class(50, 2));
    script.worker("w2", 2, &[]);
    let ahead = |task| match script.pending(task) {
        Some(reason @ PendingReason::AllBusy { workers: 1, .. }) => reason.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ahead(1_001), "all 1 workers that fit are busy; 1000 like it wait before it");
    assert_eq!(
        ahead(4_000),
        "all 1 workers that fit are busy; more than 1000 like it wait before it"
    );
}
