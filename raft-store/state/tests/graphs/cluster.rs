//! A cluster of one master and one large worker, which is told what happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AddressSource, Applied, AssignTasks, Assignment, AttemptOutcome, AttemptRef, BeginTerm, Change,
    Class, ClusterId, Command, ConnectWorker, DataId, Dependency, DependencyKind, Epoch,
    FinishAttempts, FinishedAttempt, Incarnation, KnownEnds, LeaseTimes, Level, Link, LogIndex,
    MasterId, OnDisconnect, Process, Proposal, RaiseLevel, Record, RegisterWorker, Resources,
    SecretMap, Specs, StartNumber, State, SubmitGraph, Task, TaskEnd, TaskGraph, TaskId, TaskSpec,
    TaskState, Term, TextMap, Tick, Timestamp, Timing, WorkerId,
};

const TERM: Term = Term(1);

/// The state, and all that its master has on disk.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) state: State,
    /// State that is built from the changes alone.
    rebuilt: State,
    pub(crate) index: LogIndex,
    /// Newest records of tasks that are over.
    pub(crate) finished: BTreeMap<TaskId, Arc<Task>>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let (state, rebuilt) = (State::new(), State::new());
        let mut new = Self { state, rebuilt, index: LogIndex(0), finished: BTreeMap::new() };
        new.done(Command::BeginTerm(BeginTerm {
            term: TERM,
            leader: MasterId(1),
            cluster: ClusterId(1),
            live_bytes_max: cluster_state::Limits::LIVE_BYTES_DEFAULT,
        }));
        new.done(Command::RaiseLevel(RaiseLevel { term: TERM, level: Level(2) }));
        new.done(Command::RegisterWorker(RegisterWorker {
            worker: worker(),
            address: None,
            labels: None,
        }));
        new.done(Command::ConnectWorker(connection()));
        new
    }

    pub(crate) fn apply(&mut self, command: Command) -> Applied {
        self.index = self.index.next();
        let proposed_at = Timestamp(self.index.0);
        let applied = self.state.apply(self.index, Proposal { proposed_at, command });
        for change in &applied.changes {
            if let Change::Put(Record::Task(task)) = change {
                if task.state.is_terminal() {
                    self.finished.insert(task.id, Arc::clone(task));
                } else {
                    self.finished.remove(&task.id);
                }
            }
            self.rebuilt.follow(change.clone());
        }
        applied
    }

    pub(crate) fn done(&mut self, command: Command) -> Applied {
        let applied = self.apply(command);
        assert!(applied.reply.is_ok(), "{:?}", applied.reply);
        applied
    }

    /// Goes on with the state that the changes alone have built.
    pub(crate) fn restart(&mut self) {
        assert_eq!(format!("{:?}", self.rebuilt), format!("{:?}", self.state));
        let mut state = State::new();
        self.rebuilt.records().for_each(|record| state.restore(record));
        self.state = state;
        assert_eq!(self.state.check_invariants(), Ok(()));
    }

    /// Returns how all tasks that are over have ended.
    pub(crate) fn ends(&self) -> KnownEnds {
        let ended = self.finished.iter();
        ended.filter_map(|(id, task)| Some((*id, TaskEnd::of(task.state)?))).collect()
    }

    pub(crate) fn submit(&mut self, count: usize, links: Vec<Link>) {
        let graph = TaskGraph { links, ends: self.ends(), known_at: self.index };
        let tasks = vec![spec(Vec::new()); count];
        self.done(Command::SubmitGraph(SubmitGraph { tasks, idempotency_key: None, graph }));
    }

    /// Submits a task that needs this one to complete.
    pub(crate) fn submit_after(&mut self, task: TaskId) -> TaskId {
        let id = self.state.meta().next_task;
        let kind = DependencyKind::Success;
        let tasks = vec![spec(vec![Dependency { task, kind }])];
        let graph = TaskGraph { ends: self.ends(), known_at: self.index, ..TaskGraph::default() };
        self.done(Command::SubmitGraph(SubmitGraph { tasks, idempotency_key: None, graph }));
        id
    }

    fn in_state(&self, state: TaskState) -> Vec<TaskId> {
        let tasks = self.state.tasks_below(None).filter(|task| task.state == state);
        tasks.map(|task| task.id).collect()
    }

    pub(crate) fn queued(&self) -> usize {
        self.in_state(TaskState::Queued).len()
    }

    /// Places all tasks that are queued.
    pub(crate) fn assign_all(&mut self) -> Vec<TaskId> {
        let queued = self.in_state(TaskState::Queued);
        let place = |task: &TaskId| Assignment { task: *task, worker: worker() };
        let assignments = queued.iter().map(place).collect();
        self.done(Command::AssignTasks(AssignTasks { term: TERM, assignments }));
        queued
    }

    /// Ends the attempts of placed tasks with an exit code.
    pub(crate) fn finish(&mut self, tasks: &[TaskId], code: i32) -> Applied {
        let finished = tasks.iter().map(|id| {
            let attempt = self.state.task(*id).unwrap().live_attempt().unwrap().number;
            let attempt = AttemptRef { task: *id, attempt };
            FinishedAttempt { attempt, outcome: AttemptOutcome::Exited { code }, report: None }
        });
        let attempts = finished.collect();
        self.done(Command::FinishAttempts(FinishAttempts {
            worker: worker(),
            epoch: Epoch(1),
            attempts,
        }))
    }

    /// Fires timers until none is due; returns how often.
    pub(crate) fn tick_until_quiet(&mut self) -> usize {
        let mut ticks = 0;
        while self.state.next_timer().is_some_and(|at| at <= self.state.meta().now) {
            self.done(Command::Tick(Tick { term: TERM, forget: Vec::new() }));
            ticks += 1;
        }
        ticks
    }
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}

fn connection() -> ConnectWorker {
    ConnectWorker {
        worker: worker(),
        term: TERM,
        process: Process {
            data: DataId(1),
            start: StartNumber(1),
            incarnation: Incarnation(1),
            sequence: 0,
        },
        address: Some("w1:7100".to_owned()),
        address_source: AddressSource::Advertised,
        granted: LeaseTimes {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(30),
            lease: Duration::from_secs(300),
        },
        token: None,
        unfit: None,
        running: Vec::new(),
        finished: Vec::new(),
        specs: Specs {
            total: Resources {
                cpu_milli: 1_000_000_000,
                slots: Resources::SLOTS_UNBOUNDED,
                ..Resources::default()
            },
            labels: BTreeMap::new(),
            version: String::new(),
        },
    }
}

/// Returns a task that fails with its first failure.
pub(crate) fn spec(dependencies: Vec<Dependency>) -> Arc<TaskSpec> {
    let resources = Resources { cpu_milli: 1, slots: 1, ..Resources::default() };
    let class = Class {
        priority: 50,
        resources,
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    };
    Arc::new(TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(class),
        max_attempts: 1,
        retry_backoff: Duration::ZERO,
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: TextMap::default(),
        secret_env: SecretMap::default(),
        timing: Timing { dependencies: dependencies.into(), ..Timing::default() }.boxed(),
    })
}
