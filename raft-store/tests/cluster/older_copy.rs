//! A copy of a disk that is put back under its master neither acknowledges, votes nor stands again.

use std::time::Duration;

use cluster_state::{ClusterId, MasterId};
use raft_store::{Expulsion, Leadership, Node};
use tempfile::TempDir;

use crate::harness::{Cluster, PATIENCE, eventually, knows, register, throughout};

/// Several elections.
const LONG: Duration = Duration::from_secs(2);

/// Three masters, and a copy of the disk of one that has acknowledged more since, to somebody who has heard it.
async fn with_a_copy() -> (Cluster, MasterId, TempDir) {
    let mut cluster = Cluster::start(100_000).await;
    cluster.begin_term(ClusterId(7)).await;
    let id = cluster.follower().await;
    cluster.stop(id).await;
    let copy = cluster.copy(id);
    let copied = cluster.node(cluster.leader().await).reader().applied().index.0;
    cluster.restart(id).await;
    write(&cluster).await;
    eventually("it has all", || async { knows(cluster.node(id), "w4").then_some(()) }).await;
    // It has acknowledged all that it has applied, but the last acknowledgment may still be on its way.
    let node = cluster.node(id).node_id();
    let others = others(&cluster, id);
    eventually("one of the others has heard it", || async {
        let mut seen = others.iter().map(|other| cluster.node(*other).seen_of(node));
        seen.any(|seen| seen.is_some_and(|seen| seen.index > copied)).then_some(())
    })
    .await;
    (cluster, id, copy)
}

async fn write(cluster: &Cluster) {
    let leader = cluster.node(cluster.leader().await);
    for number in 0..5 {
        leader.propose(&register(&format!("w{number}"))).await.unwrap();
    }
}

/// Waits until every other master knows that a log has acknowledged what the leader knows now.
async fn all_know_of(cluster: &Cluster, id: MasterId) {
    let node = cluster.node(id).node_id();
    let leader = cluster.node(cluster.leader().await);
    let had = eventually("the leader knows", || async { leader.seen_of(node) }).await;
    for member in cluster.members.values().filter(|member| member.node.id() != id) {
        eventually("the others know", || async {
            (member.node.seen_of(node) >= Some(had)).then_some(())
        })
        .await;
    }
}

fn others(cluster: &Cluster, id: MasterId) -> Vec<MasterId> {
    cluster.members.keys().copied().filter(|other| *other != id).collect()
}

async fn has_gone_back(node: &Node) {
    let why = tokio::time::timeout(PATIENCE, node.expelled()).await.unwrap();
    assert!(matches!(why, Expulsion::WentBack { had, has } if had > has), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_noticed_by_the_leader_that_it_acknowledged_to() {
    let (mut cluster, id, copy) = with_a_copy().await;
    cluster.stop(id).await;
    cluster.put_back(id, &copy);
    cluster.restart(id).await;
    has_gone_back(cluster.node(id)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_noticed_when_all_others_have_restarted() {
    let (mut cluster, id, copy) = with_a_copy().await;
    cluster.stop(id).await;
    cluster.put_back(id, &copy);
    let others = others(&cluster, id);
    for other in &others {
        cluster.stop(*other).await;
    }
    for other in others {
        cluster.restart(other).await;
    }
    cluster.restart(id).await;
    has_gone_back(cluster.node(id)).await;
}

/// The leader that has seen it is away: together with the third it would be a quorum.
#[tokio::test(flavor = "multi_thread")]
async fn it_elects_nobody_while_its_leader_is_away() {
    let (mut cluster, id, copy) = with_a_copy().await;
    all_know_of(&cluster, id).await;
    let leader = cluster.leader().await;
    cluster.stop(id).await;
    cluster.put_back(id, &copy);
    cluster.stop(leader).await;
    let [third] = *others(&cluster, id) else { panic!("{:?}", cluster.members.keys()) };
    cluster.restart(id).await;
    has_gone_back(cluster.node(id)).await;
    throughout(LONG, || {
        let leads =
            |id| matches!(*cluster.node(id).leadership().borrow(), Leadership::Leading { .. });
        assert!(![id, third].into_iter().any(leads));
    })
    .await;

    cluster.restart(leader).await;
    cluster.node(third).propose(&register("w5")).await.unwrap();
}

/// Its own membership names nobody whom it could ask.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_noticed_when_it_is_of_the_time_before_the_others_came() {
    let mut cluster = Cluster::prepare(100_000).await;
    cluster.start_member(1, &[1]).await;
    cluster.begin_term(ClusterId(7)).await;
    let id = MasterId(1);
    cluster.stop(id).await;
    let copy = cluster.copy(id);
    cluster.start_member(1, &[1]).await;
    for joiner in [2, 3] {
        cluster.start_joiner(joiner, &[1]).await;
    }
    eventually("all vote", || async {
        let members = cluster.node(id).members();
        (members.iter().filter(|member| member.is_voter).count() == 3).then_some(())
    })
    .await;
    write(&cluster).await;
    all_know_of(&cluster, id).await;

    cluster.stop(id).await;
    cluster.put_back(id, &copy);
    cluster.restart(id).await;
    has_gone_back(cluster.node(id)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_that_all_restart_go_on_at_once() {
    let (mut cluster, _, _) = with_a_copy().await;
    let ids = cluster.members.keys().copied().collect::<Vec<_>>();
    for id in &ids {
        cluster.stop(*id).await;
    }
    for id in &ids {
        cluster.restart(*id).await;
    }
    cluster.node(MasterId(1)).propose(&register("w5")).await.unwrap();
    let [_, two, three] = *ids else { panic!("{ids:?}") };
    for id in [two, three] {
        cluster.stop(id).await;
    }
    // One of three that does not come back keeps nobody waiting.
    cluster.restart(two).await;
    cluster.node(two).propose(&register("w6")).await.unwrap();
}
