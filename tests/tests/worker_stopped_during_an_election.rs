//! A worker shuts down in the moment in which nobody leads: the next leader hears of it all the same.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};

#[tokio::test(flavor = "multi_thread")]
async fn its_goodbye_reaches_the_next_leader() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let leader = cluster.leader().await;
    let survivors = cluster.others(leader);
    let mut client = cluster.client_without(leader);

    cluster.master_mut(leader).kill();
    cluster.worker_mut("worker-1").process().terminate();

    cluster.leader_among(&survivors).await;
    // Far less than the heartbeat timeout of 30 seconds, after which it would be missed.
    eventually("the worker has said goodbye", Duration::from_secs(10), async || {
        let worker = client.worker("worker-1").await;
        let has_left = worker["is_active"] == false && worker["reason"] == "shutdown";
        require(has_left, || worker.to_string())
    })
    .await;
    let other = client.worker("worker-2").await;
    assert_eq!(other["is_active"], true, "{other}");
    cluster.worker_mut("worker-1").process().wait(Duration::from_secs(10)).await;
}
