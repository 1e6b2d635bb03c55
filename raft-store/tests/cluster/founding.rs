//! A cluster is founded once, by all of its first members together, and never beside another.

use std::time::Duration;

use cluster_state::{ClusterId, MasterId};
use raft_store::{Leadership, Node};

use crate::harness::{Cluster, eventually, knows, register, throughout};

/// Many times what founding takes.
const LONG: Duration = Duration::from_secs(2);

fn belongs_to_nothing(node: &Node) -> bool {
    node.members().is_empty() && node.cluster_id().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_first_members_must_be_there_once() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.start_member(3, &[1, 2, 3]).await;
    cluster.start_member(1, &[1, 2, 3]).await;
    throughout(LONG, || {
        assert!(cluster.members.values().all(|member| belongs_to_nothing(&member.node)));
    })
    .await;

    cluster.start_member(2, &[1, 2, 3]).await;
    let leader = cluster.node(cluster.leader().await);
    leader.propose(&register("w1")).await.unwrap();
    assert_eq!(leader.members().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_that_were_told_different_first_members_found_nothing() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.start_member(1, &[1, 2, 3]).await;
    cluster.start_member(2, &[1, 2]).await;
    cluster.start_member(3, &[1, 2, 3]).await;
    throughout(LONG, || {
        assert!(cluster.members.values().all(|member| belongs_to_nothing(&member.node)));
    })
    .await;
}

/// Somebody edits `initial_cluster` of a cluster of one in the hope that it grows.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_started_beside_a_cluster_of_one_joins_it() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.start_member(1, &[1]).await;
    cluster.begin_term(ClusterId(7)).await;
    cluster.node(MasterId(1)).propose(&register("w1")).await.unwrap();
    let before = *cluster.node(MasterId(1)).leadership().borrow();

    cluster.start_member(2, &[1, 2, 3]).await;
    cluster.start_member(3, &[1, 2, 3]).await;
    eventually("all are voters", || async {
        let members = cluster.node(MasterId(1)).members();
        (members.iter().filter(|member| member.is_voter).count() == 3).then_some(())
    })
    .await;
    assert_eq!(*cluster.node(MasterId(1)).leadership().borrow(), before);
    for member in cluster.members.values() {
        eventually("its cluster", || async { member.node.linearize().await.ok() }).await;
        assert_eq!(member.node.cluster_id(), Some(ClusterId(7)));
        assert!(knows(&member.node, "w1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_masters_that_have_lost_their_disks_do_not_begin_anew() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    cluster.node(MasterId(1)).propose(&register("w1")).await.unwrap();
    eventually("all have it", || async {
        cluster.members.values().all(|member| knows(&member.node, "w1")).then_some(())
    })
    .await;
    for id in [1, 2, 3] {
        cluster.stop(MasterId(id)).await;
    }
    for id in [2, 3] {
        cluster.wipe(MasterId(id));
        cluster.start_member(id, &[1, 2, 3]).await;
    }
    throughout(LONG, || {
        assert!([2, 3].iter().all(|id| belongs_to_nothing(cluster.node(MasterId(*id)))));
    })
    .await;

    cluster.start_member(1, &[1, 2, 3]).await;
    let survivor = cluster.node(MasterId(1));
    eventually("it has its data", || async { knows(survivor, "w1").then_some(()) }).await;
    throughout(LONG, || {
        let leads = |node: &Node| matches!(*node.leadership().borrow(), Leadership::Leading { .. });
        assert!(cluster.members.values().all(|member| !leads(&member.node)));
        assert!(knows(cluster.node(MasterId(1)), "w1"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_master_that_has_lost_its_disk_is_sent_everything_again() {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let leader = cluster.leader().await;
    cluster.node(leader).propose(&register("w1")).await.unwrap();
    let wiped = cluster.follower().await;
    cluster.stop(wiped).await;
    cluster.wipe(wiped);
    cluster.restart(wiped).await;

    let node = cluster.node(wiped);
    eventually("it has everything", || async { knows(node, "w1").then_some(()) }).await;
    assert_eq!(eventually("its cluster", || async { node.cluster_id() }).await, ClusterId(7));
    eventually("it answers reads", || async { node.linearize().await.ok() }).await;
}
