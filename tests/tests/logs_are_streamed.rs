//! Output of a task can be read while it runs and afterwards, through any master.

use std::time::Duration;

use cluster_tests::cluster::Cluster;
use eventually::{eventually, require};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn output_arrives_while_the_task_runs() {
    let cluster = Cluster::builder().workers(1).start().await;
    let mut client = cluster.client();
    let gate = cluster.path("gate");
    let script = format!(
        "echo first; while [ ! -e {} ]; do sleep 0.05; done; echo second; echo third >&2",
        gate.display()
    );
    let id = client.submit(&json!({"command": ["/bin/sh", "-c", script]})).await;
    client.await_state(&id, "running").await;

    let url = |master| format!("http://{}/api/tasks/{id}/logs", cluster.master(master).http());
    let stream = reqwest::get(format!("{}?follow=true&stream=stdout", url(2))).await.unwrap();
    assert_eq!(stream.status().as_u16(), 200);
    let mut stream = stream;
    let first = tokio::time::timeout(Duration::from_secs(10), stream.chunk()).await.unwrap();
    assert_eq!(first.unwrap().unwrap().as_ref(), b"first\n");
    std::fs::write(&gate, "").unwrap();
    let mut rest = Vec::new();
    while let Some(chunk) =
        tokio::time::timeout(Duration::from_secs(10), stream.chunk()).await.unwrap().unwrap()
    {
        rest.extend_from_slice(&chunk);
    }
    assert_eq!(rest, b"second\n", "it ends with the task");

    client.await_state(&id, "completed").await;
    for master in cluster.master_ids() {
        let all = reqwest::get(url(master)).await.unwrap().text().await.unwrap();
        let mut lines = all.lines().collect::<Vec<_>>();
        lines.sort_unstable();
        assert_eq!(lines, ["first", "second", "third"], "from master {master}");
        let tail = format!("{}?stream=stdout&tail=1", url(master));
        assert_eq!(reqwest::get(tail).await.unwrap().text().await.unwrap(), "second\n");
        let errors = format!("{}?stream=stderr", url(master));
        assert_eq!(reqwest::get(errors).await.unwrap().text().await.unwrap(), "third\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_logs_changes_nothing() {
    let cluster = Cluster::builder().masters(1).workers(1).start().await;
    let mut client = cluster.client();
    let id = client.submit(&json!({"command": ["/bin/echo", "hello"]})).await;
    let before = client.await_state(&id, "completed").await;
    let path = format!("/api/tasks/{id}/logs");
    eventually("its output is there", Duration::from_secs(5), async || {
        let text = client.get(&path).await.expect(200).text();
        require(text == "hello\n", || text)
    })
    .await;
    assert_eq!(client.task(&id).await, before);
}
