//! Large tasks beside a stream of small ones: they begin in bounded time, and nothing that could delay them
//! is placed where they are to run. What a pass does is compared with a naive look at the state.

use std::collections::BTreeMap;

use cluster_state::{
    DisconnectReason, DisconnectWorkers, LossReason, RequeueAttempts, RequeueScope, StartAttempts,
    TaskState, TaskStateKind,
};
use proptest::prelude::{Just, ProptestConfig, prop_assert, prop_oneof, proptest};
use proptest::strategy::Strategy as Drawn;

use super::*;

/// A fleet whose attempts end by themselves.
struct Fleet {
    script: Script,
    placer: Placer,
    /// Time at which each attempt ends.
    ends: BTreeMap<TaskId, u64>,
    workers: u64,
}

/// Seconds that an attempt runs, of those that it may.
fn run_of(task: &cluster_state::Task) -> u64 {
    let most = task.spec.run_timeout.map_or(40, |run| run.as_secs());
    1 + (task.id.0 * 7_919) % most
}

impl Fleet {
    fn new(cpus: &[u64]) -> Self {
        let script = Script::new();
        let mut fleet =
            Self { script, placer: Placer::default(), ends: BTreeMap::new(), workers: 0 };
        cpus.iter().for_each(|cpus| fleet.join(*cpus));
        fleet
    }

    fn join(&mut self, cpus: u64) {
        self.workers += 1;
        let name = format!("w{}", self.workers);
        self.script.worker(&name, cpus, &[]);
    }

    fn submit(&mut self, class: &Class, run_timeout: Option<u64>) -> TaskId {
        let id = self.script.state.meta().next_task;
        self.script.tasks_with(1, class, run_timeout.map(Duration::from_secs));
        id
    }

    /// Lets time pass: attempts begin and end.
    fn run(&mut self, seconds: u64) {
        self.script.now += seconds * 1_000;
        let loads = self.script.state.loads().map(|(worker, load)| {
            (worker.clone(), load.attempts.iter().copied().collect::<Vec<_>>())
        });
        for (worker, tasks) in loads.collect::<Vec<_>>() {
            let epoch = self.script.state.worker(&worker).unwrap().epoch;
            let attempt = |task: &TaskId| {
                let task = self.script.state.task(*task).unwrap();
                AttemptRef { task: task.id, attempt: task.live_attempt().unwrap().number }
            };
            let attempts = tasks.iter().map(attempt).collect::<Vec<_>>();
            let started = StartAttempts { term: Term(0), worker: worker.clone(), epoch, attempts };
            let over = started
                .attempts
                .iter()
                .filter(|one| self.ends.get(&one.task).is_some_and(|end| *end <= self.script.now));
            let outcome = AttemptOutcome::Exited { code: 0 };
            let over = over.map(|one| FinishedAttempt {
                attempt: *one,
                outcome: outcome.clone(),
                report: None,
            });
            let attempts = over.collect::<Vec<_>>();
            self.script.apply(Command::StartAttempts(started));
            self.script.apply(Command::FinishAttempts(FinishAttempts { worker, epoch, attempts }));
        }
        self.ends.retain(|_, end| *end > self.script.now);
    }

    /// Makes passes until nothing more can be placed, and checks each placement.
    fn place(&mut self, bounds: Bounds) {
        loop {
            let reserved = self.reserved();
            let placed = self.script.pass(&mut self.placer, Strategy::Spread, bounds);
            if placed.is_empty() && self.placer.is_over() {
                return;
            }
            for one in &placed {
                self.check(one, &reserved);
                let task = self.script.state.task(one.task).unwrap();
                let end = self.script.now + run_of(task) * 1_000;
                self.ends.insert(one.task, end);
                let assignments = vec![one.clone()];
                let assign = AssignTasks { term: Term(0), assignments };
                // Never more than the worker has: the state refuses that.
                assert_eq!(self.script.assign(assign), [Ok(())]);
            }
        }
    }

    fn reserved(&self) -> BTreeMap<WorkerId, TaskId> {
        self.placer.reservations.iter().map(|(worker, task)| (worker.clone(), task)).collect()
    }

