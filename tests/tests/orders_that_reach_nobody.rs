//! An order that its worker does not carry out, as every master shows it.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_on_every_master_why_an_order_is_not_carried_out() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let id = client.submit(&cluster.effects().endless_at_first("endless")).await;
    client.await_state(&id, "running").await;
    cluster.worker_mut("worker-1").process().freeze();
    client.delete(&format!("/api/tasks/{id}")).await.expect(202);

    for master in cluster.master_ids() {
        let mut client = cluster.client_of(master);
        eventually("all views agree", Duration::from_secs(20), async || {
            let shown = client.task(&id).await["pending_reason"].clone();
            for path in ["/api/tasks?state=cancelling", "/api/workers/worker-1/tasks"] {
                let listed = client.get(path).await.json();
                let listed = &listed["tasks"][0]["pending_reason"];
                require(shown.is_string() && *listed == shown, || {
                    format!("{path} on {master}: {listed} and {shown}")
                })?;
            }
            Ok(())
        })
        .await;
    }

    cluster.worker_mut("worker-1").process().thaw();
    client.await_end(&id).await;
    cluster.check_history().await;
}
