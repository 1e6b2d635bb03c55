//! A worker that answers masters as a test wants, and tells the test what they say.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;

use eventually::PATIENCE;
use futures_util::stream::{self, BoxStream, StreamExt};
use proto::v1;
use proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use proto::worker_client::TERM_SEEN;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::one_master::free_address;

/// Answers of a scripted worker, which a test may change at any time.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) when_called: WhenCalled,
    pub(crate) when_assigned: WhenAssigned,
    pub(crate) when_cancelled: WhenCancelled,
    pub(crate) when_dismissed: WhenDismissed,
    pub(crate) logs: Logs,
}

/// Answer to a leader that says that it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenCalled {
    Accept,
    Refuse,
    /// None until the script changes.
    Keep,
}

/// Answer to attempts that are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenAssigned {
    Accept,
    /// The worker has no room.
    LeaveOut,
    Refuse,
}

/// Answer to an order to stop attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenCancelled {
    Obey,
    /// The worker knows none of the attempts.
    KnowNone,
}

/// Answer to a leader that says that the worker is unregistered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenDismissed {
    Obey,
    /// Something runs there until the worker has been told so often.
    ObeyAfter(usize),
    /// This is another worker.
    Refuse,
    /// The worker has seen that term.
    ObeyTerm(u64),
}

/// Chunks of a log, and the error that breaks it.
pub(crate) type Log = Vec<Result<v1::LogChunk, Status>>;
/// Finds the log that a master asks for.
pub(crate) type Logs = Arc<dyn Fn(&v1::StreamTaskLogsRequest) -> Result<Log, Status> + Send + Sync>;

impl Default for Script {
    fn default() -> Self {
        Self {
            when_called: WhenCalled::Accept,
            when_assigned: WhenAssigned::Accept,
            when_cancelled: WhenCancelled::Obey,
            when_dismissed: WhenDismissed::Obey,
            logs: Arc::new(|_| Err(Status::not_found("this worker has no logs of it"))),
        }
    }
}

/// An order that came, and the number of attempts in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Assign(usize),
    Cancel(usize),
}

/// Everything of one kind that the worker has heard, in order.
pub(crate) struct Heard<T>(mpsc::UnboundedReceiver<T>);

impl<T> Heard<T> {
    pub(crate) async fn next(&mut self) -> T {
        tokio::time::timeout(PATIENCE, self.0.recv()).await.unwrap().unwrap()
    }

    pub(crate) fn is_silent(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// Listens as long as it is not dropped.
pub(crate) struct ScriptedWorker {
    pub(crate) address: String,
    pub(crate) orders: Heard<Order>,
    pub(crate) assigned: Heard<v1::AttemptRef>,
    pub(crate) dismissals: Heard<v1::DismissRequest>,
    pub(crate) log_requests: Heard<v1::StreamTaskLogsRequest>,
    script: watch::Sender<Script>,
    calls: watch::Receiver<Calls>,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

/// Leaders that called.
#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    count: usize,
    under_way: usize,
}

struct Service {
    script: watch::Receiver<Script>,
    calls: watch::Sender<Calls>,
    orders: mpsc::UnboundedSender<Order>,
    assigned: mpsc::UnboundedSender<v1::AttemptRef>,
    dismissed: watch::Sender<usize>,
    dismissals: mpsc::UnboundedSender<v1::DismissRequest>,
    log_requests: mpsc::UnboundedSender<v1::StreamTaskLogsRequest>,
}

impl ScriptedWorker {
    /// Listens on a free port.
    pub(crate) async fn serve(script: Script) -> Self {
        Self::serve_at(&free_address().await, script).await
    }

    pub(crate) async fn serve_at(address: &str, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (script, scripts) = watch::channel(script);
        let (calls_tx, calls) = watch::channel(Calls::default());
        let (orders_tx, orders) = mpsc::unbounded_channel();
        let (assigned_tx, assigned) = mpsc::unbounded_channel();
        let (dismissals_tx, dismissals) = mpsc::unbounded_channel();
        let (log_requests_tx, log_requests) = mpsc::unbounded_channel();
        let service = Service {
            script: scripts,
            calls: calls_tx,
            orders: orders_tx,
            assigned: assigned_tx,
            dismissed: watch::Sender::new(0),
            dismissals: dismissals_tx,
            log_requests: log_requests_tx,
        };

        let mut server = JoinSet::new();
        let router = Server::builder().add_service(WorkerServiceServer::new(service));
        server.spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        Self {
            address: address.to_owned(),
            orders: Heard(orders),
            assigned: Heard(assigned),
            dismissals: Heard(dismissals),
            log_requests: Heard(log_requests),
            script,
            calls,
            _server: server,
        }
    }

    pub(crate) fn change(&self, edit: impl FnOnce(&mut Script)) {
        self.script.send_modify(edit);
    }

    /// Counts the leaders that called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.borrow().count
    }

    pub(crate) async fn called(&self, times: usize) {
        self.until(|calls| calls.count >= times).await;
    }

    /// Waits until no call is under way: each was answered or given up.
    pub(crate) async fn left_alone(&self) {
        self.until(|calls| calls.under_way == 0).await;
    }

    async fn until(&self, is_reached: impl FnMut(&Calls) -> bool) {
        let mut calls = self.calls.clone();
        let reached = calls.wait_for(is_reached);
        drop(tokio::time::timeout(PATIENCE, reached).await.unwrap().unwrap());
    }
}

/// A call under way; it ends when the caller gives up, too.
struct UnderWay<'a>(&'a watch::Sender<Calls>);

