//! Random submissions of tasks, and orders to run them again.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Class, Command, Dependency, DependencyKind, ExitCodes, IdempotencyKey, KnownEnds, Link,
    LogIndex, OnDisconnect, Resources, RetryPolicy, RetryTask, SubmitGraph, SubmitTasks, Task,
    TaskGraph, TaskId, TaskSpec, TaskState, TextMap, Timestamp, Timing, When,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::queues::{key, queue};
use super::values::{constraint, resources, worker};

/// Draws a submission.
pub(super) fn submit() -> impl Strategy<Value = Command> {
    let key = ("[ab]", 0..2_u64)
        .prop_map(|(key, fingerprint)| IdempotencyKey { key: key.into(), fingerprint });
    (vec(spec(), 0..4), option::weighted(0.3, key)).prop_map(|(tasks, idempotency_key)| {
        Command::SubmitTasks(SubmitTasks { tasks, idempotency_key })
    })
}

/// Draws a submission of tasks that wait for each other, and for tasks that may be there or not.
pub(super) fn submit_graph() -> impl Strategy<Value = Command> {
    let kind = || prop_oneof![3 => Just(DependencyKind::Success), 1 => Just(DependencyKind::Any)];
    let links = btree_map((0..4_u32, 0..4_u32), kind(), 0..4);
    let named = btree_map((1..9_u64).prop_map(TaskId), kind(), 0..2);
    (vec((spec(), named), 2..5), links, any::<bool>()).prop_map(|(drawn, links, is_sound)| {
        let tasks = drawn.into_iter().map(|(mut spec, named)| {
            let dependencies = named.into_iter().map(|(task, kind)| Dependency { task, kind });
            let spec_mut = Arc::make_mut(&mut spec);
            let timing = spec_mut.timing.take().map(|timing| *timing).unwrap_or_default();
            spec_mut.timing = Timing { dependencies: dependencies.collect(), ..timing }.boxed();
            spec
        });
        let tasks = tasks.collect::<Vec<_>>();
        // Mostly a graph without circles, within the submission.
        let is_allowed = |task: u32, after: u32| {
            !is_sound || after < task && usize::try_from(task).unwrap() < tasks.len()
        };
        let links = links.into_iter().filter(|((task, after), _)| is_allowed(*task, *after));
        let links = links.map(|((task, after), kind)| Link { task, after, kind }).collect();
        let graph = TaskGraph { links, ..TaskGraph::default() };
        Command::SubmitGraph(SubmitGraph { tasks, idempotency_key: None, graph })
    })
}

/// Draws a description of a task.
pub(super) fn spec() -> impl Strategy<Value = Arc<TaskSpec>> {
    let constraints = vec(constraint(), 0..2);
    // A priority above the highest makes the whole submission invalid.
    let priority = prop_oneof![8 => 0..=2_u8, 1 => Just(101_u8)];
    let placed = (constraints, option::weighted(0.1, worker()));
    let class = (priority, resources(0..3), placed, queue(), key()).prop_map(
        |(priority, resources, (constraints, worker), queue, concurrency_key)| {
            let resources = Resources { slots: 1, ..resources };
            Arc::new(Class { priority, resources, constraints, worker, queue, concurrency_key })
        },
    );
    let run_timeout = option::of((1..3_000_u64).prop_map(Duration::from_millis));
    let on_disconnect = prop_oneof![Just(OnDisconnect::Keep), Just(OnDisconnect::Requeue)];
    let secrets = btree_map("[ab]", "[a-z]{0,3}", 1..3);
    let secret_env = option::weighted(0.05, secrets).prop_map(Option::unwrap_or_default);
    let rest = (on_disconnect, secret_env, timing());
    (class, 1..4_u32, 0..3_000_u64, run_timeout, rest).prop_map(
        |(class, max_attempts, backoff, run_timeout, (on_disconnect, secret_env, timing))| {
            Arc::new(TaskSpec {
                name: None,
                command: vec!["true".to_owned()],
                env: TextMap::default(),
                working_dir: None,
                stdin: None,
                class,
                max_attempts,
                retry_backoff: Duration::from_millis(backoff),
                run_timeout,
                on_disconnect,
                labels: TextMap::default(),
                secret_env: secret_env.into(),
                timing,
            })
        },
    )
}

/// Draws the bounds on the life of a task. Most tasks have none.
fn timing() -> impl Strategy<Value = Option<Box<Timing>>> {
    let time = |most: u64| (1..most).prop_map(Duration::from_millis);
    let when = move |most: u64| {
        prop_oneof![
            4 => time(most).prop_map(When::After),
            1 => (0..20_000_u64).prop_map(|at| When::At(Timestamp(at))),
        ]
    };
    let codes = prop_oneof![
        1 => Just(Vec::new()),
        3 => Just(vec![ExitCodes { first: 1, last: 3 }]),
    ];
    let retry = (1_000..4_000_u32, option::of(time(5_000)), 0..=1_000_u32, codes).prop_map(
        |(factor_milli, max_backoff, jitter_milli, codes)| RetryPolicy {
            factor_milli,
            max_backoff,
            jitter_milli,
            final_codes: codes.into(),
        },
    );
    let deadline = option::weighted(0.7, when(3_000));
    let times = (option::weighted(0.3, when(3_000)), option::of(time(3_000)), deadline);
    let timing = (times, retry).prop_map(|((start, queue_timeout, deadline), retry)| Timing {
        start,
        queue_timeout,
        deadline,
        retry,
        ..Timing::default()
    });
    option::weighted(0.35, timing).prop_map(|timing| timing.and_then(Timing::boxed))
}

/// Draws an order to retry a task. The proposer puts in a record that it has read; without one, the task
/// is none that there can be.
pub(super) fn retry() -> impl Strategy<Value = Command> {
    (0..100_u64).prop_map(|known_at| {
        let (task, known_at) = (Arc::new(unknown_task()), LogIndex(known_at));
        Command::RetryTask(RetryTask { task, known_at, ends: KnownEnds::default() })
    })
}

/// Returns a task that there cannot be.
pub(super) fn unknown_task() -> Task {
    let class = Class {
        priority: 1,
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
        max_attempts: 1,
        retry_backoff: Duration::ZERO,
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: TextMap::default(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    };
    Task {
        id: TaskId(u64::MAX),
        spec: Arc::new(spec),
        state: TaskState::Failed,
        reason: None,
        submitted_at: Timestamp(0),
        finished_at: Some(Timestamp(0)),
        failures: 1,
        losses: 0,
        attempts: Vec::new(),
        index: LogIndex(0),
        course: None,
        ahead: None,
    }
}
