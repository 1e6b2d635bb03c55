//! Checks the trail: every order is on record, refused or not, in the order of the log, within bounds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Actor, Applied, AuditAction, AuditOutcome, AuditRecord, BeginTerm, CancelTask, Change, Class,
    ClusterId, Command, CreateUserToken, Key, KnownEnds, Level, Limits, LogIndex, MasterId,
    NoteOrder, OnDisconnect, Ordered, Proposal, PruneTrail, RaiseLevel, Record, RegisterWorker,
    Rejection, Reply, Resources, RetryTask, Role, SecretMap, SeedSettings, SetSettings, Settings,
    State, SubmitTasks, TaskId, TaskSpec, TextMap, Tick, Timestamp,
};

/// A cluster of level 2 and its log.
struct Cluster {
    state: State,
    index: LogIndex,
}

impl Cluster {
    fn new(settings: Settings) -> Self {
        let mut cluster = Self { state: State::new(), index: LogIndex(0) };
        let term = cluster.state.meta().term.next();
        cluster.done(Command::BeginTerm(BeginTerm {
            term,
            leader: MasterId(1),
            cluster: ClusterId(1),
            live_bytes_max: Limits::LIVE_BYTES_DEFAULT,
        }));
        cluster.done(Command::RaiseLevel(RaiseLevel { term, level: Level(2) }));
        let (master, given) = (MasterId(1), std::iter::empty().collect());
        cluster.done(Command::SeedSettings(SeedSettings { term, settings, master, given }));
        cluster
    }

    fn keeping(records: u64) -> Self {
        let mut settings = Settings::default();
        settings.audit.records = records;
        Self::new(settings)
    }

    fn apply(&mut self, command: Command) -> Applied {
        self.index = self.index.next();
        let proposed_at = Timestamp(self.index.0 * 1_000);
        let applied = self.state.apply(self.index, Proposal { proposed_at, command });
        assert_eq!(self.state.check_invariants(), Ok(()));
        applied
    }

    fn done(&mut self, command: Command) -> Reply {
        self.apply(command).reply.unwrap()
    }

    /// Has ada order something, and returns what is on record of it.
    fn order(&mut self, command: Command) -> AuditRecord {
        self.apply(ordered(command));
        let newest = self.state.trail().next_back().unwrap();
        assert_eq!(newest.index, self.index);
        AuditRecord::clone(newest)
    }

    fn numbers(&self) -> Vec<u64> {
        self.state.trail().map(|record| record.number).collect()
    }

    fn prune(&mut self, up_to: LogIndex) -> Applied {
        let term = self.state.meta().term;
        self.apply(Command::PruneTrail(PruneTrail { term, up_to }))
    }
}

fn ada() -> Actor {
    Actor {
        principal: "user:ada".to_owned(),
        request: "r-1".to_owned(),
        remote: Some("10.0.0.1:4000".to_owned()),
    }
}

fn ordered(command: Command) -> Command {
    Command::Ordered(Ordered { by: ada(), command: Box::new(command) })
}

fn register(name: &str) -> Command {
    let (worker, address) = (name.parse().unwrap(), Some("10.0.0.9:50052".to_owned()));
    Command::RegisterWorker(RegisterWorker { worker, address, labels: None })
}

const fn cancel(task: u64) -> Command {
    Command::CancelTask(CancelTask { task: TaskId(task) })
}

fn note(object: &str) -> Command {
    Command::NoteOrder(NoteOrder {
        action: AuditAction::AddMember,
        object: object.to_owned(),
        detail: String::new(),
        outcome: AuditOutcome::Begun,
    })
}

#[test]
fn an_order_says_who_what_when_and_with_which_outcome() {
    let mut cluster = Cluster::new(Settings::default());
    let record = cluster.order(register("w1"));
    let expected = AuditRecord {
        number: 1,
        index: LogIndex(4),
        at: Timestamp(4_000),
        actor: ada(),
        action: AuditAction::RegisterWorker,
        object: "worker/w1".to_owned(),
        detail: String::new(),
        outcome: AuditOutcome::Done,
    };
    assert_eq!(record, expected);
}

