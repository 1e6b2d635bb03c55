//! A followed log through broken streams and further attempts, with a scripted worker at the other
//! end.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use eventually::{PATIENCE, eventually, require};
use parking_lot::Mutex;
use proto::v1;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::one_master::{Answer, OneMaster};
use crate::scripted_worker::{Log, Logs, Script, ScriptedWorker};
use crate::worker_calls::{WorkerCalls, registration};

/// Logs of each attempt, one for each time that it is asked for.
fn in_turn<const N: usize>(logs: [(u32, Vec<Log>); N]) -> Logs {
    let logs = logs.map(|(attempt, logs)| (attempt, VecDeque::from(logs)));
    let logs = Mutex::new(BTreeMap::from(logs));
    Arc::new(move |request: &v1::StreamTaskLogsRequest| {
        let attempt = request.attempt.as_ref().unwrap().attempt;
        let log = logs.lock().get_mut(&attempt).and_then(VecDeque::pop_front);
        log.ok_or_else(|| Status::not_found("this worker has no logs of it"))
    })
}

/// A master with one worker that does as it is told.
struct Scene {
    master: Arc<OneMaster>,
    calls: WorkerCalls,
    worker: ScriptedWorker,
    tasks: TaskTracker,
}

impl Scene {
    /// The worker has so many logs of each attempt, one for each time it is asked.
    async fn begin<const N: usize>(logs: [(u32, Vec<Log>); N]) -> Self {
        let master = OneMaster::start().await;
        let worker =
            ScriptedWorker::serve(Script { logs: in_turn(logs), ..Script::default() }).await;
        let body = json!({"worker_id": "worker-1", "address": worker.address});
        assert_eq!(master.post("/api/workers", &body).await.status, 201);
        let calls = WorkerCalls::of(&master).await;
        Self { master: Arc::new(master), calls, worker, tasks: TaskTracker::new() }
    }

    /// Shows the task's log to its end.
    fn follow(&self, task: &str) -> JoinHandle<Answer> {
        let (master, path) =
            (Arc::clone(&self.master), format!("/api/tasks/{task}/logs?follow=true"));
        self.tasks.spawn(async move { master.get(&path).await })
    }

    /// Registers the worker's process of that number.
    async fn register(&self, start: u64) -> v1::RegisterWorkerResponse {
        let request = registration("worker-1", &self.worker.address, 1, start);
        self.calls.register(request).await.unwrap()
    }

    async fn submit(&self) -> String {
        let task = json!({"command": ["x"], "max_attempts": 2, "retry_backoff": "0s"});
        let answer = self.master.post("/api/tasks", &task).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["task_id"].as_str().unwrap().to_owned()
    }

    async fn finish(&mut self, session: &v1::RegisterWorkerResponse, exit_code: i32) {
        let attempt = self.worker.assigned.next().await;
        self.calls.report(session, attempt, exit_code).await;
    }
}

fn output(text: &str, next_offset: u64) -> Result<v1::LogChunk, Status> {
    let (stream, data) = (v1::OutputStream::Stdout.into(), text.to_owned().into());
    Ok(v1::LogChunk { stream, data, next_offset, ..v1::LogChunk::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_goes_on_with_the_next_attempt() {
    let one = || vec![output("one", 3)];
    let logs = [(1, vec![one(), one()]), (2, vec![vec![output("two\n", 4)]])];
    let mut scene = Scene::begin(logs).await;
    let session = scene.register(1).await;
    let id = scene.submit().await;

    let following = scene.follow(&id);
    scene.worker.log_requests.next().await;
    scene.finish(&session, 1).await;
    scene.finish(&session, 0).await;

    let shown = following.await.unwrap();
    assert_eq!(shown.body, "one\n-- attempt 2 on worker-1 --\ntwo\n");
    assert_eq!(scene.worker.log_requests.next().await.attempt.unwrap().attempt, 2);

    // The first is still to be had on its own, and what is not there ends no longer log.
    let first = scene.master.get(&format!("/api/tasks/{id}/logs?attempt=1")).await;
    assert_eq!(first.body, "one");
    let endpoint = scene.master.grpc().to_string();
    let client = proto::client::Client::new([endpoint], Default::default()).unwrap();
    let request = v1::TaskLogsRequest {
        task_id: id,
        follow: true,
        from_attempt: 1,
        ..v1::TaskLogsRequest::default()
    };
    let mut log = client.logs(request).await.unwrap();
    let mut seen = Vec::new();
    while let Some(chunk) = log.next().await.unwrap() {
        seen.push((chunk.attempt, chunk.worker_id, !chunk.notice.is_empty()));
    }
    let opening = |attempt| (attempt, "worker-1".to_owned(), false);
    let notice = |attempt| (attempt, String::new(), true);
    assert_eq!(seen, [opening(1), notice(1), opening(2), notice(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_opened_again_where_it_broke() {
    let broken = vec![output("one\n", 4), Err(Status::unavailable("the worker is stopping"))];
    let mut scene = Scene::begin([(1, vec![broken, vec![output("two\n", 8)]])]).await;
    let session = scene.register(1).await;
    let id = scene.submit().await;

    let following = scene.follow(&id);
    assert_eq!(scene.worker.log_requests.next().await.stdout_offset, None);
    assert_eq!(scene.worker.log_requests.next().await.stdout_offset, Some(4));
    scene.finish(&session, 0).await;

    assert_eq!(following.await.unwrap().body, "one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_worker_has_not_shown_is_told_and_the_next_attempt_is_shown_whole() {
    let broken = vec![output("one\n", 4), Err(Status::unavailable("connection reset"))];
    let logs = [(1, vec![broken]), (2, vec![vec![output("one\n", 4), output("two\n", 8)]])];
    let mut scene = Scene::begin(logs).await;
    scene.register(1).await;
    let id = scene.submit().await;

    let following = scene.follow(&id);
    scene.worker.log_requests.next().await;
    scene.worker.assigned.next().await;
    // Nothing is left of the first process, nor of what its task had written.
    let session = scene.register(2).await;
    scene.finish(&session, 0).await;

    let gap =
        "-- the output is on worker 'worker-1': worker refused: this worker has no logs of it --";
    let expected = format!("one\n{gap}\n-- attempt 2 on worker-1 --\none\ntwo\n");
    assert_eq!(following.await.unwrap().body, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_are_read_at_once_are_counted() {
    let master = OneMaster::start_with(|config| config.limits.log_streams = 1).await;
    let id = master.submit("true").await;
    let url = format!("http://{}", master.grpc());
    let mut client = v1::task_service_client::TaskServiceClient::connect(url).await.unwrap();
    let request =
        v1::TaskLogsRequest { task_id: id.clone(), follow: true, ..v1::TaskLogsRequest::default() };
    let following = client.logs(request).await.unwrap();

    let second = master.get(&format!("/api/tasks/{id}/logs?follow=true")).await;
    second.problem(429, "overloaded");

    drop(following);
    eventually("the reader's place is free", PATIENCE, async || {
        let answer = master.get(&format!("/api/tasks/{id}/logs")).await;
        require(answer.status != 429, || answer.body)
    })
    .await;
    master.stop().await;
}
