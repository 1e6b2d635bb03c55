//! A task that fails is tried as often as it may be, and then stays failed.

use cluster_tests::cluster::Cluster;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_task_uses_up_its_attempts() {
    let cluster = Cluster::builder().workers(2).start().await;
    let mut client = cluster.client();
    let mut task = cluster.effects().script("failing", "exit 7");
    with(&mut task, &json!({"max_attempts": 3, "retry_backoff": "100ms"}));
    let id = client.submit_under(&task, "failing").await.unwrap();

    let task = client.await_end(&id).await;

    assert_eq!(task["state"], "failed", "{task}");
    assert_eq!(task["exit_code"], 7, "{task}");
    let attempts = task["attempts"].as_array().unwrap();
    let ends = attempts.iter().map(|a| (a["number"].as_u64().unwrap(), a["exit_code"].clone()));
    assert_eq!(ends.collect::<Vec<_>>(), [(1, json!(7)), (2, json!(7)), (3, json!(7))]);
    assert_eq!(cluster.effects().of(&id).len(), 3);
    cluster.check_history().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_once_is_completed_by_its_second_attempt() {
    let cluster = Cluster::builder().masters(1).workers(1).start().await;
    let mut client = cluster.client();
    let mut task = cluster.effects().script("flaky", "[ $CLOUDAI_ATTEMPT = 2 ]");
    with(&mut task, &json!({"retry_backoff": "50ms"}));
    let id = client.submit_under(&task, "flaky").await.unwrap();

    let task = client.await_end(&id).await;

    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["attempts"][0]["outcome"], "failed", "{task}");
    assert_eq!(task["attempts"][1]["outcome"], "completed", "{task}");
    cluster.check_history().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_cannot_start_or_takes_too_long_fails() {
    let cluster = Cluster::builder().masters(1).workers(1).start().await;
    let mut client = cluster.client();
    let absent = json!({"command": ["/no/such/program"], "max_attempts": 1});
    let absent = client.submit(&absent).await;
    let slow = json!({"command": ["/bin/sleep", "60"], "run_timeout": "300ms", "max_attempts": 1});
    let slow = client.submit(&slow).await;

    let task = client.await_end(&absent).await;
    assert_eq!(task["state"], "failed", "{task}");
    assert_eq!(task["attempts"][0]["outcome"], "start-failed", "{task}");
    let why = task["attempts"][0]["reason"].as_str().unwrap_or_default();
    assert!(why.contains("/no/such/program"), "it does not say what is missing: {task}");
    let task = client.await_end(&slow).await;
    assert_eq!(task["state"], "failed", "{task}");
    assert_eq!(task["attempts"][0]["reason"], "ran longer than run_timeout", "{task}");
}

fn with(task: &mut Value, more: &Value) {
    for (key, value) in more.as_object().unwrap() {
        task[key] = value.clone();
    }
}
