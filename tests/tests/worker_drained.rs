//! A worker is emptied before its deadline or by it, and taken back half way.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{require, throughout};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_by_the_deadline_goes_elsewhere() {
    let cluster = Cluster::builder().workers(2).start().await;
    let mut client = cluster.client();
    let task = cluster.effects().endless_at_first("endless");
    let id = client.submit_under(&task, "endless").await.unwrap();
    let task = client.await_state(&id, "running").await;
    let drained = task["attempts"][0]["worker_id"].as_str().unwrap().to_owned();

    let drain = ["worker", "drain", &drained, "--deadline", "1s", "--wait"];
    let done = cluster.clusterctl(&drain).await.expect(0);

    assert!(done.stderr.contains('1') || done.stdout.contains("drained"), "{done:?}");
    let worker = client.worker(&drained).await;
    assert_eq!((&worker["scheduling"], &worker["state"]), (&"drained".into(), &"draining".into()));
    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["attempts"][0]["reason"], "the worker was drained", "{task}");
    assert_ne!(task["attempts"][1]["worker_id"], *drained, "{task}");
    cluster.check_history().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_worker_gets_nothing_until_it_is_opened_again() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    cluster.clusterctl(&["worker", "cordon", "worker-1"]).await.expect(0);
    let id = client.submit(&cluster.effects().task("waits")).await;

    // Its own restart does not open it.
    cluster.worker_mut("worker-1").process().kill();
    cluster.worker_mut("worker-1").start();
    throughout("the task waits", Duration::from_secs(3), async || {
        let task = client.task(&id).await;
        require(task["state"] == "queued", || task.to_string())
    })
    .await;
    let task = client.task(&id).await;
    assert!(task["pending_reason"].as_str().unwrap().contains("cordon"), "{task}");

    cluster.clusterctl(&["worker", "uncordon", "worker-1"]).await.expect(0);
    client.await_state(&id, "completed").await;
}
