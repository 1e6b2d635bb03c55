//! A worker sleeps for longer than its lease: its task runs elsewhere, and when it wakes up it ends
//! what it ran before it does anything else.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{eventually, require};

#[tokio::test(flavor = "multi_thread")]
async fn what_it_ran_is_ended_and_never_counts() {
    let mut cluster = Cluster::builder().workers(2).short_lease().start().await;
    let mut client = cluster.client();
    let task = cluster.effects().endless_at_first("endless");
    let id = client.submit_under(&task, "endless").await.unwrap();
    let task = client.await_state(&id, "running").await;
    let frozen = task["attempts"][0]["worker_id"].as_str().unwrap().to_owned();
    let first = eventually("the first attempt runs", Duration::from_secs(10), async || {
        cluster.effects().first_process("endless").ok_or("no process yet".to_owned())
    })
    .await;

    cluster.worker_mut(&frozen).process().freeze();
    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["attempts"][0]["outcome"], "lost", "{task}");
    assert_ne!(task["attempts"][1]["worker_id"], *frozen, "{task}");
    cluster.worker_mut(&frozen).process().thaw();

    eventually("the late attempt is ended", Duration::from_secs(10), async || {
        let left = cluster.effects().first_process("endless");
        require(left.is_none(), || format!("process {first} lives"))
    })
    .await;
    let worker = client.await_worker(&frozen, "active", CONNECT_PATIENCE).await;
    assert_eq!(worker["running_tasks"], 0, "{worker}");
    assert_eq!(client.task(&id).await, task, "the late attempt changed a finished task");
    let after = client.submit(&cluster.effects().task("after")).await;
    client.await_state(&after, "completed").await;
    cluster.check_history().await;
}