#[test]
fn a_refused_order_is_on_record_and_changes_nothing_else() {
    let mut cluster = Cluster::new(Settings::default());
    let applied = cluster.apply(ordered(cancel(7)));
    assert_eq!(applied.reply, Err(Rejection::NotLive { task: TaskId(7) }));
    let [Change::Put(Record::Audit(record)), Change::Put(Record::Meta(_))] = &applied.changes[..]
    else {
        panic!("{:?}", applied.changes)
    };
    assert_eq!((record.object.as_str(), record.outcome.name()), ("task/t7", "rejected"));
    assert_eq!(record.outcome.reason(), Some("not-live"));
}

#[test]
fn what_nobody_has_ordered_is_not_on_record() {
    let mut cluster = Cluster::new(Settings::default());
    cluster.done(register("w1"));
    let term = cluster.state.meta().term;
    let tick = Command::Tick(Tick { term, forget: Vec::new() });
    let applied = cluster.apply(ordered(tick));
    assert!(matches!(applied.reply, Err(Rejection::Invalid { .. })), "duties are nobody's orders");
    let twice = cluster.apply(ordered(ordered(register("w2"))));
    assert!(matches!(twice.reply, Err(Rejection::Invalid { .. })));
    assert_eq!(cluster.state.trail().len(), 0);
}

#[test]
fn a_cluster_of_the_first_level_has_no_trail() {
    let mut state = State::new();
    let proposal = Proposal { proposed_at: Timestamp(1), command: ordered(register("w1")) };
    let applied = state.apply(LogIndex(1), proposal);
    let expected = Rejection::BelowLevel { needed: Level(2), level: Level(1) };
    assert_eq!(applied.reply, Err(expected));
    assert_eq!((state.trail().len(), state.workers().len()), (0, 0));
}

#[test]
fn records_tell_particulars_and_no_secrets() {
    let mut cluster = Cluster::new(Settings::default());
    let created = cluster.order(Command::CreateUserToken(CreateUserToken {
        token: "k3".parse().unwrap(),
        user: "ci".parse().unwrap(),
        role: Role::Submitter,
        scope: None,
        digest: [7; 32],
        ttl: None,
        description: "hunter2".to_owned(),
        by: "user:ada".to_owned(),
    }));
    assert_eq!(created.object, "user-token/k3");
    assert_eq!(created.detail, "user ci, role submitter");

    let mut settings = Settings::default();
    settings.worker.lease = Duration::from_secs(90);
    settings.retention.tasks = 5;
    let base = cluster.state.settings().unwrap().index;
    let by = "user:ada".to_owned();
    let changed = cluster.order(Command::SetSettings(SetSettings { settings, base, by }));
    assert_eq!(
        (changed.object.as_str(), changed.detail.as_str()),
        ("settings", "worker.lease retention.tasks")
    );

    let tasks = Vec::new();
    let submitted =
        cluster.order(Command::SubmitTasks(SubmitTasks { tasks, idempotency_key: None }));
    assert_eq!(submitted.action, AuditAction::SubmitTasks);

    let begun = cluster.order(note("member/3"));
    assert_eq!((begun.object.as_str(), begun.outcome), ("member/3", AuditOutcome::Begun));
}

#[test]
fn an_order_that_its_proposer_repeats_is_recorded_once() {
    let mut cluster = Cluster::new(Settings::default());
    let class = Class {
        priority: 50,
        resources: Resources::default(),
        constraints: Vec::new(),
        worker: None,
        ..Class::default()
    };
    let spec = Arc::new(TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(class),
        max_attempts: 1,
        retry_backoff: Duration::from_secs(1),
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: TextMap::default(),
        secret_env: SecretMap::default(),
        timing: None,
    });
    let tasks = vec![spec; 2];
    cluster.done(Command::SubmitTasks(SubmitTasks { tasks, idempotency_key: None }));
    let cancelled = [1, 2].map(|id| cluster.apply(cancel(id)));
    let known_at = cluster.index;
    let [first, second] = cancelled.map(|applied| {
        let task = applied.changes.iter().find_map(|change| match change {
            Change::Put(Record::Task(task)) => Some(Arc::clone(task)),
            Change::Put(_) | Change::Delete(_) => None,
        });
        RetryTask { task: task.unwrap(), known_at, ends: KnownEnds::default() }
    });
    assert_eq!(cluster.order(Command::RetryTask(first)).object, "task/t1");
    let refused = cluster.apply(ordered(Command::RetryTask(second.clone())));
    assert_eq!(refused.reply, Err(Rejection::RetriedMeanwhile));
    assert_eq!(cluster.numbers(), [1]);

    let again = RetryTask { known_at: cluster.index, ..second };
    let repeated = cluster.order(Command::RetryTask(again));
    assert_eq!((repeated.object.as_str(), repeated.outcome), ("task/t2", AuditOutcome::Done));
    assert_eq!(cluster.numbers(), [1, 2]);
}

