//! The address of a worker belongs to another one now: nobody is taken for somebody else.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{require, throughout};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_at_the_address_of_another_is_refused() {
    let cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let before = client.worker("worker-1").await;

    let address = cluster.worker("worker-1").address().to_owned();
    client.register_worker("ghost", &address).await.expect(201);

    throughout("each stays what it is", Duration::from_secs(4), async || {
        let ghost = client.worker("ghost").await;
        require(ghost["is_active"] == false, || ghost.to_string())?;
        let worker = client.worker("worker-1").await;
        let undisturbed = worker["is_active"] == true && worker["epoch"] == before["epoch"];
        require(undisturbed, || worker.to_string())
    })
    .await;
    let leader = cluster.leader().await;
    let failures = cluster.client_of(leader).metric("cloudai_reconnect_failures_total").await;
    assert!(failures >= Some(1.0), "{failures:?}");
    let tried = cluster.clusterctl(&["-o", "json", "worker", "reconnect", "ghost"]).await;
    assert!(tried.stdout.contains("refused"), "{tried:?}");
}
