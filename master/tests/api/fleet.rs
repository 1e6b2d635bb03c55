//! Workers that say what a test wants, and hear what the leader says to them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster_state::{DataId, Incarnation};
use futures_util::stream::{self, BoxStream, StreamExt};
use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;
use proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status};

use crate::one_master::OneMaster;

const PATIENCE: Duration = Duration::from_secs(20);

/// Nobody listens there.
pub(crate) const NOWHERE: &str = "127.0.0.1:9";

/// Workers as the master sees them.
pub(crate) struct Fleet {
    client: MasterServiceClient<Channel>,
}

impl Fleet {
    pub(crate) async fn of(master: &OneMaster) -> Self {
        let url = format!("http://{}", master.grpc());
        Self { client: MasterServiceClient::connect(url).await.unwrap() }
    }

    /// A worker with one processor registers itself.
    pub(crate) async fn connect(
        &self,
        worker: &str,
        address: &str,
        token: &str,
    ) -> Result<v1::RegisterWorkerResponse, Status> {
        let request = registration(worker, address, 1, 1);
        self.register(v1::RegisterWorkerRequest { join_token: token.to_owned(), ..request }).await
    }

    pub(crate) async fn register(
        &self,
        request: v1::RegisterWorkerRequest,
    ) -> Result<v1::RegisterWorkerResponse, Status> {
        Ok(self.client.clone().register_worker(request).await?.into_inner())
    }

    /// Sends a heartbeat and returns true if the master wants the worker to register again.
    pub(crate) async fn heartbeat(&self, worker: &str, epoch: u64) -> bool {
        self.heartbeat_saying(worker, epoch, None).await
    }

    /// As [`Self::heartbeat`], from a worker that says why it cannot start programs.
    pub(crate) async fn heartbeat_saying(
        &self,
        worker: &str,
        epoch: u64,
        unfit: Option<&str>,
    ) -> bool {
        let request = v1::HeartbeatRequest {
            worker_id: worker.to_owned(),
            epoch,
            unfit: unfit.map(str::to_owned),
            ..Default::default()
        };
        let answered = async {
            loop {
                let answer = self.client.clone().send_heartbeat(request.clone()).await;
                // A worker says it again: this master may have begun to lead just now.
                if answer.as_ref().is_err_and(|status| status.code() == Code::Unavailable) {
                    tokio::task::yield_now().await;
                    continue;
                }
                return answer.unwrap().into_inner().register_again;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap()
    }
}

/// Returns the registration of a worker with one processor that was started so often in that
/// directory.
pub(crate) fn registration(
    worker: &str,
    address: &str,
    directory: u128,
    start: u64,
) -> v1::RegisterWorkerRequest {
    let total = v1::Resources { cpu: Some(1.0), memory_mb: Some(4_096), ..Default::default() };
    v1::RegisterWorkerRequest {
        worker_id: worker.to_owned(),
        data_id: DataId(directory).to_string(),
        start,
        incarnation: Incarnation(directory * 100 + u128::from(start)).to_string(),
        address: address.to_owned(),
        address_is_advertised: true,
        specs: Some(v1::WorkerSpecs { total: Some(total), ..Default::default() }),
        ..Default::default()
    }
}

/// Calls that a worker's server receives.
pub(crate) struct Heard {
    pub(crate) dismissals: mpsc::UnboundedReceiver<v1::DismissRequest>,
}

/// Answer of a worker's server to a dismissal.
#[derive(Clone, Copy)]
pub(crate) enum WhenDismissed {
    Obey,
    /// Something runs there until it has been told so often.
    ObeyAfter(usize),
    /// It is another worker.
    Refuse,
    /// It has seen that term.
    ObeyTerm(u64),
}

struct Desk {
    when_dismissed: WhenDismissed,
    dismissals: mpsc::UnboundedSender<v1::DismissRequest>,
    told: AtomicUsize,
}

/// Serves a worker; returns its address and what it hears.
pub(crate) async fn serve(tasks: &TaskTracker, when_dismissed: WhenDismissed) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, dismissals) = mpsc::unbounded_channel();
    let desk = Desk { when_dismissed, dismissals: sender, told: AtomicUsize::new(0) };
    let server = Server::builder().add_service(WorkerServiceServer::new(desk));
    tasks.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    (address, Heard { dismissals })
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
        let accepted = assignments.filter_map(|one| one.attempt).collect();
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
        request: Request<v1::DismissRequest>,
    ) -> Result<Response<v1::DismissResponse>, Status> {
        self.dismissals.send(request.into_inner()).ok();
        let told = self.told.fetch_add(1, Ordering::Relaxed) + 1;
        match self.when_dismissed {
            WhenDismissed::Obey => Ok(Response::new(v1::DismissResponse { running: 0 })),
            WhenDismissed::ObeyAfter(times) => {
                let running = u32::from(told < times);
                Ok(Response::new(v1::DismissResponse { running }))
            }
            WhenDismissed::Refuse => Err(Status::failed_precondition("this is another worker")),
            WhenDismissed::ObeyTerm(seen) => {
                let mut status = Status::failed_precondition("there is a newer leader");
                status.metadata_mut().insert(proto::worker_client::TERM_SEEN, seen.into());
                Err(status)
            }
        }
    }

    async fn stream_task_logs(
        &self,
        _: Request<v1::StreamTaskLogsRequest>,
    ) -> Result<Response<Self::StreamTaskLogsStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }
}
