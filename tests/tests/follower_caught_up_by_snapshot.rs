//! A follower that was away for longer than the log reaches back gets a snapshot.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_entries_are_purged_is_sent_a_snapshot() {
    let small_log = Cluster::builder()
        .master_arg("--raft-snapshot-every", "200")
        .master_arg("--raft-log-kept", "20")
        .master_arg("--raft-log-held-bytes", "0");
    let mut cluster = small_log.start().await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader).pop().unwrap();
    let left_at = cluster.own_status(follower).await["last_log_index"].as_u64().unwrap();
    cluster.master_mut(follower).kill();

    let mut client = cluster.client_without(follower);
    for number in 0..700 {
        let name = format!("task-{number}");
        client.submit_under(&cluster.effects().task(&name), &name).await.unwrap();
    }
    let lacks = f64::from(u32::try_from(left_at + 1).unwrap());
    eventually("the leader has purged what it lacks", Duration::from_secs(10), async || {
        let mut client = cluster.client_of(leader);
        let first = client.metric("cloudai_raft_first_log_index").await;
        require(first > Some(lacks), || format!("{first:?}"))
    })
    .await;
    cluster.master_mut(follower).restart();
    cluster.await_ready(follower).await;

    cluster.check_replicas_agree().await;
    let snapshot = cluster.own_status(follower).await["snapshot_index"].as_u64();
    assert!(snapshot > Some(left_at), "it did without a snapshot: {snapshot:?}");

    // What it was sent is as good as the original: it may lead with it, after a restart too.
    cluster.master_mut(follower).kill();
    cluster.master_mut(follower).restart();
    cluster.await_ready(follower).await;
    let transfer = ["leader", "transfer", "--to", &follower.to_string()];
    cluster.clusterctl(&transfer).await.expect(0);
    assert_eq!(cluster.leader_among(&[follower]).await, follower);
    for _ in 0..2 {
        cluster.add_worker().await;
    }
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}
