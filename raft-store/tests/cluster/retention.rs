//! Tests of the part of its log that a leader keeps for followers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use raft_store::{LogBounds, Node, Published};

use crate::harness::{Cluster, eventually, knows, register};

async fn write(node: &Node, workers: std::ops::Range<u32>) {
    for number in workers {
        node.propose(&register(&format!("w{number}"))).await.unwrap();
    }
}

async fn is_purged(node: &Node) {
    eventually("the log is purged", || async {
        node.local_status().purged.filter(|purged| purged.0 > 100)
    })
    .await;
}

async fn start(held_bytes: u64) -> Cluster {
    let mut cluster = Cluster::prepare(50).await;
    cluster.log = LogBounds { held_bytes, ..cluster.log };
    for id in [1, 2, 3] {
        cluster.start_member(id, &[1, 2, 3]).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_keep_up_is_sent_a_snapshot() {
    let cluster = start(1_000).await;
    let leader = cluster.node(cluster.leader().await).clone();
    let slow = cluster.follower().await;
    write(&leader, 0..1).await;
    cluster.deafen(slow);

    write(&leader, 1..200).await;
    // Only a snapshot can tell it.
    eventually("it has caught up", || async { knows(cluster.node(slow), "w100").then_some(()) })
        .await;
    is_purged(&leader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_held_for_a_member_that_is_a_little_behind() {
    let mut cluster = start(u64::MAX).await;
    let away = cluster.follower().await;
    cluster.stop(away).await;
    let leader = cluster.node(cluster.leader().await).clone();
    write(&leader, 0..200).await;
    eventually("there is a snapshot", || async {
        leader.local_status().snapshot.filter(|snapshot| snapshot.0 > 100)
    })
    .await;

    cluster.restart(away).await;
    let back = cluster.node(away).clone();
    let mut feed = back.reader().subscribe();
    eventually("it has caught up", || async { knows(&back, "w199").then_some(()) }).await;
    while let Ok(published) = feed.try_recv() {
        assert!(!matches!(published, Published::Installed(_)), "it was sent a snapshot");
    }
    // Nobody needs it any more.
    is_purged(&leader).await;
}
