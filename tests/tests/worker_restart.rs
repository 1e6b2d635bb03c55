//! A worker goes away and comes back: nobody has to tell the masters.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_stopped_and_started_is_active_again() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let name = cluster.worker_names().pop().unwrap();

    let worker = cluster.worker_mut(&name).process();
    worker.terminate();
    let status = worker.wait(Duration::from_secs(15)).await;
    assert!(status.success(), "{status}");
    // It has said goodbye: nobody waits for its heartbeat to be missed.
    let worker = client.await_worker(&name, "inactive", Duration::from_secs(5)).await;
    assert_eq!(worker["reason"], "shutdown", "{worker}");
    cluster.worker_mut(&name).start();

    let worker = client.await_worker(&name, "active", CONNECT_PATIENCE).await;
    assert_eq!(worker["epoch"], 2, "{worker}");
    let task = client.submit(&cluster.effects().task("after")).await;
    client.await_state(&task, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_killed_and_started_runs_its_task_again_from_the_start() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let name = cluster.worker_names().pop().unwrap();
    let script = "if [ $CLOUDAI_ATTEMPT = 1 ]; then sleep 60; fi";
    let task = cluster.effects().script("interrupted", script);
    let id = client.submit_under(&task, "interrupted").await.unwrap();
    client.await_state(&id, "running").await;

    cluster.worker_mut(&name).process().kill();
    cluster.worker_mut(&name).start();

    // Long before its lease ends: the new process says that it runs nothing.
    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["attempts"][0]["outcome"], "lost", "{task}");
    assert_eq!(task["attempts"][1]["number"], 2, "{task}");
    cluster.check_history().await;
}
