//! A worker that was registered while it was offline is found when it starts.

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_registered_offline_becomes_active_when_it_starts() {
    let mut cluster = Cluster::builder().start().await;
    let name = cluster.register_worker().await;
    let mut client = cluster.client();
    let worker = client.worker(&name).await;
    assert_eq!(worker["is_active"], false, "{worker}");
    assert_eq!(worker["address"], cluster.worker(&name).address(), "{worker}");
    assert!(worker["last_heartbeat"].is_null(), "{worker}");

    cluster.worker_mut(&name).start();

    let worker = client.await_worker(&name, "active", CONNECT_PATIENCE).await;
    assert_eq!(worker["is_active"], true, "{worker}");
    assert_eq!(worker["total"]["cpu"], 4.0, "{worker}");
    assert_eq!(worker["total"]["memory_mb"], 8192, "{worker}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_nobody_registered_is_refused() {
    let mut cluster = Cluster::builder().masters(1).start().await;
    let grpc = cluster.master(1).grpc().to_owned();
    let name = cluster.register_worker().await;
    let answer = cluster.client().delete(&format!("/api/workers/{name}")).await;
    assert!(answer.status.is_success(), "{}", answer.text());

    cluster.worker_mut(&name).set_masters(&grpc);
    cluster.worker_mut(&name).start();

    let worker = cluster.worker_mut(&name).process();
    eventually::eventually("it is told so", CONNECT_PATIENCE, async || {
        let log = worker.log();
        let is_told = log.contains("not registered");
        eventually::require(is_told, || log)
    })
    .await;
    let workers = cluster.client().get("/api/workers").await.expect(200).json();
    assert_eq!(workers["workers"].as_array().unwrap().len(), 0, "{workers}");
}
