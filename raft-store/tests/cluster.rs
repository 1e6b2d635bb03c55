//! Three nodes in one process: elections, forwarding, reads, hand-over, catching up, strangers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

#[path = "cluster/backup.rs"]
mod backup;
#[path = "cluster/founding.rs"]
mod founding;
#[path = "cluster/gate.rs"]
mod gate;
#[path = "cluster/hand_over.rs"]
mod hand_over;
#[path = "cluster/harness.rs"]
mod harness;
#[path = "cluster/large.rs"]
mod large;
#[path = "cluster/membership.rs"]
mod membership;
#[path = "cluster/older_copy.rs"]
mod older_copy;
#[path = "cluster/recovery.rs"]
mod recovery;
#[path = "cluster/restore.rs"]
mod restore;
#[path = "cluster/retention.rs"]
mod retention;
#[path = "cluster/snapshots.rs"]
mod snapshots;
#[path = "cluster/stall.rs"]
mod stall;
#[path = "cluster/strangers.rs"]
mod strangers;
#[path = "cluster/time.rs"]
mod time;

use std::sync::Arc;

use cluster_state::{
    BeginTerm, ClusterId, Command, MasterId, Registered, Rejection, Reply, State, Term, Tick,
    UnregisterWorker,
};
use raft_store::{Leadership, LogBounds, ProposeError, ReadError};

use self::harness::{Cluster, PATIENCE, eventually, knows, register};

fn records(state: &State) -> Vec<String> {
    state.records().map(|record| format!("{record:?}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_takes_writes_and_answers_linearizable_reads() {
    let cluster = Cluster::start(100_000).await;
    cluster.leader().await;
    for (number, writer) in cluster.members.values().enumerate() {
        let worker = format!("w{number}");
        let committed = writer.node.propose(&register(&worker)).await.unwrap();
        assert_eq!(committed.reply, Reply::Registered(Registered::New));
        for reader in cluster.members.values() {
            let point = reader.node.linearize().await.unwrap();
            assert!(point.index >= committed.index);
            assert!(knows(&reader.node, &worker));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_reach_the_same_state() {
    let cluster = Cluster::start(100_000).await;
    let node = cluster.node(cluster.follower().await);
    let proposals = (0..500).map(|number| {
        let node = node.clone();
        async move { node.propose(&register(&format!("w{number}"))).await.unwrap() }
    });
    futures_util::future::join_all(proposals).await;
    for member in cluster.members.values() {
        member.node.linearize().await.unwrap();
    }
    let states = cluster.members.values().map(|m| m.node.reader().with(records));
    let states = states.collect::<Vec<_>>();
    assert_eq!(states[0], states[1]);
    assert_eq!(states[1], states[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_reaches_whoever_asked_a_follower() {
    let cluster = Cluster::start(100_000).await;
    let node = cluster.node(cluster.follower().await);
    let unregister =
        Command::UnregisterWorker(UnregisterWorker { worker: "nobody".parse().unwrap() });
    let refused = node.propose(&unregister).await.unwrap_err();
    assert!(refused.is_certain());
    let ProposeError::Rejected { rejection, .. } = refused else { panic!("{refused}") };
    assert_eq!(rejection, Rejection::UnknownWorker { worker: "nobody".into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_outlives_its_leader() {
    let mut cluster = Cluster::start(100_000).await;
    let first = cluster.leader().await;
    cluster.node(first).propose(&register("before")).await.unwrap();
    cluster.stop(first).await;

    let survivor = cluster.node(*cluster.members.keys().next().unwrap()).clone();
    survivor.propose(&register("after")).await.unwrap();
    assert!(knows(cluster.node(cluster.leader().await), "before"));

    cluster.restart(first).await;
    let back = cluster.node(first).clone();
    back.linearize().await.unwrap();
    assert!(knows(&back, "before") && knows(&back, "after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_majority_answers_nothing() {
    let mut cluster = Cluster::start(100_000).await;
    let last = cluster.leader().await;
    let others = cluster.members.keys().copied().filter(|id| *id != last).collect::<Vec<_>>();
    for other in others {
        cluster.stop(other).await;
    }
    let node = cluster.node(last).clone();
    let mut leadership = node.leadership();
    tokio::time::timeout(
        PATIENCE,
        leadership.wait_for(|seen| matches!(seen, Leadership::Leaderless { .. })),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(!node.holds_quorum_lease());
    let (written, read) = tokio::join!(async { node.propose(&register("lost")).await }, async {
        node.linearize().await
    });
    assert_eq!(written, Err(ProposeError::NoLeader));
    assert_eq!(read, Err(ReadError::NoLeader));
    assert!(!knows(&node, "lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_of_an_older_term_is_refused() {
    let cluster = Cluster::start(100_000).await;
    let leader = cluster.node(cluster.leader().await);
    let Leadership::Leading { term } = *leader.leadership().borrow() else { panic!() };
    let barrier = begin_term(term, leader.id());
    leader.propose_as_leader(term, &barrier).await.unwrap();

    let stale = Command::Tick(Tick { term: Term(0), forget: Vec::new() });
    let refused = leader.propose_as_leader(term, &stale).await.unwrap_err();
    let ProposeError::Rejected { rejection, .. } = refused else { panic!("{refused}") };
    assert_eq!(rejection, Rejection::StaleTerm { term: Term(0), current: term });

    let not_ours = leader.propose_as_leader(term.next(), &stale).await;
    assert_eq!(not_ours, Err(ProposeError::NotLeader { leader: None }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_learns_the_cluster_id_for_good() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    for member in cluster.members.values() {
        assert_eq!(member.node.cluster_id(), Some(ClusterId(7)));
    }
    let follower = cluster.follower().await;
    cluster.stop(follower).await;
    cluster.restart(follower).await;
    assert_eq!(cluster.node(follower).cluster_id(), Some(ClusterId(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_for_long_is_brought_up_by_a_snapshot() {
    let mut cluster = Cluster::prepare(50).await;
    cluster.log = LogBounds { held_bytes: 0, ..cluster.log };
    for id in [1, 2, 3] {
        cluster.start_member(id, &[1, 2, 3]).await;
    }
    let away = cluster.follower().await;
    cluster.stop(away).await;

    let leader = Arc::new(cluster.node(cluster.leader().await).clone());
    for number in 0..300 {
        leader.propose(&register(&format!("w{number}"))).await.unwrap();
    }
    eventually("the log is purged", || async {
        leader.local_status().purged.filter(|purged| purged.0 > 100)
    })
    .await;

    cluster.restart(away).await;
    let back = cluster.node(away).clone();
    // One read waits five seconds at most for what has yet to be applied.
    eventually("it has caught up", || async { back.linearize().await.ok() }).await;
    assert!(knows(&back, "w0") && knows(&back, "w299"));
    // Readers see what a snapshot brought as soon as it is installed; the status follows.
    eventually("the status names it", || async { back.local_status().snapshot }).await;
}

fn begin_term(term: Term, leader: MasterId) -> Command {
    let live_bytes_max = cluster_state::Limits::LIVE_BYTES_DEFAULT;
    Command::BeginTerm(BeginTerm { term, leader, cluster: ClusterId(7), live_bytes_max })
}
