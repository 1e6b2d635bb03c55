//! Tests of the usage that workers report of their machines.

use std::time::Duration;

use eventually::{PATIENCE, eventually, require};
use serde_json::{Value, json};

use crate::event_socket::EventSocket;
use crate::one_master::OneMaster;
use crate::worker_session::{WorkerSession, pre_register};

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_known_from_the_first_report_to_the_end_of_the_session() {
    let master = OneMaster::start().await;
    let metrics = "/api/workers/worker-1/metrics";
    master.get(metrics).await.problem(404, "not-found");
    pre_register(&master, "worker-1").await;
    assert_eq!(master.get(metrics).await.status, 204);
    let mut session = WorkerSession::open(&master, "worker-1").await;
    assert_eq!(master.get(metrics).await.status, 204);

    session.report(12.5).await;
    session.report(f64::NAN).await;
    session.report(250.0).await;
    let known = master.get(metrics).await.json();
    assert_eq!(known["worker_id"], "worker-1");
    let cpu = |sample: &Value| sample["cpu"].as_f64();
    let history = known["history"].as_array().map(|history| history.iter().map(cpu).collect());
    assert_eq!(history, Some(vec![Some(12.5), Some(100.0)]), "{known}");
    let latest = &known["latest"];
    assert_eq!(latest["running_tasks"], 3);
    assert_eq!((&latest["memory"], &latest["gpu"]), (&json!(50.0), &json!(50.0)));
    assert!(latest["timestamp"].is_string());

    session.goodbye_of_another_arrives().await;
    assert_eq!(master.get(metrics).await.status, 200, "another process ended the session");
    session.say_goodbye().await;
    assert_eq!(master.get(metrics).await.status, 204);
    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);
    master.get(metrics).await.problem(404, "not-found");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_told_as_it_is_reported() {
    let master = OneMaster::start().await;
    let mut session = WorkerSession::open(&master, "worker-1").await;
    let mut socket = EventSocket::watch(&master, &["telemetry"]).await;
    // The first reports may come before the master listens to itself.
    let told = loop {
        session.report(12.5).await;
        if let Some(told) = socket.next_within(Duration::from_millis(100)).await {
            break told;
        }
    };
    let mut expected = json!({"type": "telemetry", "worker_id": "worker-1", "cpu": 12.5,
                              "memory": 50.0, "storage": 50.0, "gpu": 50.0, "running_tasks": 3});
    expected["timestamp"] = told["timestamp"].clone();
    assert_eq!(told, expected);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_on_a_worker_come_in_pages() {
    let master = OneMaster::start().await;
    let _session = WorkerSession::open(&master, "worker-1").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(json!(master.submit("true").await));
    }
    // They are placed as soon as the scheduler has looked.
    let listed = async |path: &str| {
        let page = master.get(&format!("/api/workers/worker-1/tasks{path}")).await.json();
        let tasks = page["tasks"].as_array().cloned().unwrap_or_default();
        let ids = tasks.iter().map(|task| task["task_id"].clone()).collect::<Vec<_>>();
        (ids, page["next_cursor"].clone())
    };
    eventually("all are placed", PATIENCE, async || {
        let placed = listed("").await.0;
        require(placed.len() == ids.len(), || format!("only {placed:?}"))
    })
    .await;
    ids.reverse();
    assert_eq!(listed("").await, (ids.clone(), json!(null)));
    let (first, cursor) = listed("?limit=2").await;
    assert_eq!(first, ids.get(..2).unwrap_or_default());
    let cursor = cursor.as_str().unwrap_or_default();
    let (second, end) = listed(&format!("?limit=2&cursor={cursor}")).await;
    assert_eq!((second.as_slice(), end), (ids.get(2..).unwrap_or_default(), json!(null)));
    assert!(listed("?state=queued").await.0.is_empty());

    pre_register(&master, "idle").await;
    assert_eq!(master.get("/api/workers/idle/tasks").await.json()["tasks"], json!([]));
    master.get("/api/workers/nobody/tasks").await.problem(404, "not-found");
    master.stop().await;
}
