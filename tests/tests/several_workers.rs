//! Several workers that were registered offline start at once.

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_become_active() {
    let mut cluster = Cluster::builder().start().await;
    for _ in 0..3 {
        cluster.register_worker().await;
    }
    let names = cluster.worker_names();
    let mut client = cluster.client();
    let workers = client.get("/api/workers").await.expect(200).json();
    let active = workers["workers"].as_array().unwrap().iter().filter(|w| w["is_active"] == true);
    assert_eq!(active.count(), 0, "{workers}");

    for name in &names {
        cluster.worker_mut(name).start();
    }

    for name in &names {
        client.await_worker(name, "active", CONNECT_PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_knows_them_at_once() {
    let mut cluster = Cluster::builder().workers(3).start().await;
    let names = cluster.worker_names();

    let old = cluster.leader().await;
    cluster.master_mut(old).kill();
    let new = cluster.leader_among(&cluster.others(old)).await;

    let mut client = cluster.client_of(new);
    for name in &names {
        let worker = client.worker(name).await;
        assert_eq!(worker["is_active"], true, "a leader change made it inactive: {worker}");
    }
}
