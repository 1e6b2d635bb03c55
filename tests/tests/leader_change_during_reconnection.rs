//! The leader dies while it goes to workers that have just come back: its successor finishes.

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_is_active_under_the_next_leader() {
    let mut cluster = Cluster::builder().start().await;
    for _ in 0..5 {
        cluster.register_worker().await;
    }
    let leader = cluster.leader().await;

    for name in cluster.worker_names() {
        cluster.worker_mut(&name).start();
    }
    // A round begins every second, so one is under way or about to be.
    cluster.client().await_worker("worker-1", "active", CONNECT_PATIENCE).await;
    cluster.master_mut(leader).kill();

    let next = cluster.leader_among(&cluster.others(leader)).await;
    let mut client = cluster.client_of(next);
    for name in cluster.worker_names() {
        client.await_worker(&name, "active", CONNECT_PATIENCE).await;
    }
    let task = client.submit(&cluster.effects().task("after")).await;
    client.await_state(&task, "completed").await;
    cluster.check_history().await;
}
