//! Large commands on their way through a follower.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Class, Command, OnDisconnect, Resources, State, SubmitTasks, TaskSpec, TextMap, WorkerId,
};
use futures_util::future::join_all;
use proto::limits::COMMAND_BYTES_MAX;
use raft_store::{Node, ProposalBounds, ProposeError};

use crate::harness::{Cluster, eventually, knows, register};

const MIB: usize = 1 << 20;
/// Size of one task of these submissions.
const TASK_BYTES: usize = 64 << 10;

/// A submission of about so many bytes.
fn submission(bytes: usize) -> Command {
    let resources = Resources { cpu_milli: 1, memory_mib: 1, ..Resources::default() };
    let worker: WorkerId = "nobody".parse().unwrap();
    let class = Class {
        priority: 50,
        resources,
        constraints: Vec::new(),
        worker: Some(worker),
        ..Class::default()
    };
    let class = Arc::new(class);
    let task = |_| {
        Arc::new(TaskSpec {
            name: None,
            command: vec!["x".repeat(TASK_BYTES)],
            env: TextMap::default(),
            working_dir: None,
            stdin: None,
            class: Arc::clone(&class),
            max_attempts: 1,
            retry_backoff: Duration::ZERO,
            run_timeout: None,
            on_disconnect: OnDisconnect::Keep,
            labels: TextMap::default(),
            secret_env: cluster_state::SecretMap::default(),
            timing: None,
        })
    };
    let tasks = (0..bytes / TASK_BYTES).map(task).collect();
    Command::SubmitTasks(SubmitTasks { tasks, idempotency_key: None })
}

/// A submission whose command has exactly so many bytes in the log.
async fn submission_of(node: &Node, bytes: usize) -> Command {
    let padded = |padding: usize| {
        let Command::SubmitTasks(mut submission) = submission(14 * MIB) else { unreachable!() };
        let last = submission.tasks.last_mut().and_then(Arc::get_mut).unwrap();
        last.command.push("x".repeat(padding));
        Command::SubmitTasks(submission)
    };
    // A refusal tells the size. Below 2^21, where a length takes three bytes, each byte of padding
    // less is a byte less.
    let guess = 2 * MIB - 1;
    let refused = node.propose(&padded(guess)).await;
    let Err(ProposeError::TooLarge { bytes: guessed, .. }) = refused else {
        unreachable!("{refused:?}")
    };
    padded(guess - (usize::try_from(guessed).unwrap() - bytes))
}

/// Three masters and all of their disks on one machine: nobody is dead for being slow.
async fn patient() -> Cluster {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.election_timeout = (Duration::from_secs(3), Duration::from_secs(4));
    for id in [1, 2, 3] {
        cluster.start_member(id, &[1, 2, 3]).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_at_the_bound_goes_every_way_and_one_above_it_none() {
    let mut cluster = patient().await;
    let absent = cluster.follower().await;
    cluster.stop(absent).await;

    let ways = [cluster.leader().await, cluster.follower().await];
    for way in ways {
        let node = cluster.node(way).clone();
        for bytes in [COMMAND_BYTES_MAX - 1, COMMAND_BYTES_MAX] {
            node.propose(&submission_of(&node, bytes).await).await.unwrap();
        }
        let above = COMMAND_BYTES_MAX + 1;
        let refused = node.propose(&submission_of(&node, above).await).await;
        let [bytes, max] = [above, COMMAND_BYTES_MAX].map(|bytes| u64::try_from(bytes).unwrap());
        assert_eq!(refused, Err(ProposeError::TooLarge { bytes, max }));
    }

    // The one that was away is sent all of them.
    let applied = cluster.node(ways[0]).reader().with(State::live_tasks);
    assert_eq!(applied, 4 * 14 * MIB / TASK_BYTES);
    cluster.restart(absent).await;
    eventually("the absent one has applied them", || async {
        let caught_up = cluster.node(absent).reader().with(State::live_tasks);
        (caught_up == applied).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_come_at_once_are_all_answered_for_certain() {
    let cluster = patient().await;
    let follower = cluster.node(cluster.follower().await).clone();
    // Together they would be larger than a message may be.
    let submission = submission(6 * MIB);
    for answer in join_all((0..3).map(|_| follower.propose(&submission))).await {
        answer.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_on_a_follower_is_bounded_in_bytes() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.bounds = ProposalBounds { bytes: 3 * MIB, ..ProposalBounds::default() };
    cluster.start_member(1, &[1, 2, 3]).await;
    // Nobody leads, so everything waits.
    let node = cluster.node(cluster_state::MasterId(1)).clone();
    let submission = submission(MIB - TASK_BYTES);
    let answers = join_all((0..5).map(|_| node.propose(&submission))).await;

    let count = |error: ProposeError| {
        let error = Err(error);
        answers.iter().filter(|answer| **answer == error).count()
    };
    assert_eq!(count(ProposeError::NoLeader), 3, "{answers:?}");
    assert_eq!(count(ProposeError::Overloaded), 2, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_is_sent_entries_of_any_size() {
    let mut cluster = Cluster::start(100_000).await;
    let away = cluster.follower().await;
    cluster.stop(away).await;

    // A request is nearly full before the last of them, which fits into a message by itself only.
    let leader = cluster.node(cluster.leader().await).clone();
    for bytes in [2 * TASK_BYTES; 13].into_iter().chain([COMMAND_BYTES_MAX - TASK_BYTES]) {
        let outcome = leader.propose(&submission(bytes)).await;
        // A verdict against it is in the log as well.
        assert!(matches!(outcome, Ok(_) | Err(ProposeError::Rejected { .. })), "{outcome:?}");
    }
    leader.propose(&register("after")).await.unwrap();

    cluster.restart(away).await;
    let back = cluster.node(away).clone();
    eventually("it has caught up", || async { back.linearize().await.ok() }).await;
    assert!(knows(&back, "after"));
    assert_eq!(back.local_status().snapshot, None, "it was brought up by the log");
}
