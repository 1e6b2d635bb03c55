//! The link to a worker comes and goes: what runs there runs on, once.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use cluster_tests::firewall::{self, Cut};

#[tokio::test(flavor = "multi_thread")]
async fn short_outages_cost_no_running_task() {
    if let Some(obstacle) = firewall::obstacle() {
        eprintln!("SKIPPED: no network can be cut here: {obstacle}");
        return;
    }
    let cluster = Cluster::builder()
        .workers(1)
        .cuttable()
        .master_arg("--worker-heartbeat-interval", "200ms")
        .master_arg("--worker-heartbeat-timeout", "1s")
        .master_arg("--worker-lease", "60s")
        .start()
        .await;
    let mut client = cluster.client();
    let task = cluster.effects().lasting("lasting", Duration::from_secs(12));
    let id = client.submit_under(&task, "lasting").await.unwrap();
    client.await_state(&id, "running").await;

    for _ in 0..3 {
        let cut = Cut::off_worker(&cluster, "worker-1");
        client.await_worker("worker-1", "inactive", Duration::from_secs(10)).await;
        drop(cut);
        client.await_worker("worker-1", "active", CONNECT_PATIENCE).await;
    }

    let task = client.await_state(&id, "completed").await;
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "it was disturbed: {task}");
    let history = client.get("/api/workers/worker-1/history").await.expect(200).json();
    let events = history["events"].as_array().unwrap();
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((count("disconnected"), count("connected")), (3, 4), "{history}");
    cluster.check_history().await;
}
