//! A task from its submission to its result, with a scripted worker at the other end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use proto::names::name_of;
use proto::v1;
use serde_json::json;

use crate::one_master::OneMaster;
use crate::scripted_worker::{Log, Logs, Script, ScriptedWorker};
use crate::worker_calls::WorkerCalls;

/// Logs that name what was asked for.
fn echo() -> Logs {
    Arc::new(|request: &v1::StreamTaskLogsRequest| {
        let attempt = request.attempt.clone().unwrap();
        let text = format!(
            "{}#{} {}",
            attempt.task_id,
            attempt.attempt,
            name_of::<v1::OutputStream>(request.stream)
        );
        let chunks = [text, "\nend\n".to_owned()]
            .map(|text| (text.into(), v1::OutputStream::Stdout.into()))
            .map(|(data, stream)| Ok(v1::LogChunk { stream, data, ..v1::LogChunk::default() }));
        Ok(Log::from(chunks))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_on_a_worker_and_its_output_is_shown() {
    let master = OneMaster::start().await;
    let mut worker = ScriptedWorker::serve(Script { logs: echo(), ..Script::default() }).await;
    let calls = WorkerCalls::of(&master).await;
    let body = json!({"worker_id": "worker-1", "address": worker.address});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    let session = calls.connect("worker-1", &worker.address, "").await.unwrap();
    assert_eq!(session.heartbeat_interval_ms, 5_000);
    let shown = master.get("/api/workers/worker-1").await.json();
    assert_eq!(shown["is_active"], json!(true));
    assert!(shown["last_heartbeat"].is_string());

    let id = master.submit("true").await;
    let attempt = worker.assigned.next().await;
    assert_eq!((attempt.task_id.as_str(), attempt.attempt), (id.as_str(), 1));
    let path = format!("/api/tasks/{id}/logs?stream=stdout&follow=true&attempt=1");
    let logs = master.get(&path).await;
    assert_eq!((logs.status, logs.body.as_str()), (200, "t1#1 stdout\nend\n"));
    assert_eq!(logs.header("content-type"), "text/plain; charset=utf-8");

    let wait = format!("/api/tasks/{id}/wait?timeout=20s");
    let (waited, confirmed) =
        tokio::join!(master.get(&wait), calls.report(&session, attempt.clone(), 0));
    assert_eq!(confirmed, 1);
    assert_eq!(waited.json()["state"], "completed");
    assert_eq!(waited.json()["exit_code"], 0);
    assert_eq!(waited.json()["attempts"][0]["worker_id"], "worker-1");

    // Said twice, it counts once.
    calls.report(&session, attempt, 0).await;
    for line in [
        "cloudai_attempts_total{outcome=\"completed\"} 1",
        "cloudai_task_submit_to_start_seconds_count 1",
        "cloudai_stale_rejections_total{kind=\"completion\"} 1",
        "cloudai_workers{state=\"active\"} 1",
    ] {
        master.until_metrics_say(line).await;
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_nobody_has_is_a_problem() {
    let master = OneMaster::start().await;
    let id = master.submit("true").await;
    let problem = master.get(&format!("/api/tasks/{id}/logs")).await.problem(404, "not-found");
    assert_eq!(problem["detail"], "task t1 is queued and has not been started");
    master.get("/api/tasks/t9/logs").await.problem(404, "not-found");
    let odd = master.get(&format!("/api/tasks/{id}/logs?stream=stdin")).await;
    odd.problem(400, "malformed");
    master.stop().await;
}
