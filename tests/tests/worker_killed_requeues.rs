//! A worker dies for good: its tasks run elsewhere once its lease is over.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{eventually, require};

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_dead_worker_run_elsewhere() {
    let short_lease = Cluster::builder()
        .workers(2)
        .master_arg("--worker-heartbeat-interval", "200ms")
        .master_arg("--worker-heartbeat-timeout", "1s")
        .master_arg("--worker-lease", "2s");
    let mut cluster = short_lease.start().await;
    let mut client = cluster.client();
    let task = cluster.effects().endless_at_first("orphan");
    let id = client.submit_under(&task, "orphan").await.unwrap();
    let task = client.await_state(&id, "running").await;
    let lost = task["attempts"][0]["worker_id"].as_str().unwrap().to_owned();

    let effects = cluster.effects().clone();
    eventually("the first attempt runs", CONNECT_PATIENCE, async || {
        require(effects.first_process("orphan").is_some(), || "no process".to_owned())
    })
    .await;

    cluster.worker_mut(&lost).process().kill();

    client.await_worker(&lost, "inactive", Duration::from_secs(10)).await;
    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "completed", "{task}");
    let first = effects.first_process("orphan");
    assert_eq!(first, None, "it was gone before the second began");
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{task}");
    assert_eq!(attempts[0]["outcome"], "lost", "{task}");
    assert_ne!(attempts[1]["worker_id"], lost, "{task}");
    let worker = client.worker(&lost).await;
    assert_eq!(worker["running_tasks"], 0, "{worker}");
    assert_eq!(worker["allocated"]["cpu"], 0.0, "{worker}");
    cluster.check_history().await;
}
