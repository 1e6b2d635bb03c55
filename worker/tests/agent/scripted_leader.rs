//! A master that does what the test says, and tells the test what the worker says.

use std::net::SocketAddr;
use std::time::Duration;

use eventually::{PATIENCE, eventually, require};
use proto::limits::MESSAGE_BYTES_MAX;
use proto::v1;
use proto::v1::master_service_server::{MasterService, MasterServiceServer};
use proto::v1::worker_service_client::WorkerServiceClient;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};

pub(crate) const CLUSTER: &str = "00000000-0000-0000-0000-0000000000c1";
pub(crate) const EPOCH: u64 = 3;

/// Behavior of the scripted leader.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) lease: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) unwanted: Vec<v1::AttemptRef>,
    pub(crate) wants_registration: bool,
    pub(crate) confirms: bool,
    /// True if calls are answered; they are noted anyway.
    pub(crate) answers: bool,
    /// True if registrations are answered.
    pub(crate) registers: bool,
    /// The verdict on registrations, if it is not a welcome.
    pub(crate) refusal: Option<Code>,
    /// The addresses of the followers.
    pub(crate) followers: Vec<String>,
    /// The leader that the answers name instead.
    pub(crate) successor: Option<v1::LeaderHeader>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(300),
            heartbeat_interval: Duration::from_millis(50),
            heartbeat_timeout: Duration::from_secs(30),
            unwanted: Vec::new(),
            wants_registration: false,
            confirms: true,
            answers: true,
            registers: true,
            refusal: None,
            followers: Vec::new(),
            successor: None,
        }
    }
}

/// Gone, with all its connections, once it is dropped.
pub(crate) struct ScriptedLeader {
    pub(crate) address: SocketAddr,
    pub(crate) registrations: Said<v1::RegisterWorkerRequest>,
    pub(crate) reports: Said<v1::ReportTaskCompletionRequest>,
    pub(crate) heartbeats: Said<v1::HeartbeatRequest>,
    header: v1::LeaderHeader,
    script: watch::Sender<Script>,
    runtime: Option<Runtime>,
}

/// Messages of the worker, in order.
pub(crate) struct Said<T>(mpsc::UnboundedReceiver<T>);

struct LeaderService {
    header: v1::LeaderHeader,
    script: watch::Receiver<Script>,
    registrations: mpsc::UnboundedSender<v1::RegisterWorkerRequest>,
    reports: mpsc::UnboundedSender<v1::ReportTaskCompletionRequest>,
    heartbeats: mpsc::UnboundedSender<v1::HeartbeatRequest>,
}

