//! A leader that no quorum confirms for a moment.

use std::time::Duration;

use cluster_state::{MasterId, Term};
use raft_store::Leadership;

use crate::harness::{Cluster, PATIENCE, register};

/// Longer than the lease, and shorter than it takes to elect another.
const STALL: Duration = Duration::from_millis(500);

/// Has the followers do nothing until the leader has lost its lease; returns who it is, and its
/// term.
async fn stall_followers(cluster: &Cluster) -> (MasterId, Term) {
    let leader = cluster.node(cluster.leader().await);
    let Leadership::Leading { term } = *leader.leadership().borrow() else {
        unreachable!("who holds the lease leads")
    };
    for id in cluster.members.keys().filter(|id| **id != leader.id()) {
        cluster.stall(*id, STALL);
    }
    let mut leadership = leader.leadership();
    let lost = leadership.wait_for(|seen| *seen == Leadership::Leaderless { term });
    drop(tokio::time::timeout(PATIENCE, lost).await.unwrap().unwrap());
    (leader.id(), term)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_away_for_a_moment_comes_back_in_the_same_term() {
    let cluster = Cluster::start(100_000).await;
    let (leader, term) = stall_followers(&cluster).await;
    let leader = cluster.node(leader);
    assert!(!leader.holds_quorum_lease());

    assert!(leader.keeps_leading(term).await);
    assert!(leader.holds_quorum_lease());
    leader.propose(&register("w1")).await.unwrap();
    assert!(!leader.keeps_leading(term.next()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_left_alone_gives_up_after_some_seconds() {
    let mut cluster = Cluster::start(100_000).await;
    let leader = cluster.leader().await;
    let Leadership::Leading { term } = *cluster.node(leader).leadership().borrow() else {
        panic!()
    };
    let others = cluster.members.keys().copied().filter(|id| *id != leader).collect::<Vec<_>>();
    for other in others {
        cluster.stop(other).await;
    }
    let node = cluster.node(leader).clone();
    let gave_up = async {
        // It may have been asked before the lease was lost.
        while node.keeps_leading(term).await {
            drop(node.leadership().changed().await);
        }
    };
    tokio::time::timeout(PATIENCE, gave_up).await.unwrap();
    assert!(!node.holds_quorum_lease());
}