#[test]
fn texts_of_another_master_are_cut() {
    let mut cluster = Cluster::new(Settings::default());
    let most = Limits::NEWEST.audit_text_bytes_max;
    let record = cluster.order(note(&"ä".repeat(most)));
    assert_eq!(record.object.len(), most);
}

#[test]
fn the_oldest_make_room_for_the_newest() {
    let mut cluster = Cluster::keeping(100);
    for _ in 0..130 {
        cluster.order(register("w1"));
    }
    assert_eq!(cluster.numbers(), (31..=130).collect::<Vec<_>>());
}

#[test]
fn orders_about_tasks_do_not_push_out_those_of_operators() {
    let mut cluster = Cluster::keeping(100);
    for _ in 0..60 {
        cluster.order(register("w1"));
    }
    for task in 0..1_000 {
        cluster.order(cancel(task));
    }
    let of_operators = cluster.state.trail().filter(|record| !record.action.is_about_tasks());
    assert_eq!(of_operators.count(), 50, "their half");
    assert_eq!(cluster.state.trail().len(), 100);
}

#[test]
fn a_smaller_bound_is_reached_in_steps() {
    let mut cluster = Cluster::keeping(5_000);
    for _ in 0..3_500 {
        cluster.order(note("member/3"));
    }
    let mut settings = Settings::default();
    settings.audit.records = 100;
    let base = cluster.state.settings().unwrap().index;
    let mut left = Vec::new();
    cluster.order(Command::SetSettings(SetSettings { settings, base, by: String::new() }));
    left.push(cluster.state.trail().len());
    for _ in 0..4 {
        cluster.order(note("member/3"));
        left.push(cluster.state.trail().len());
    }
    assert_eq!(left, [2_501, 1_502, 503, 100, 100]);
}

#[test]
fn old_records_are_forgotten_when_told_and_never_the_newest() {
    let mut cluster = Cluster::new(Settings::default());
    for _ in 0..5 {
        cluster.order(register("w1"));
    }
    let third = cluster.state.trail().nth(2).unwrap().index;
    let applied = cluster.prune(third);
    let forgotten =
        applied.changes.iter().filter(|change| matches!(change, Change::Delete(Key::Audit(_))));
    assert_eq!(forgotten.count(), 3);
    assert_eq!(cluster.numbers(), [4, 5]);

    cluster.prune(LogIndex(u64::MAX));
    assert_eq!(cluster.numbers(), [5]);
    assert_eq!(cluster.order(register("w1")).number, 6);
}

#[test]
fn one_command_forgets_a_bounded_number() {
    let mut cluster = Cluster::new(Settings::default());
    for _ in 0..1_500 {
        cluster.order(note("member/3"));
    }
    cluster.prune(LogIndex(u64::MAX));
    assert_eq!(cluster.state.trail().len(), 500);
}

#[test]
fn a_restored_cluster_keeps_the_trail_of_its_backup() {
    let mut cluster = Cluster::new(Settings::default());
    cluster.order(register("w1"));
    let before = *cluster.state.meta();
    let generation = before.generation.following(before.next_task, 7);
    let mut restored = State::new();
    for record in cluster.state.records() {
        restored.restore(record.in_generation(generation, &before).unwrap_or(record));
    }
    assert!(restored.trail().eq(cluster.state.trail()));
    assert_eq!(restored.check_invariants(), Ok(()));
}
