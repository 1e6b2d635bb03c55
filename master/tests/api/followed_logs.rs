//! A followed log through broken streams and further attempts, with a scripted worker at the other
//! end.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use proto::v1;
use proto::v1::finished_attempt::Outcome;
use proto::v1::master_service_client::MasterServiceClient;
use proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use crate::one_master::{Answer, OneMaster};

const OLD_PROCESS: &str = "01234567-89ab-cdef-0123-456789abcdef";
const NEW_PROCESS: &str = "fedcba98-7654-3210-fedc-ba9876543210";

type Log = Vec<Result<v1::LogChunk, Status>>;
type Logs = Mutex<BTreeMap<u32, VecDeque<Log>>>;

/// Answers requests for the logs of each attempt as the test says, one after the other.
struct Desk {
    logs: Logs,
    asked: mpsc::UnboundedSender<v1::StreamTaskLogsRequest>,
    assigned: mpsc::UnboundedSender<v1::AttemptRef>,
}

#[tonic::async_trait]
impl WorkerService for Desk {
    type StreamTaskLogsStream = BoxStream<'static, Result<v1::LogChunk, Status>>;

    async fn master_register(
        &self,
        _: Request<v1::MasterRegisterRequest>,
    ) -> Result<Response<v1::MasterRegisterResponse>, Status> {
        Ok(Response::new(v1::MasterRegisterResponse::default()))
    }

    async fn assign_task(
        &self,
        request: Request<v1::AssignTaskRequest>,
    ) -> Result<Response<v1::AssignTaskResponse>, Status> {
        let assignments = request.into_inner().assignments.into_iter();
        let accepted = assignments.filter_map(|one| one.attempt).collect::<Vec<_>>();
        for attempt in &accepted {
            self.assigned.send(attempt.clone()).ok();
        }
        Ok(Response::new(v1::AssignTaskResponse { accepted }))
    }

    async fn cancel_task(
        &self,
        _: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        Ok(Response::new(v1::CancelTaskResponse::default()))
    }

    async fn dismiss(
        &self,
        _: Request<v1::DismissRequest>,
    ) -> Result<Response<v1::DismissResponse>, Status> {
        Ok(Response::new(v1::DismissResponse { running: 0 }))
    }

    async fn stream_task_logs(
        &self,
        request: Request<v1::StreamTaskLogsRequest>,
    ) -> Result<Response<Self::StreamTaskLogsStream>, Status> {
        let request = request.into_inner();
        let attempt = request.attempt.clone().unwrap().attempt;
        self.asked.send(request).ok();
        let log = self.logs.lock().get_mut(&attempt).and_then(VecDeque::pop_front);
        let log = log.ok_or_else(|| Status::not_found("this worker has no logs of it"))?;
        Ok(Response::new(stream::iter(log).boxed()))
    }
}

/// A master with one worker that does as it is told.
struct Scene {
    master: Arc<OneMaster>,
    client: MasterServiceClient<Channel>,
    address: String,
    tasks: TaskTracker,
    asked: mpsc::UnboundedReceiver<v1::StreamTaskLogsRequest>,
    assigned: mpsc::UnboundedReceiver<v1::AttemptRef>,
}

impl Scene {
    /// The worker has so many logs of each attempt, one for each time it is asked.
    async fn begin<const N: usize>(logs: [(u32, Vec<Log>); N]) -> Self {
        let (master, tasks) = (OneMaster::start().await, TaskTracker::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked_tx, asked) = mpsc::unbounded_channel();
        let (assigned_tx, assigned) = mpsc::unbounded_channel();
        let logs = logs.map(|(attempt, logs)| (attempt, logs.into()));
        let logs = Mutex::new(BTreeMap::from(logs));
        let desk = Desk { logs, asked: asked_tx, assigned: assigned_tx };
        let server = Server::builder().add_service(WorkerServiceServer::new(desk));
        tasks.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let body = json!({"worker_id": "worker-1", "address": address});
        assert_eq!(master.post("/api/workers", &body).await.status, 201);
        let url = format!("http://{}", master.grpc());
        let client = MasterServiceClient::connect(url).await.unwrap();
        Self { master: Arc::new(master), client, address, tasks, asked, assigned }
    }

