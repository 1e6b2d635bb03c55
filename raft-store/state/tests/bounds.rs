//! Checks the bounds of `apply` at sizes too large for a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AddressSource, AssignTasks, Assignment, AttemptNumber, AttemptOutcome, AttemptRef, BeginTerm,
    Candidates, Class, ClusterId, Command, ConnectWorker, DataId, Epoch, FinishAttempts,
    FinishedAttempt, IdempotencyKey, Incarnation, LeaseTimes, Limits, LogIndex, LossReason,
    MasterId, Process, Proposal, QueueName, Rank, Record, RegisterWorker, Rejection, Reply,
    Resources, Since, Specs, StartNumber, State, SubmitTasks, Task, TaskId, TaskSpec, Term, Tick,
    Timestamp, WorkerId,
};

#[path = "bounds/jobs.rs"]
mod jobs;
#[path = "bounds/queues.rs"]
mod queues;

#[test]
fn one_tick_fires_a_bounded_number_of_timers() {
    let mut state = State::new();
    let most = u32::try_from(Limits::NEWEST.timers_per_tick_max).unwrap();
    let retention = Limits::NEWEST.idempotency_retention;
    for number in 0..=most {
        submit(&mut state, 1, Some(&number.to_string()));
    }

    let mut tick = |after| {
        let tick = Command::Tick(Tick { term: Term(0), forget: Vec::new() });
        apply_at(&mut state, Timestamp(0).after(after), tick)
    };
    assert_eq!(tick(retention - Duration::from_millis(1)), ticked(0, false));
    assert_eq!(tick(retention), ticked(most, true));
    assert_eq!(tick(retention), ticked(1, false));
    assert_eq!(tick(retention), ticked(0, false));
}

