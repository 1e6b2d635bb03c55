//! Tasks end when it is too late for them, and run again when a user says so.

use cluster_tests::cluster::Cluster;
use serde_json::{Value, json};

fn with(mut task: Value, more: &Value) -> Value {
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_stops_what_runs() {
    let cluster = Cluster::builder().workers(1).start().await;
    cluster.clusterctl(&["upgrade", "finish"]).await.expect(0);
    let mut client = cluster.client();
    let endless = json!({"command": ["/bin/sleep", "300"], "deadline": "2s"});
    let endless = client.submit(&endless).await;
    let wide = json!({"command": ["true"], "resources": {"gpu": 99}, "queue_timeout": "1s"});
    let wide = client.submit(&wide).await;

    let task = client.await_end(&endless).await;
    assert_eq!(task["state"], "failed", "{task}");
    assert!(task["reason"].as_str().unwrap().starts_with("deadline: "), "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");
    assert_eq!(task["attempts"][0]["reason"], "stopped at the deadline of the task", "{task}");
    let task = client.await_end(&wide).await;
    assert!(task["reason"].as_str().unwrap().starts_with("queue-timeout: "), "{task}");
    cluster.await_converged().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_runs_again_by_hand_also_under_another_leader() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    cluster.clusterctl(&["upgrade", "finish"]).await.expect(0);
    let mut client = cluster.client();
    let flag = cluster.path("flag");
    // Fails with a code that is final until the flag is there.
    let script = format!("[ -e {} ] || exit 70", flag.display());
    let timing = json!({"no_retry_exit_codes": ["64-78"], "retry_factor": 1.5, "max_attempts": 9});
    let id = client.submit(&with(cluster.effects().script("again", &script), &timing)).await;
    let task = client.await_end(&id).await;
    assert_eq!(task["reason"], "failed with an exit code of no_retry_exit_codes", "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "{task}");

    let retried = cluster.clusterctl(&["task", "retry", &id]).await.expect(0);
    assert_eq!(retried.stdout.trim(), format!("{id} queued"));
    assert_eq!(client.await_end(&id).await["retries"], 1);

    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    std::fs::write(&flag, "").unwrap();
    cluster.clusterctl(&["task", "retry", &id, "t999"]).await.expect(3);
    let task = client.await_end(&id).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!((&task["retries"], &task["exit_code"]), (&json!(2), &json!(0)), "{task}");
    let attempts = task["attempts"].as_array().unwrap();
    let ends = attempts.iter().map(|a| (a["number"].as_u64().unwrap(), a["exit_code"].clone()));
    assert_eq!(ends.collect::<Vec<_>>(), [(1, json!(70)), (2, json!(70)), (3, json!(0))]);
    assert_eq!(client.tasks().await.iter().filter(|task| task["task_id"] == *id).count(), 1);

    let over = cluster.clusterctl(&["task", "retry", &id]).await.expect(4);
    assert!(over.stderr.contains("it is completed, not failed, cancelled or aborted"), "{over:?}");
    let shown = cluster.clusterctl(&["task", "show", &id]).await.expect(0).stdout;
    assert!(shown.contains("retry factor") && shown.contains("64-78"), "{shown}");
}
