//! A task reads what it was given, and every client what it leaves as its result, also after the worker is
//! gone and another master leads.

use std::fs;

use cluster_tests::cluster::Cluster;
use serde_json::json;

/// Leaves what it reads.
const COPY: [&str; 3] = ["sh", "-c", "cat > \"$CLOUDAI_RESULT\""];

#[tokio::test(flavor = "multi_thread")]
async fn a_result_outlives_the_worker_and_the_leader() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    // A new cluster reaches the level that has results a moment after it has a leader.
    cluster.clusterctl(&["upgrade", "finish"]).await.expect(0);
    let mut client = cluster.client();

    let text = client.submit(&json!({"command": COPY, "stdin": "ä\n"})).await;
    let bytes = json!({"base64": "AP8="});
    let binary = client.submit(&json!({"command": COPY, "stdin": bytes})).await;
    let large = "head -c 70000 /dev/zero > $CLOUDAI_RESULT";
    let large = client.submit(&json!({"command": ["sh", "-c", large]})).await;
    let none = client.submit(&json!({"command": ["true"]})).await;
    for id in [&text, &binary, &large, &none] {
        client.await_state(id, "completed").await;
    }

    cluster.worker_mut("worker-1").process().kill();
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    let mut client = cluster.client_without(leader);
    let shown = client.task(&text).await;
    assert_eq!((&shown["result"], &shown["result_bytes"]), (&json!("ä\n"), &json!(3)));
    assert_eq!(shown["stdin_bytes"], 3, "{shown}");
    assert_eq!(client.task(&binary).await["result"], bytes);
    let shown = client.task(&large).await;
    let told = "result-too-large: the file had 70000 bytes, at most 65536 are kept";
    assert_eq!((&shown["result_error"], &shown["result"]), (&json!(told), &json!(null)));
    for task in client.tasks().await {
        assert_eq!(task["result"], json!(null), "a page holds no results: {task}");
    }

    let file = cluster.dir().join("input");
    fs::write(&file, "one\n").unwrap();
    let read = cluster.clusterctl(&["task", "result", &text]).await.expect(0);
    assert_eq!(read.stdout, "ä\n");
    let refused = cluster.clusterctl(&["task", "result", &large]).await.expect(3);
    assert!(refused.stderr.contains(told), "{refused:?}");
    let refused = cluster.clusterctl(&["task", "result", &none]).await.expect(3);
    assert!(refused.stderr.contains("has written nothing into CLOUDAI_RESULT"), "{refused:?}");

    cluster.worker_mut("worker-1").start();
    let submit = ["task", "submit", "--wait", "--stdin", file.to_str().unwrap(), "--"];
    let submit = [&submit[..], &COPY].concat();
    let done = cluster.clusterctl(&submit).await.expect(0);
    let id = done.stdout.split_whitespace().next().unwrap().to_owned();
    let shown = cluster.clusterctl(&["task", "show", &id]).await.expect(0).stdout;
    assert!(shown.contains("stdin") && shown.contains("4 bytes"), "{shown}");
    let read = cluster.clusterctl(&["task", "result", &id]).await.expect(0);
    assert_eq!(read.stdout, "one\n");
}
