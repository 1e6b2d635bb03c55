//! Handing leadership over: to whoever can take it, and to nobody else.

use std::time::Duration;

use cluster_state::MasterId;
use futures_util::future::join_all;
use raft_store::{Node, TransferError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, eventually, register};

/// Half of the time for which a master waits for the answer of a leader.
const READ_MAX: Duration = Duration::from_millis(500);
/// Number of hand-overs in which some question is under way at the wrong moment.
const HAND_OVERS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_on_request() {
    let cluster = Cluster::start(100_000).await;
    let old = cluster.leader().await;
    let to = cluster.follower().await;
    assert_eq!(cluster.node(to).transfer_leader(None).await, Err(TransferError::NotLeader));
    assert_eq!(
        cluster.node(old).transfer_leader(Some(MasterId(9))).await,
        Err(TransferError::NotAMember(MasterId(9)))
    );
    eventually("it has answered this leader", || async {
        match cluster.node(old).transfer_leader(Some(to)).await {
            Err(TransferError::Silent(_)) => None,
            handed_over => {
                assert_eq!(handed_over, Ok(to));
                Some(())
            }
        }
    })
    .await;
    assert_eq!(cluster.leader().await, to);
    cluster.node(old).propose(&register("w1")).await.unwrap();
}

/// Reads until it is told to stop; returns the longest time that a read took.
async fn longest_read(node: &Node, stop: &CancellationToken) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.is_cancelled() {
        let began_at = Instant::now();
        node.linearize().await.unwrap();
        longest = longest.max(began_at.elapsed());
    }
    longest
}

/// The old leader lets a question wait, because it counts no answers. The new one is asked instead.
#[tokio::test(flavor = "multi_thread")]
async fn no_read_waits_for_the_leader_that_hands_over() {
    let cluster = Cluster::start(100_000).await;
    let stop = CancellationToken::new();
    let reads = join_all(cluster.members.values().map(|member| longest_read(&member.node, &stop)));

    let hand_overs = async {
        for _ in 0..HAND_OVERS {
            let leader = cluster.leader().await;
            let hand_over = || async { cluster.node(leader).transfer_leader(None).await.ok() };
            eventually("another master leads", hand_over).await;
        }
        stop.cancel();
    };
    let (longest, ()) = tokio::join!(reads, hand_overs);

    assert!(longest.iter().all(|read| *read < READ_MAX), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_that_answers_is_chosen() {
    let mut cluster = Cluster::start(100_000).await;
    let leader = cluster.leader().await;
    // Of two that have the same log, the greater id would come first.
    let dead = *cluster.members.keys().rev().find(|id| **id != leader).unwrap();
    let living = *cluster.members.keys().find(|id| **id != leader).unwrap();
    cluster.stop(dead).await;

    // For one lease its last answer counts.
    let to = eventually("the dead one is known to be", || async {
        match cluster.node(leader).transfer_leader(None).await {
            Err(TransferError::Silent(id)) if id == dead => None,
            handed_over => Some(handed_over),
        }
    })
    .await;
    assert_eq!(to, Ok(living));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_voter_leads_on() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.start_member(1, &[1]).await;
    let node = cluster.node(cluster.leader().await);

    assert_eq!(node.transfer_leader(None).await, Err(TransferError::NoSuccessor));
    let to = MasterId(2);
    assert_eq!(node.transfer_leader(Some(to)).await, Err(TransferError::NotAMember(to)));
    assert_eq!(node.transfer_leader(Some(MasterId(1))).await, Ok(MasterId(1)));
    assert!(node.holds_quorum_lease());
    node.propose(&register("w1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_handed_over_to_a_dead_master() {
    let mut cluster = Cluster::start(100_000).await;
    let leader = cluster.leader().await;
    let dead = cluster.follower().await;
    cluster.stop(dead).await;
    let node = cluster.node(leader);
    let before = *node.leadership().borrow();

    let refused = node.transfer_leader(Some(dead)).await;
    assert_eq!(refused, Err(TransferError::Silent(dead)));

    assert_eq!(*node.leadership().borrow(), before);
    node.propose(&register("w1")).await.unwrap();
}