    /// Checks that a placement delays no task for which the worker is reserved.
    fn check(&self, one: &Assignment, reserved: &BTreeMap<WorkerId, TaskId>) {
        let state = &self.script.state;
        let Some(kept) = reserved.get(&one.worker).and_then(|task| state.task(*task)) else {
            return;
        };
        let placed = state.task(one.task).unwrap();
        if kept.state != TaskState::Queued || Rank::of(placed) <= Rank::of(kept) {
            return;
        }
        let total = state.worker(&one.worker).unwrap().total();
        let there = state.load(&one.worker).into_iter().flat_map(|load| &load.attempts);
        let there = there.map(|id| state.task(*id).unwrap()).collect::<Vec<_>>();
        let sum = |tasks: &mut dyn Iterator<Item = &Arc<cluster_state::Task>>| {
            tasks.fold(Resources::default(), |sum, task| {
                sum.checked_add(&task.spec.class.resources).unwrap()
            })
        };
        let beside = sum(&mut there.iter().copied().chain([placed, kept]));
        let fits_beside = total.holds(&beside);

        // The naive time by which it can begin: the first at which what may still run leaves the room.
        let now = self.script.now;
        let end = |task: &cluster_state::Task| {
            let attempt = task.live_attempt()?;
            let start = attempt.started_at.unwrap_or(attempt.assigned_at);
            Some(start.after(task.spec.run_timeout?).0.max(now))
        };
        let leaves_room = |at: u64| {
            let left = there.iter().copied().filter(|task| end(task).is_none_or(|end| end > at));
            total.holds(&sum(&mut left.chain([kept])))
        };
        let due = there.iter().filter_map(|task| end(task)).filter(|at| leaves_room(*at)).min();
        let own_end = placed.spec.run_timeout.map(|run| now + run.as_secs() * 1_000);
        let is_over_in_time = own_end.zip(due).is_some_and(|(end, due)| end <= due);
        assert!(fits_beside || is_over_in_time, "{one:?} delays {}: {due:?}", kept.id);
    }

    /// Lets a worker fall silent and be lost.
    fn lose(&mut self, worker: &WorkerId) {
        let Some(known) = self.script.state.worker(worker).filter(|known| known.is_active()) else {
            return;
        };
        let workers = vec![(worker.clone(), known.epoch)];
        self.script.apply(Command::DisconnectWorkers(DisconnectWorkers {
            term: Term(0),
            workers: workers.clone(),
            reason: DisconnectReason::HeartbeatTimeout,
            last_heard: BTreeMap::new(),
        }));
        self.script.apply(Command::RequeueAttempts(RequeueAttempts {
            term: Term(0),
            workers,
            reason: LossReason::WorkerDrained,
            scope: RequeueScope::All,
            attempts_max: 1_000,
        }));
    }

    fn waits(&self, task: TaskId) -> bool {
        self.script.state.task(task).is_some_and(|task| task.state == TaskState::Queued)
    }

    /// Lets time pass while so many small tasks at least wait.
    fn saturate(&mut self, seconds: u64, waiting: u64) {
        for _ in 0..seconds {
            let queued = self.script.state.task_counts().iter();
            let queued = queued.filter(|(state, _)| *state == TaskStateKind::Queued);
            for _ in queued.map(|(_, count)| count).sum::<u64>()..waiting {
                self.submit(&class(50, 1), None);
            }
            self.place(AMPLE);
            self.run(1);
        }
    }
}

#[test]
fn a_large_task_begins_when_what_ran_before_it_has_ended() {
    let mut fleet = Fleet::new(&[4, 4]);
    fleet.saturate(20, 10);
    let large = fleet.submit(&class(50, 4), None);
    let mut seconds = 0;
    while fleet.waits(large) && seconds < 1_000 {
        fleet.saturate(1, 10);
        seconds += 1;
    }
    // Ten small tasks wait before it, and the last of them runs for 40 s at most.
    assert!(seconds <= 120, "it has waited for {seconds} s");
}

#[test]
fn only_what_ends_in_time_or_fits_beside_it_is_placed_before_a_reserved_task() {
    let mut script = Script::new();
    script.larger_worker("w1", 4, 100);
    script.tasks_with(1, &class(50, 3), Some(Duration::from_secs(600)));
    script.commit(Strategy::Spread);
    let mut placer = Placer::default();
    let place = |script: &mut Script, placer: &mut Placer| {
        let placed = script.pass(placer, Strategy::Spread, AMPLE);
        let words = words(&placed);
        let assign = AssignTasks { term: Term(0), assignments: placed };
        assert!(script.assign(assign).iter().all(Result::is_ok));
        words
    };
    script.tasks(1, &class(50, 4));
    // Overtakes the large task once, and reserves the worker for it.
    let no_cpu = Class { resources: Resources { memory_mib: 10, ..cpu(0) }, ..class(50, 1) };
    script.tasks(1, &no_cpu);
    assert_eq!(place(&mut script, &mut placer), ["t3@w1"]);
    assert_eq!(placer.reserved(), 1);

    // Untimed, too long, in time, and without processors.
    script.tasks(1, &class(49, 1));
    script.tasks_with(1, &class(48, 1), Some(Duration::from_secs(595)));
    assert_eq!(place(&mut script, &mut placer), [""; 0]);
    script.tasks_with(1, &class(47, 1), Some(Duration::from_secs(300)));
    script.tasks(1, &no_cpu);
    assert_eq!(place(&mut script, &mut placer), ["t7@w1", "t6@w1"]);
}

#[test]
fn what_was_kept_from_others_is_theirs_when_the_task_is_gone() {
    let mut script = Script::new();
    script.worker("w1", 4, &[]);
    script.tasks(1, &class(50, 2));
    script.commit(Strategy::Spread);
    script.tasks(1, &class(50, 4));
    script.tasks(1, &class(40, 1));
    let mut placer = Placer::default();
    let placed = script.pass(&mut placer, Strategy::Spread, AMPLE);
    assert_eq!(words(&placed), ["t3@w1"]);
    let assign = AssignTasks { term: Term(0), assignments: placed };
    assert_eq!(script.assign(assign), [Ok(())]);
    script.tasks(1, &class(40, 1));
    assert!(script.pass(&mut placer, Strategy::Spread, AMPLE).is_empty());

    script.apply(Command::CancelTask(cluster_state::CancelTask { task: TaskId(2) }));
    let placed = script.pass(&mut placer, Strategy::Spread, AMPLE);
    assert_eq!(words(&placed), ["t4@w1"], "although no worker has gained room");
    assert_eq!(placer.reserved(), 0);
}

