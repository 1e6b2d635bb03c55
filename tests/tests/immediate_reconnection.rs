//! An operator has offline workers gone to at once, through whichever master.

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{eventually, require};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn any_master_has_workers_gone_to_at_once() {
    // The monitor goes to a worker once, when it is registered.
    let mut cluster = Cluster::builder().master_arg("--reconnect-interval", "1h").start().await;
    let absent = cluster.register_worker().await;
    let present = cluster.register_worker().await;
    let leader = cluster.leader().await;
    let [follower, ..] = *cluster.others(leader) else { panic!("there is one master alone") };
    cluster.worker_mut(&present).start();

    let mut client = cluster.client_of(follower);
    eventually("the worker listens and is reached", CONNECT_PATIENCE, async || {
        let answer = reconnect(&mut client, &format!("/api/workers/{present}/reconnect")).await;
        let outcome = &answer["results"][0]["outcome"];
        // By the time it is asked again it may have come.
        require(outcome == "reached" || outcome == "active", || answer.to_string())
    })
    .await;
    client.await_worker(&present, "active", CONNECT_PATIENCE).await;

    let everyone = reconnect(&mut client, "/api/workers/reconnect").await;
    let expected = json!({"results": [{"worker_id": absent, "outcome": "unreachable"}]});
    assert_eq!(everyone, expected);
    let one = reconnect(&mut client, &format!("/api/workers/{present}/reconnect")).await;
    assert_eq!(one["results"][0]["outcome"], "active");
    let unknown = client.post("/api/workers/nobody/reconnect", &json!({})).await.unwrap();
    unknown.expect(404);

    // Only the leader has a monitor to tell of.
    assert_eq!(client.metric("cloudai_reconnect_monitor_running").await, None);
    let mut client = cluster.client_of(leader);
    assert_eq!(client.metric("cloudai_reconnect_monitor_running").await, Some(1.0));
}

async fn reconnect(client: &mut cluster_tests::client::Client, path: &str) -> Value {
    client.post(path, &json!({})).await.unwrap().expect(200).json()
}
