//! A task from its submission to its result, with a scripted worker at the other end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use futures_util::stream::{self, BoxStream, StreamExt};
use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;
use proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use crate::one_master::OneMaster;

/// Accepts whatever it is given and passes it on to the test.
struct ScriptedWorker {
    assigned: mpsc::UnboundedSender<v1::AttemptRef>,
}

#[tonic::async_trait]
impl WorkerService for ScriptedWorker {
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
        let attempt = request.attempt.unwrap();
        let text = format!("{}#{} {}", attempt.task_id, attempt.attempt, request.stream);
        let chunks = [text, "\nend\n".to_owned()]
            .map(|text| (text.into(), "stdout".to_owned()))
            .map(|(data, stream)| Ok(v1::LogChunk { stream, data, ..v1::LogChunk::default() }));
        Ok(Response::new(stream::iter(chunks).boxed()))
    }
}

/// Serves a scripted worker; returns its address and what it is given.
async fn worker(tasks: &TaskTracker) -> (String, mpsc::UnboundedReceiver<v1::AttemptRef>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (assigned, given) = mpsc::unbounded_channel();
    let service = WorkerServiceServer::new(ScriptedWorker { assigned });
    let server = Server::builder().add_service(service);
    tasks.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, given)
}

async fn register(
    client: &mut MasterServiceClient<Channel>,
    address: &str,
) -> v1::RegisterWorkerResponse {
    let total = v1::Resources { cpu: Some(4.0), memory_mb: Some(4_096), ..Default::default() };
    let request = v1::RegisterWorkerRequest {
        worker_id: "worker-1".to_owned(),
        incarnation: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        data_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        address: address.to_owned(),
        specs: Some(v1::WorkerSpecs { total: Some(total), ..Default::default() }),
        ..Default::default()
    };
    client.register_worker(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_runs_on_a_worker_and_its_output_is_shown() {
    let master = OneMaster::start().await;
    let tasks = TaskTracker::new();
    let (address, mut given) = worker(&tasks).await;
    let url = format!("http://{}", master.grpc());
    let mut client = MasterServiceClient::connect(url).await.unwrap();
    let body = json!({"worker_id": "worker-1", "address": address});
    assert_eq!(master.post("/api/workers", &body).await.status, 201);
    let session = register(&mut client, &address).await;
    assert_eq!(session.heartbeat_interval_ms, 5_000);
    let shown = master.get("/api/workers/worker-1").await.json();
    assert_eq!(shown["is_active"], json!(true));
    assert!(shown["last_heartbeat"].is_string());

    let id = master.submit("true").await;
    let attempt = given.recv().await.unwrap();
    assert_eq!((attempt.task_id.as_str(), attempt.attempt), (id.as_str(), 1));
    let path = format!("/api/tasks/{id}/logs?stream=stdout&follow=true&attempt=1");
    let logs = master.get(&path).await;
    assert_eq!((logs.status, logs.body.as_str()), (200, "t1#1 stdout\nend\n"));
    assert_eq!(logs.header("content-type"), "text/plain; charset=utf-8");

    let finished = v1::FinishedAttempt {
        attempt: Some(attempt),
        outcome: Some(v1::finished_attempt::Outcome::ExitCode(0)),
    };
    let report = v1::ReportTaskCompletionRequest {
        cluster_id: session.leader.unwrap().cluster_id,
        worker_id: "worker-1".to_owned(),
        epoch: session.epoch,
        finished: vec![finished],
    };
    let wait = format!("/api/tasks/{id}/wait?timeout=20s");
    let (waited, reported) =
        tokio::join!(master.get(&wait), client.report_task_completion(report.clone()));
    assert_eq!(reported.unwrap().into_inner().confirmed.len(), 1);
    assert_eq!(waited.json()["state"], "completed");
    assert_eq!(waited.json()["exit_code"], 0);
    assert_eq!(waited.json()["attempts"][0]["worker_id"], "worker-1");

    // Said twice, it counts once.
    client.report_task_completion(report).await.unwrap();
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