#[test]
fn a_task_that_no_worker_could_run_reserves_nothing() {
    let mut script = Script::new();
    script.worker("w1", 4, &[]);
    script.tasks(1, &class(90, 5));
    script.tasks(1, &Class { worker: Some("w9".parse().unwrap()), ..class(90, 1) });
    script.tasks(2, &class(50, 1));
    let mut placer = Placer::default();
    assert_eq!(script.pass(&mut placer, Strategy::Spread, AMPLE).len(), 2);
    assert_eq!(placer.reserved(), 0);
}

#[test]
fn thousands_of_classes_make_no_more_reservations_than_there_may_be() {
    let mut script = Script::new();
    for number in 0..50 {
        script.worker(&format!("w{number:02}"), 4, &[]);
    }
    script.tasks(50, &class(100, 2));
    script.commit(Strategy::Spread);
    for number in 0..2_000 {
        // No worker has disk space.
        let resources = Resources { storage_mib: number / 1_000, ..cpu(3) };
        let priority = u8::try_from(50 + number % 50).unwrap();
        script.tasks(1, &Class { resources, ..class(priority, 3) });
    }
    script.tasks(200, &class(1, 1));
    let mut placer = Placer::default();
    let first = script.pass(&mut placer, Strategy::Spread, AMPLE).len();
    assert_eq!((first, placer.reserved()), (100, 32));
}

#[derive(Debug, Clone)]
enum Step {
    Submit { cpus: u64, priority: u8, run_timeout: Option<u64> },
    Run(u64),
    Lose(u64),
    Cordon(u64),
    Uncordon(u64),
    Join(u64),
    NewLeader,
    Refused,
    Place { placements: usize, probes: usize },
}

fn steps() -> impl Drawn<Value = Vec<Step>> {
    let submit = (1..=8_u64, 40..=60_u8, proptest::option::of(5..=60_u64))
        .prop_map(|(cpus, priority, run_timeout)| Step::Submit { cpus, priority, run_timeout });
    let step = prop_oneof![
        12 => submit,
        6 => (1..=20_u64).prop_map(Step::Run),
        1 => (1..=5_u64).prop_map(Step::Lose),
        1 => (1..=5_u64).prop_map(Step::Cordon),
        2 => (1..=5_u64).prop_map(Step::Uncordon),
        1 => (2..=8_u64).prop_map(Step::Join),
        1 => Just(Step::NewLeader),
        1 => Just(Step::Refused),
        8 => (1..=5_usize, 1..=30_usize)
            .prop_map(|(placements, probes)| Step::Place { placements, probes }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn take(fleet: &mut Fleet, step: &Step) {
    let name = |number: u64| format!("w{number}").parse::<WorkerId>().unwrap();
    match step {
        Step::Submit { cpus, priority, run_timeout } => {
            fleet.submit(&class(*priority, *cpus), *run_timeout);
        }
        Step::Run(seconds) => fleet.run(*seconds),
        Step::Lose(worker) if *worker > 1 => fleet.lose(&name(*worker)),
        Step::Cordon(worker) if fleet.script.state.worker(&name(*worker)).is_some() => {
            fleet.script.order(name(*worker).as_str(), SchedulingOrder::Cordon);
        }
        Step::Uncordon(worker) if fleet.script.state.worker(&name(*worker)).is_some() => {
            fleet.script.order(name(*worker).as_str(), SchedulingOrder::Uncordon);
        }
        Step::Lose(_) | Step::Cordon(_) | Step::Uncordon(_) => {}
        Step::Join(cpus) => fleet.join(*cpus),
        Step::NewLeader => fleet.placer = Placer::default(),
        Step::Refused => fleet.placer.on_refused(),
        Step::Place { placements, probes } => {
            fleet.place(Bounds { placements: *placements, probes: *probes });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_each_task_begins_in_bounded_time_beside_a_stream_of_small_ones(
        steps in steps(),
    ) {
        let mut fleet = Fleet::new(&[8, 4, 6]);
        steps.iter().for_each(|step| take(&mut fleet, step));

        fleet.script.order("w1", SchedulingOrder::Uncordon);
        let queued = fleet.script.state.task_counts().clone();
        let tasks = fleet.script.state.tasks_below(None).map(|task| task.id).collect::<Vec<_>>();
        // Each of them may need the whole fleet to itself for as long as the longest attempt.
        let most = 60 * 60;
        let mut seconds = 0;
        while tasks.iter().any(|task| fleet.waits(*task)) {
            prop_assert!(seconds < most, "{queued:?} have not all begun");
            fleet.saturate(1, 30);
            seconds += 1;
        }
    }
}