#[test]
fn a_backlog_of_due_tasks_is_worked_off_oldest_first() {
    let mut state = State::new();
    connect(&mut state);
    let most = u64::try_from(Limits::NEWEST.timers_per_tick_max).unwrap();
    let per_round = most / 2 + 1;
    for round in 0..2 {
        let count = usize::try_from(per_round).unwrap();
        submit(&mut state, count, None);
        let tasks = (round * per_round + 1..=(round + 1) * per_round).map(TaskId);
        assign(&mut state, tasks.clone());
        finish(&mut state, tasks, &AttemptOutcome::Exited { code: 1 });
    }

    let tick = || Command::Tick(Tick { term: Term(0), forget: Vec::new() });
    assert_eq!(
        apply_at(&mut state, Timestamp(1000), tick()),
        ticked(u32::try_from(most).unwrap(), true)
    );
    let (_, queue) = state.queue().next().unwrap();
    assert!(queue.tasks().map(|task| task.0).eq(1..=most));
    assert_eq!(apply_at(&mut state, Timestamp(1000), tick()), ticked(2, false));
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn old_attempts_are_dropped_and_their_numbers_not_reused() {
    let mut state = State::new();
    connect(&mut state);
    submit(&mut state, 1, None);
    for _ in 0..Limits::NEWEST.attempts_kept_max + 8 {
        assign(&mut state, [TaskId(1)]);
        // A loss that does not count: it may happen as often as operators like.
        let lost = AttemptOutcome::Lost(LossReason::WorkerShutdown);
        finish(&mut state, [TaskId(1)], &lost);
        assert_eq!(state.check_invariants(), Ok(()));
    }

    let numbers = task(&state, 1).attempts.iter().map(|attempt| attempt.number);
    assert!(numbers.eq((9..=40).map(AttemptNumber)));
}

#[test]
fn only_the_latest_leaders_are_remembered() {
    let mut state = State::new();
    let kept = u64::try_from(Limits::NEWEST.leaders_kept_max).unwrap();
    for term in 1..=kept + 5 {
        let (leader, cluster) = (MasterId(term % 3), ClusterId(1));
        apply(
            &mut state,
            Command::BeginTerm(BeginTerm {
                term: Term(term),
                leader,
                cluster,
                live_bytes_max: Limits::LIVE_BYTES_DEFAULT,
            }),
        );
    }

    assert!(state.leaders().map(|record| record.term.0).eq(6..=kept + 5));
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn the_oldest_orphaned_results_make_room() {
    let mut state = State::new();
    connect(&mut state);
    restore(&mut state);
    let kept = u64::try_from(Limits::NEWEST.orphans_kept_max).unwrap();
    report(&mut state, 10..kept + 15, &AttemptOutcome::Exited { code: 0 });
    assert!(state.orphans().map(|orphan| orphan.attempt.task.0).eq(15..kept + 15));
    let meta = state.meta();
    assert_eq!((meta.orphans_found, meta.orphans_displaced), (kept + 5, 5));

    // Long texts fill the bytes before so many are there, and are cut.
    let detail = "x".repeat(10_000);
    report(&mut state, 1_000_000..1_100_000, &AttemptOutcome::StartFailed { detail });
    let bytes = state.orphans().map(|orphan| orphan.bytes()).sum::<u64>();
    assert!(bytes <= Limits::NEWEST.orphan_bytes_max, "{bytes}");
    assert!(bytes + 1_000 > Limits::NEWEST.orphan_bytes_max, "{bytes}");
    assert!(state.orphans().all(|orphan| orphan.bytes() < 1_000));
    assert_eq!(state.orphans().next_back().unwrap().attempt.task, TaskId(1_099_999));
    let left = u64::try_from(state.orphans().len()).unwrap();
    let meta = state.meta();
    assert_eq!(meta.orphans_displaced, meta.orphans_found - left);
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn a_submission_as_large_as_may_be_is_one_command() {
    let mut state = State::new();
    let most = Limits::NEWEST.tasks_per_submit_max;

    let count = u32::try_from(most).unwrap();
    let reply = Reply::Submitted { first: TaskId(1), count, repeated: false };
    assert_eq!(submit(&mut state, most, None), reply);
    let (_, queue) = state.queue().next().unwrap();
    let seventeenth = state.task(TaskId(17)).unwrap();
    assert_eq!((queue.len(), queue.position(seventeenth, most)), (most, 16));
    assert_eq!(queue.position(seventeenth, 10), 10);
}

#[test]
fn live_tasks_take_no_more_memory_than_they_may() {
    let mut state = State::new();
    connect(&mut state);
    let bytes = spec().bytes();
    let begin = Command::BeginTerm(BeginTerm {
        term: Term(1),
        leader: MasterId(1),
        cluster: ClusterId(1),
        live_bytes_max: 2 * bytes + 1,
    });
    apply(&mut state, begin);

    submit(&mut state, 1, None);
    let full = |state: &State, wanted| Rejection::QueueFull {
        bytes: state.live_bytes(),
        wanted,
        bytes_max: 2 * bytes + 1,
    };
    assert_eq!(try_submit(&mut state, 2, None), Err(full(&state, 2 * bytes)));
    let keyed = bytes + Limits::KEY_BYTES + 1;
    assert_eq!(try_submit(&mut state, 1, Some("k")), Err(full(&state, keyed)));
    submit(&mut state, 1, None);
    assert_eq!(try_submit(&mut state, 1, None), Err(full(&state, bytes)));

    // Tasks that wait in the full queue still run and end, and make room.
    assign(&mut state, [TaskId(1)]);
    finish(&mut state, [TaskId(1)], &AttemptOutcome::Exited { code: 0 });
    submit(&mut state, 1, None);
    assert_eq!(state.check_invariants(), Ok(()));
}

#[test]
fn tasks_alike_share_their_class() {
    let mut state = State::new();
    submit(&mut state, 1, None);
    submit(&mut state, 1, None);
    let mut restored = State::new();
    for task in state.tasks_below(None) {
        // As read from disk: nothing is shared yet.
        let spec = Arc::new(TaskSpec {
            class: Arc::new(Class::clone(&task.spec.class)),
            ..TaskSpec::clone(&task.spec)
        });
        restored.restore(Record::Task(Arc::new(Task { spec, ..Task::clone(task) })));
    }

    for state in [&state, &restored] {
        assert!(Arc::ptr_eq(&task(state, 1).spec.class, &task(state, 2).spec.class));
    }
}

#[test]
fn different_requests_that_do_not_fit_are_not_looked_at() {
    let mut state = State::new();
    connect(&mut state);
    submit_sizes(&mut state, [100_000, 99_995]);
    assign(&mut state, [TaskId(1)]);
    for from in [1, 10_001] {
        submit_sizes(&mut state, from..from + 10_000);
    }

    let full = candidates(&state);
    assert_eq!((full.probes(), full.count()), (1, 0));

    finish(&mut state, [TaskId(1)], &AttemptOutcome::Exited { code: 0 });
    let mut empty = candidates(&state);
    let first = empty.by_ref().take(3).map(|head| head.task().0).collect::<Vec<_>>();
    assert_eq!(first, [2, 3, 4]);
    assert!(empty.probes() < 200, "{} probes", empty.probes());

    assign(&mut state, [TaskId(2)]);
    let mut tight = candidates(&state);
    assert_eq!(tight.by_ref().map(|head| head.task().0).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert!(tight.probes() < 200, "{} probes", tight.probes());
}

fn candidates(state: &State) -> Candidates<'_> {
    state.candidates(&QueueName::default(), Since::Unknown, Rank::FIRST).unwrap()
}

fn apply_at(state: &mut State, at: Timestamp, command: Command) -> Reply {
    state.apply(LogIndex(1), Proposal { proposed_at: at, command }).reply.unwrap()
}

fn apply(state: &mut State, command: Command) -> Reply {
    apply_at(state, Timestamp(0), command)
}

fn ticked(fired: u32, more: bool) -> Reply {
    Reply::Ticked { fired, more }
}

fn submit(state: &mut State, count: usize, key: Option<&str>) -> Reply {
    try_submit(state, count, key).unwrap()
}

fn try_submit(state: &mut State, count: usize, key: Option<&str>) -> Result<Reply, Rejection> {
    let idempotency_key = key.map(|key| IdempotencyKey { key: key.into(), fingerprint: 0 });
    let tasks = (0..count).map(|_| Arc::new(spec())).collect();
    let command = Command::SubmitTasks(SubmitTasks { tasks, idempotency_key });
    state.apply(LogIndex(1), Proposal { proposed_at: Timestamp(0), command }).reply
}

fn spec() -> TaskSpec {
    TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: cluster_state::TextMap::default(),
        working_dir: None,
        stdin: None,
        class: Arc::new(Class {
            priority: 50,
            resources: Resources { cpu_milli: 1, ..Resources::default() },
            constraints: Vec::new(),
            worker: None,
            ..Class::default()
        }),
        max_attempts: 3,
        retry_backoff: Duration::from_secs(1),
        run_timeout: None,
        on_disconnect: cluster_state::OnDisconnect::Keep,
        labels: cluster_state::TextMap::default(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    }
}

/// Submits one task for each of these thousandths of a processor.
fn submit_sizes(state: &mut State, sizes: impl IntoIterator<Item = u64>) -> Reply {
    let of_size = |cpu_milli| {
        let resources = Resources { cpu_milli, ..Resources::default() };
        let class = Arc::new(Class { resources, ..Class::clone(&spec().class) });
        Arc::new(TaskSpec { class, ..spec() })
    };
    let tasks = sizes.into_iter().map(of_size).collect();
    apply(state, Command::SubmitTasks(SubmitTasks { tasks, idempotency_key: None }))
}

/// Registers and connects the one worker of these tests.
fn connect(state: &mut State) {
    let (address, labels) = (None, None);
    let register = RegisterWorker { worker: worker(), address, labels };
    apply(state, Command::RegisterWorker(register));
    let connect = ConnectWorker {
        term: Term(0),
        worker: worker(),
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
        specs: Specs {
            total: Resources { cpu_milli: 100_000, ..Resources::default() },
            ..Specs::default()
        },
        unfit: None,
        running: Vec::new(),
        finished: Vec::new(),
    };
    apply(state, Command::ConnectWorker(connect));
}

fn assign(state: &mut State, tasks: impl IntoIterator<Item = TaskId>) {
    let place = |task| Assignment { task, worker: worker() };
    let assignments = tasks.into_iter().map(place).collect();
    let reply =
        apply(state, Command::AssignTasks(AssignTasks { term: state.meta().term, assignments }));
    assert!(matches!(reply, Reply::Assigned(placed) if placed.iter().all(Result::is_ok)));
}

/// Reports this outcome for the last attempts of these tasks.
fn finish(state: &mut State, tasks: impl IntoIterator<Item = TaskId>, outcome: &AttemptOutcome) {
    let end = |id: TaskId| FinishedAttempt {
        attempt: AttemptRef { task: id, attempt: task(state, id.0).last_attempt().unwrap().number },
        outcome: outcome.clone(),
        report: None,
    };
    let attempts = tasks.into_iter().map(end).collect();
    let finish = FinishAttempts { worker: worker(), epoch: Epoch(1), attempts };
    apply(state, Command::FinishAttempts(finish));
}

/// Goes on as a restored cluster does.
fn restore(state: &mut State) {
    let meta = *state.meta();
    let generation = meta.generation.following(meta.next_task, 7);
    let next = |record: Record| record.in_generation(generation, &meta).unwrap_or(record);
    let records = state.records().map(next).collect::<Vec<_>>();
    *state = State::new();
    records.into_iter().for_each(|record| state.restore(record));
}

/// Reports this outcome for the first attempts of these tasks.
fn report(state: &mut State, tasks: std::ops::Range<u64>, outcome: &AttemptOutcome) {
    let end = |id| FinishedAttempt {
        attempt: AttemptRef { task: TaskId(id), attempt: AttemptNumber(1) },
        outcome: outcome.clone(),
        report: None,
    };
    let epoch = state.worker(&worker()).unwrap().epoch;
    let attempts = tasks.map(end).collect();
    apply(state, Command::FinishAttempts(FinishAttempts { worker: worker(), epoch, attempts }));
}

fn task(state: &State, id: u64) -> &Arc<Task> {
    state.task(TaskId(id)).unwrap()
}

fn worker() -> WorkerId {
    "w1".parse().unwrap()
}