impl<T> Said<T> {
    pub(crate) async fn next(&mut self) -> T {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn until(&mut self, is_wanted: impl Fn(&T) -> bool) -> T {
        loop {
            let said = self.next().await;
            if is_wanted(&said) {
                return said;
            }
        }
    }

    pub(crate) fn is_silent(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

impl Drop for ScriptedLeader {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl ScriptedLeader {
    pub(crate) async fn start(id: u64, term: u64) -> Self {
        Self::start_with(id, term, Script::default()).await
    }

    pub(crate) async fn start_with(id: u64, term: u64, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(listener, header(id, term, address), script)
    }

    /// A follower, which hands on what the leader of this script would say.
    pub(crate) async fn start_follower(leader: &Self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        leader.change(|script| script.followers.push(address));
        let script = leader.script.borrow().clone();
        Self::serve(listener, leader.header.clone(), script)
    }

    fn serve(listener: TcpListener, header: v1::LeaderHeader, script: Script) -> Self {
        let address = listener.local_addr().unwrap();
        let (script, scripts) = watch::channel(script);
        let (registrations_tx, registrations) = mpsc::unbounded_channel();
        let (reports_tx, reports) = mpsc::unbounded_channel();
        let (heartbeats_tx, heartbeats) = mpsc::unbounded_channel();
        let service = LeaderService {
            header: header.clone(),
            script: scripts,
            registrations: registrations_tx,
            reports: reports_tx,
            heartbeats: heartbeats_tx,
        };
        // A runtime of its own, because connections outlive the server's task.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = listener.into_std().unwrap();
        runtime.spawn(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let router = Server::builder().add_service(
                MasterServiceServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX),
            );
            router.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            registrations: Said(registrations),
            reports: Said(reports),
            heartbeats: Said(heartbeats),
            header,
            script,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn change(&self, edit: impl FnOnce(&mut Script)) {
        self.script.send_modify(edit);
    }

    pub(crate) fn header(&self) -> v1::LeaderHeader {
        self.header.clone()
    }

    /// Tells a worker to come here.
    pub(crate) async fn call(
        &self,
        worker: SocketAddr,
    ) -> Result<v1::MasterRegisterResponse, Status> {
        let request = v1::MasterRegisterRequest {
            leader: Some(self.header()),
            worker_id: "w1".to_owned(),
            masters: masters(&self.header, &self.script.borrow().followers),
        };
        Ok(client(worker).await.master_register(request).await?.into_inner())
    }

    /// Calls, and waits for the worker to come.
    pub(crate) async fn win(&mut self, worker: SocketAddr) -> v1::RegisterWorkerRequest {
        self.call(worker).await.unwrap();
        let registration = self.registrations.next().await;
        // The first heartbeat proves that the answer has arrived.
        self.heartbeats.next().await;
        registration
    }

    pub(crate) async fn assign(
        &self,
        worker: SocketAddr,
        assignments: Vec<v1::Assignment>,
    ) -> Result<Vec<v1::AttemptRef>, Status> {
        let request = v1::AssignTaskRequest {
            leader: Some(self.header()),
            worker_id: "w1".to_owned(),
            epoch: EPOCH,
            assignments,
        };
        Ok(client(worker).await.assign_task(request).await?.into_inner().accepted)
    }

    /// Sends an assignment again and again until the worker accepts it.
    pub(crate) async fn assign_until_accepted(&self, worker: SocketAddr, work: v1::Assignment) {
        eventually("the assignment is accepted", PATIENCE, async || {
            self.assign(worker, vec![work.clone()]).await.map_err(|status| status.to_string())
        })
        .await;
    }

    /// Dismisses a worker again and again until nothing runs there.
    pub(crate) async fn dismiss_until_nothing_runs(&self, worker: SocketAddr, epoch: u64) {
        eventually("nothing runs", PATIENCE, async || {
            let running = self.dismiss(worker, epoch).await.unwrap();
            require(running == 0, || format!("{running} attempts run"))
        })
        .await;
    }

    /// Tells a worker that a registration is off the registry; how many attempts still run there.
    pub(crate) async fn dismiss(&self, worker: SocketAddr, epoch: u64) -> Result<u32, Status> {
        let (leader, worker_id) = (Some(self.header()), "w1".to_owned());
        let request = v1::DismissRequest { leader, worker_id, epoch };
        Ok(client(worker).await.dismiss(request).await?.into_inner().running)
    }

    pub(crate) async fn cancel(&self, worker: SocketAddr, task: u64) -> Result<(), Status> {
        let request = v1::CancelTaskRequest {
            leader: Some(self.header()),
            worker_id: "w1".to_owned(),
            attempts: vec![attempt(task)],
            grace_ms: 60_000,
        };
        client(worker).await.cancel_task(request).await.map(drop)
    }
}

pub(crate) async fn client(worker: SocketAddr) -> WorkerServiceClient<Channel> {
    WorkerServiceClient::connect(format!("http://{worker}")).await.unwrap()
}

pub(crate) fn attempt(task: u64) -> v1::AttemptRef {
    v1::AttemptRef { task_id: format!("t{task}"), attempt: 1 }
}

pub(crate) fn assignment(task: u64, command: &[&str]) -> v1::Assignment {
    v1::Assignment {
        attempt: Some(attempt(task)),
        command: command.iter().map(|&word| word.to_owned()).collect(),
        ..v1::Assignment::default()
    }
}

pub(crate) fn exited(task: u64, code: i32) -> v1::FinishedAttempt {
    let outcome = Some(v1::finished_attempt::Outcome::ExitCode(code));
    v1::FinishedAttempt { attempt: Some(attempt(task)), outcome, ..v1::FinishedAttempt::default() }
}

pub(crate) fn lost(task: u64, loss: v1::AttemptLoss) -> v1::FinishedAttempt {
    let outcome = Some(v1::finished_attempt::Outcome::Lost(loss.into()));
    v1::FinishedAttempt { attempt: Some(attempt(task)), outcome, ..v1::FinishedAttempt::default() }
}

fn header(id: u64, term: u64, address: SocketAddr) -> v1::LeaderHeader {
    v1::LeaderHeader {
        cluster_id: CLUSTER.to_owned(),
        term,
        leader_id: id,
        leader_address: address.to_string(),
    }
}

fn masters(leader: &v1::LeaderHeader, followers: &[String]) -> Vec<v1::MasterAddress> {
    let followers = (100..).zip(followers.iter().cloned());
    let all = [(leader.leader_id, leader.leader_address.clone())].into_iter().chain(followers);
    all.map(|(id, address)| v1::MasterAddress { id, address }).collect()
}

fn attempts(finished: &[v1::FinishedAttempt]) -> Vec<v1::AttemptRef> {
    finished.iter().filter_map(|finished| finished.attempt.clone()).collect()
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap()
}

impl LeaderService {
    async fn script_when(&self, is_reached: impl FnMut(&Script) -> bool) -> Script {
        let mut script = self.script.clone();
        script.wait_for(is_reached).await.map(|script| script.clone()).unwrap_or_default()
    }

    fn leader(&self) -> v1::LeaderHeader {
        self.script.borrow().successor.clone().unwrap_or_else(|| self.header.clone())
    }

    fn masters(&self) -> Vec<v1::MasterAddress> {
        masters(&self.header, &self.script.borrow().followers)
    }
}

#[tonic::async_trait]
impl MasterService for LeaderService {
    async fn register_worker(
        &self,
        request: Request<v1::RegisterWorkerRequest>,
    ) -> Result<Response<v1::RegisterWorkerResponse>, Status> {
        let request = request.into_inner();
        self.registrations.send(request.clone()).unwrap_or_default();
        let script = self.script_when(|script| script.answers && script.registers).await;
        if let Some(code) = script.refusal {
            return Err(Status::new(code, "not this worker"));
        }
        let confirmed = if script.confirms { attempts(&request.finished) } else { Vec::new() };
        Ok(Response::new(v1::RegisterWorkerResponse {
            leader: Some(self.leader()),
            masters: self.masters(),
            epoch: EPOCH,
            heartbeat_interval_ms: milliseconds(script.heartbeat_interval),
            heartbeat_timeout_ms: milliseconds(script.heartbeat_timeout),
            lease_ms: milliseconds(script.lease),
            kill: script.unwanted,
            confirmed,
            relays: script.followers,
        }))
    }

    async fn send_heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        self.heartbeats.send(request.into_inner()).unwrap_or_default();
        let script = self.script_when(|script| script.answers).await;
        Ok(Response::new(v1::HeartbeatResponse {
            leader: Some(self.leader()),
            masters: self.masters(),
            register_again: script.wants_registration,
            relays: script.followers,
            trust_version: 0,
        }))
    }

    async fn report_task_completion(
        &self,
        request: Request<v1::ReportTaskCompletionRequest>,
    ) -> Result<Response<v1::ReportTaskCompletionResponse>, Status> {
        let request = request.into_inner();
        self.reports.send(request.clone()).unwrap_or_default();
        let script = self.script_when(|script| script.answers).await;
        let confirmed = if script.confirms { attempts(&request.finished) } else { Vec::new() };
        Ok(Response::new(v1::ReportTaskCompletionResponse { confirmed, started: request.started }))
    }

    async fn relay_heartbeats(
        &self,
        _: Request<v1::RelayHeartbeatsRequest>,
    ) -> Result<Response<v1::RelayHeartbeatsResponse>, Status> {
        Err(Status::unimplemented("a worker relays nothing"))
    }
}
