//! Tests of the facts that are counted in the life of tasks and workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{
    AddressSource, AssignTasks, Assignment, AttemptOutcome, AttemptRef, Class, Command,
    ConnectWorker, DataId, DisconnectReason, DisconnectWorkers, Epoch, FinishAttempts,
    FinishedAttempt, Incarnation, LeaseTimes, LossReason, OnDisconnect, Process, Proposal,
    RegisterWorker, RequeueAttempts, RequeueScope, Resources, Specs, StartAttempts, StartNumber,
    SubmitTasks, TaskSpec, Term, TextMap, Tick, WorkerId,
};

use super::*;

/// A state, and what was counted of it.
#[derive(Default)]
struct Log {
    state: State,
    index: LogIndex,
    tally: Tally,
}

impl Log {
    fn apply(&mut self, seconds: u64, command: Command) -> Vec<Fact> {
        self.index = self.index.next();
        let proposal = Proposal { proposed_at: Timestamp(seconds * 1_000), command };
        let applied = self.state.apply(self.index, proposal);
        let changes = applied.changes.iter();
        changes.flat_map(|change| self.tally.facts(self.index, change)).collect()
    }

    /// Returns one worker and one task that is placed on it.
    fn placed() -> Self {
        let mut log = Self::default();
        log.apply(1, register());
        assert_eq!(log.apply(3, connect(1)), [Fact::WorkerConnected { after: seconds(2) }]);
        assert_eq!(log.apply(4, submit()), []);
        assert_eq!(log.apply(5, assign()), []);
        log
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

fn register() -> Command {
    Command::RegisterWorker(RegisterWorker { worker: worker(), address: None, labels: None })
}

fn connect(process: u64) -> Command {
    let total = Resources { cpu_milli: 1_000, slots: 1, ..Resources::default() };
    Command::ConnectWorker(ConnectWorker {
        term: Term(0),
        worker: worker(),
        process: Process {
            data: DataId(1),
            start: StartNumber(process),
            incarnation: Incarnation(process.into()),
            sequence: 0,
        },
        address: None,
        address_source: AddressSource::Detected,
        granted: LeaseTimes {
            heartbeat_interval: seconds(5),
            heartbeat_timeout: seconds(30),
            lease: seconds(300),
        },
        token: None,
        specs: Specs { total, ..Specs::default() },
        unfit: None,
        running: Vec::new(),
        finished: Vec::new(),
    })
}

fn submit() -> Command {
    let class = Class {
        priority: 50,
        resources: Resources::default(),
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    };
    let spec = TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(class),
        max_attempts: 3,
        retry_backoff: Duration::ZERO,
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: TextMap::default(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    };
    Command::SubmitTasks(SubmitTasks { tasks: vec![Arc::new(spec)], idempotency_key: None })
}

fn assign() -> Command {
    let assignments = vec![Assignment { task: TaskId(1), worker: worker() }];
    Command::AssignTasks(AssignTasks { term: Term(0), assignments })
}

fn attempt(number: u32) -> AttemptRef {
    AttemptRef { task: TaskId(1), attempt: AttemptNumber(number) }
}

fn start(log: &Log, number: u32) -> Command {
    let (term, worker, epoch) = (Term(0), worker(), epoch(log));
    Command::StartAttempts(StartAttempts { term, worker, epoch, attempts: vec![attempt(number)] })
}

fn finish(log: &Log, number: u32, code: i32) -> Command {
    let finished = FinishedAttempt {
        attempt: attempt(number),
        outcome: AttemptOutcome::Exited { code },
        report: None,
    };
    let (worker, epoch) = (worker(), epoch(log));
    Command::FinishAttempts(FinishAttempts { worker, epoch, attempts: vec![finished] })
}

fn completed() -> Fact {
    Fact::TaskFinished { state: TaskStateKind::Completed, queue: QueueName::default() }
}

fn epoch(log: &Log) -> Epoch {
    log.state.worker(&worker()).unwrap().epoch
}

#[test]
fn a_start_counts_once_a_task_and_an_end_once_an_attempt() {
    let mut log = Log::placed();
    let started = log.apply(6, start(&log, 1));
    assert_eq!(started, [Fact::TaskStarted { waited: seconds(2) }]);
    assert_eq!(
        log.apply(7, finish(&log, 1, 1)),
        [Fact::AttemptEnded { outcome: AttemptOutcomeKind::Failed }]
    );
    let tick = Command::Tick(Tick { term: Term(0), forget: Vec::new() });
    assert_eq!(log.apply(8, tick), []);
    assert_eq!(log.apply(9, assign()), []);
    assert_eq!(log.apply(10, start(&log, 2)), [], "a retry is no start of the task");
    assert_eq!(
        log.apply(11, finish(&log, 2, 0)),
        [Fact::AttemptEnded { outcome: AttemptOutcomeKind::Completed }, completed()]
    );
}

#[test]
fn a_task_that_ended_before_its_confirmation_has_started() {
    let mut log = Log::placed();
    let expected = [
        Fact::TaskStarted { waited: seconds(3) },
        Fact::AttemptEnded { outcome: AttemptOutcomeKind::Completed },
        completed(),
    ];
    assert_eq!(log.apply(7, finish(&log, 1, 0)), expected);
}

#[test]
fn losses_count_whoever_finds_them() {
    let lost = Fact::AttemptEnded { outcome: AttemptOutcomeKind::Lost };
    let mut log = Log::placed();
    assert_eq!(log.apply(6, connect(2)), [lost, Fact::WorkerReplaced]);
}

#[test]
fn a_worker_that_comes_and_goes_is_timed() {
    let mut log = Log::placed();
    let workers = vec![(worker(), epoch(&log))];
    let disconnect = Command::DisconnectWorkers(DisconnectWorkers {
        term: Term(0),
        workers: workers.clone(),
        reason: DisconnectReason::HeartbeatTimeout,
        last_heard: BTreeMap::new(),
    });
    let gone = Fact::WorkerDisconnected { reason: "heartbeat-timeout", after: Some(seconds(10)) };
    assert_eq!(log.apply(13, disconnect), [gone]);
    let requeue = Command::RequeueAttempts(RequeueAttempts {
        term: Term(0),
        workers,
        reason: LossReason::LeaseExpired,
        scope: RequeueScope::All,
        attempts_max: 10,
    });
    assert_eq!(log.apply(20, requeue), [Fact::AttemptEnded { outcome: AttemptOutcomeKind::Lost }]);
    assert_eq!(log.apply(33, connect(1)), [Fact::WorkerReconnected { after: seconds(20) }]);
}

#[test]
fn what_was_placed_before_the_first_look_is_known() {
    let mut log = Log::placed();
    log.tally = Tally::of(&log.state);
    let facts = log.apply(6, start(&log, 1));
    assert_eq!(facts, [Fact::TaskStarted { waited: seconds(2) }]);
    log.tally = Tally::of(&log.state);
    assert_eq!(
        log.apply(7, finish(&log, 1, 0)),
        [Fact::AttemptEnded { outcome: AttemptOutcomeKind::Completed }, completed()]
    );
}