    /// Shows the task's log to its end.
    fn follow(&self, task: &str) -> JoinHandle<Answer> {
        let (master, path) =
            (Arc::clone(&self.master), format!("/api/tasks/{task}/logs?follow=true"));
        self.tasks.spawn(async move { master.get(&path).await })
    }

    async fn register(&mut self, incarnation: &str) -> v1::RegisterWorkerResponse {
        let total = v1::Resources { cpu: Some(4.0), memory_mb: Some(4_096), ..Default::default() };
        let request = v1::RegisterWorkerRequest {
            worker_id: "worker-1".to_owned(),
            incarnation: incarnation.to_owned(),
            data_id: OLD_PROCESS.to_owned(),
            start: if incarnation == OLD_PROCESS { 1 } else { 2 },
            address: self.address.clone(),
            specs: Some(v1::WorkerSpecs { total: Some(total), ..Default::default() }),
            ..Default::default()
        };
        self.client.register_worker(request).await.unwrap().into_inner()
    }

    async fn submit(&self) -> String {
        let task = json!({"command": ["x"], "max_attempts": 2, "retry_backoff": "0s"});
        let answer = self.master.post("/api/tasks", &task).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["task_id"].as_str().unwrap().to_owned()
    }

    async fn finish(&mut self, session: &v1::RegisterWorkerResponse, exit_code: i32) {
        let attempt = self.assigned.recv().await.unwrap();
        let outcome = Some(Outcome::ExitCode(exit_code));
        let report = v1::ReportTaskCompletionRequest {
            cluster_id: session.leader.clone().unwrap().cluster_id,
            worker_id: "worker-1".to_owned(),
            epoch: session.epoch,
            finished: vec![v1::FinishedAttempt { attempt: Some(attempt), outcome }],
        };
        self.client.report_task_completion(report).await.unwrap();
    }
}

fn output(text: &str, next_offset: u64) -> Result<v1::LogChunk, Status> {
    let (stream, data) = ("stdout".to_owned(), text.to_owned().into());
    Ok(v1::LogChunk { stream, data, next_offset, ..v1::LogChunk::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_goes_on_with_the_next_attempt() {
    let one = || vec![output("one", 3)];
    let logs = [(1, vec![one(), one()]), (2, vec![vec![output("two\n", 4)]])];
    let mut scene = Scene::begin(logs).await;
    let session = scene.register(OLD_PROCESS).await;
    let id = scene.submit().await;

    let following = scene.follow(&id);
    scene.asked.recv().await.unwrap();
    scene.finish(&session, 1).await;
    scene.finish(&session, 0).await;

    let shown = following.await.unwrap();
    assert_eq!(shown.body, "one\n-- attempt 2 on worker-1 --\ntwo\n");
    assert_eq!(scene.asked.recv().await.unwrap().attempt.unwrap().attempt, 2);

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
    let session = scene.register(OLD_PROCESS).await;
    let id = scene.submit().await;

    let following = scene.follow(&id);
    assert_eq!(scene.asked.recv().await.unwrap().stdout_offset, None);
    assert_eq!(scene.asked.recv().await.unwrap().stdout_offset, Some(4));
    scene.finish(&session, 0).await;

    assert_eq!(following.await.unwrap().body, "one\ntwo\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_worker_has_not_shown_is_told_and_the_next_attempt_is_shown_whole() {
    let broken = vec![output("one\n", 4), Err(Status::unavailable("connection reset"))];
    let logs = [(1, vec![broken]), (2, vec![vec![output("one\n", 4), output("two\n", 8)]])];
    let mut scene = Scene::begin(logs).await;
    scene.register(OLD_PROCESS).await;
    let id = scene.submit().await;

    let following = scene.follow(&id);
    scene.asked.recv().await.unwrap();
    scene.assigned.recv().await.unwrap();
    // Nothing is left of the first process, nor of what its task had written.
    let session = scene.register(NEW_PROCESS).await;
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
    while master.get(&format!("/api/tasks/{id}/logs")).await.status == 429 {
        tokio::task::yield_now().await;
    }
    master.stop().await;
}