impl<'a> UnderWay<'a> {
    fn begin(calls: &'a watch::Sender<Calls>) -> Self {
        calls.send_modify(|calls| {
            calls.count += 1;
            calls.under_way += 1;
        });
        Self(calls)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|calls| calls.under_way -= 1);
    }
}

#[tonic::async_trait]
impl WorkerService for Service {
    type StreamTaskLogsStream = BoxStream<'static, Result<v1::LogChunk, Status>>;

    async fn master_register(
        &self,
        _: Request<v1::MasterRegisterRequest>,
    ) -> Result<Response<v1::MasterRegisterResponse>, Status> {
        let _under_way = UnderWay::begin(&self.calls);
        let mut script = self.script.clone();
        let answers = script.wait_for(|script| script.when_called != WhenCalled::Keep).await;
        match answers.map(|script| script.when_called) {
            Ok(WhenCalled::Accept) => Ok(Response::new(v1::MasterRegisterResponse::default())),
            Ok(WhenCalled::Refuse | WhenCalled::Keep) | Err(_) => {
                Err(Status::failed_precondition("not your worker"))
            }
        }
    }

    async fn assign_task(
        &self,
        request: Request<v1::AssignTaskRequest>,
    ) -> Result<Response<v1::AssignTaskResponse>, Status> {
        let assignments = request.into_inner().assignments;
        self.orders.send(Order::Assign(assignments.len())).ok();
        let when_assigned = self.script.borrow().when_assigned;
        match when_assigned {
            WhenAssigned::Accept => {
                let accepted = assignments.into_iter().filter_map(|one| one.attempt);
                let accepted = accepted.collect::<Vec<_>>();
                for attempt in &accepted {
                    self.assigned.send(attempt.clone()).ok();
                }
                Ok(Response::new(v1::AssignTaskResponse { accepted }))
            }
            WhenAssigned::LeaveOut => Ok(Response::new(v1::AssignTaskResponse::default())),
            WhenAssigned::Refuse => Err(Status::internal("the term is not stored")),
        }
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let attempts = request.into_inner().attempts;
        self.orders.send(Order::Cancel(attempts.len())).ok();
        let when_cancelled = self.script.borrow().when_cancelled;
        let unknown = match when_cancelled {
            WhenCancelled::Obey => Vec::new(),
            WhenCancelled::KnowNone => attempts,
        };
        Ok(Response::new(v1::CancelTaskResponse { unknown }))
    }

    async fn dismiss(
        &self,
        request: Request<v1::DismissRequest>,
    ) -> Result<Response<v1::DismissResponse>, Status> {
        self.dismissals.send(request.into_inner()).ok();
        self.dismissed.send_modify(|times| *times += 1);
        let when_dismissed = self.script.borrow().when_dismissed;
        let running = |running| Ok(Response::new(v1::DismissResponse { running }));
        match when_dismissed {
            WhenDismissed::Obey => running(0),
            WhenDismissed::ObeyAfter(times) => running((*self.dismissed.borrow() < times).into()),
            WhenDismissed::Refuse => Err(Status::failed_precondition("this is another worker")),
            WhenDismissed::ObeyTerm(seen) => {
                let mut status = Status::failed_precondition("there is a newer leader");
                status.metadata_mut().insert(TERM_SEEN, seen.into());
                Err(status)
            }
        }
    }

    async fn stream_task_logs(
        &self,
        request: Request<v1::StreamTaskLogsRequest>,
    ) -> Result<Response<Self::StreamTaskLogsStream>, Status> {
        let request = request.into_inner();
        let logs = Arc::clone(&self.script.borrow().logs);
        let log = logs(&request);
        self.log_requests.send(request).ok();
        Ok(Response::new(stream::iter(log?).boxed()))
    }
}
