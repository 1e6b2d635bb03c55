//! A task says whether it waits for a silent worker or leaves it.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn only_the_one_that_asked_for_it_leaves_before_the_lease_ends() {
    let mut cluster = Cluster::builder()
        .workers(1)
        .short_lease()
        .master_arg("--worker-lease", "60s")
        .start()
        .await;
    let mut client = cluster.client();
    let stays = client.submit(&cluster.effects().endless_at_first("stays")).await;
    let mut task = cluster.effects().endless_at_first("leaves");
    task["on_disconnect"] = json!("requeue");
    let leaves = client.submit(&task).await;
    for id in [&stays, &leaves] {
        client.await_state(id, "running").await;
    }
    cluster.add_worker().await;

    cluster.worker_mut("worker-1").process().freeze();

    let task = client.await_end(&leaves).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["attempts"][0]["reason"], "the worker was disconnected", "{task}");
    assert_eq!(task["attempts"][1]["worker_id"], "worker-2", "{task}");
    let task = client.task(&stays).await;
    assert_eq!((&task["state"], &task["attempts"][1]), (&"running".into(), &json!(null)), "{task}");

    cluster.worker_mut("worker-1").process().thaw();
    client.await_worker("worker-1", "active", Duration::from_secs(15)).await;
    let task = client.task(&stays).await;
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "it was disturbed: {task}");
    client.delete(&format!("/api/tasks/{stays}")).await.expect(202);
    client.await_end(&stays).await;
    cluster.check_history().await;
}
