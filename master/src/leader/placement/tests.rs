//! Placement against states built by commands, as the scheduler sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{
    Command, ConnectWorker, Constraint, ConstraintOp, Incarnation, LogIndex, Proposal,
    RegisterWorker, Specs, SubmitTasks, TaskSpec, Term,
};

use super::*;

struct Script {
    state: State,
    index: u64,
    now: u64,
}

impl Script {
    fn new() -> Self {
        Self { state: State::new(), index: 0, now: 0 }
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        let proposal = Proposal { proposed_at: Timestamp(self.now), command };
        self.state.apply(LogIndex(self.index), proposal).reply.unwrap();
    }

    fn worker(&mut self, id: &str, cpus: u64, labels: &[(&str, &str)]) {
        let worker: WorkerId = id.parse().unwrap();
        self.apply(Command::RegisterWorker(RegisterWorker {
            worker: worker.clone(),
            address: None,
            labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }));
        self.apply(Command::ConnectWorker(ConnectWorker {
            term: Term(0),
            worker,
            incarnation: Incarnation(1),
            sequence: 0,
            address: None,
            token: None,
            specs: Specs { total: cpu(cpus), ..Specs::default() },
            running: Vec::new(),
            finished: Vec::new(),
        }));
    }

    fn tasks(&mut self, count: usize, class: &Class) {
        let spec = Arc::new(TaskSpec {
            name: None,
            command: vec!["true".to_owned()],
            env: cluster_state::TextMap::default(),
            working_dir: None,
            class: Arc::new(class.clone()),
            max_attempts: 3,
            retry_backoff: Duration::from_secs(1),
            run_timeout: None,
            on_disconnect: cluster_state::OnDisconnect::Keep,
            labels: cluster_state::TextMap::default(),
        });
        self.apply(Command::SubmitTasks(SubmitTasks {
            tasks: vec![spec; count],
            idempotency_key: None,
        }));
    }

    fn place(&self, strategy: Strategy) -> Vec<String> {
        let placed = place(&self.state, strategy, 1_000);
        placed.iter().map(|one| format!("{}@{}", one.task, one.worker)).collect()
    }

    fn pending(&self, task: u64) -> Option<PendingReason> {
        PendingReason::of(&self.state, self.state.task(TaskId(task)).unwrap())
    }
}

fn cpu(cpus: u64) -> Resources {
    Resources { cpu_milli: cpus * 1_000, ..Resources::default() }
}

fn class(priority: u8, cpus: u64) -> Class {
    Class { priority, resources: cpu(cpus), constraints: Vec::new(), worker: None }
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
    script.now = 81 * AGEING_STEP_MILLIS;
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
fn a_waiting_task_says_why() {
    let mut script = Script::new();
    script.tasks(1, &class(50, 1));
    assert_eq!(script.pending(1), Some(PendingReason::NoWorkers));

    script.apply(Command::RegisterWorker(RegisterWorker {
        worker: "w1".parse().unwrap(),
        address: None,
        labels: BTreeMap::new(),
    }));
    assert_eq!(script.pending(1), Some(PendingReason::NoneActive(1)));

    script.worker("w1", 1, &[]);
    assert_eq!(script.pending(1), Some(PendingReason::AllBusy { workers: 1, ahead: 0 }));

    script.tasks(1, &class(50, 64));
    assert_eq!(script.pending(2), Some(PendingReason::NoneLargeEnough));

    script.tasks(1, &Class { worker: Some("w9".parse().unwrap()), ..class(50, 1) });
    assert_eq!(script.pending(3), Some(PendingReason::NoneAllowed));
}
