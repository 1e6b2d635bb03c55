//! A worker that does with a `MasterRegister` what a test wants, and counts who comes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::BoxStream;
use proto::v1;
use proto::v1::worker_service_server::{WorkerService, WorkerServiceServer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::one_master::free_address;

const PATIENCE: Duration = Duration::from_secs(20);

/// The answer of a scripted worker to a `MasterRegister`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Accept,
    Refuse,
    /// Neither, until it has other manners.
    Keep,
}

/// Counts who comes.
#[derive(Debug, Clone)]
pub(crate) struct ScriptedWorker {
    pub(crate) manner: watch::Sender<Manner>,
    pub(crate) calls: watch::Sender<usize>,
    pub(crate) at_once: Arc<AtomicUsize>,
}

impl ScriptedWorker {
    pub(crate) fn new(manner: Manner) -> Self {
        Self {
            manner: watch::Sender::new(manner),
            calls: watch::Sender::new(0),
            at_once: Arc::default(),
        }
    }

    /// Listens on a free port; returns the address.
    pub(crate) async fn serve(&self, tasks: &TaskTracker) -> String {
        let address = free_address().await;
        self.serve_at(&address, tasks).await;
        address
    }

    pub(crate) async fn serve_at(&self, address: &str, tasks: &TaskTracker) {
        let listener = TcpListener::bind(address).await.unwrap();
        let server = Server::builder().add_service(WorkerServiceServer::new(self.clone()));
        tasks.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    }

    pub(crate) async fn called(&self, times: usize) {
        let mut calls = self.calls.subscribe();
        let called = calls.wait_for(|calls| *calls >= times);
        drop(tokio::time::timeout(PATIENCE, called).await.unwrap().unwrap());
    }
}

/// Leaves again when the call is given up, too.
struct Visit(Arc<AtomicUsize>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tonic::async_trait]
impl WorkerService for ScriptedWorker {
    type StreamTaskLogsStream = BoxStream<'static, Result<v1::LogChunk, Status>>;

    async fn master_register(
        &self,
        _: Request<v1::MasterRegisterRequest>,
    ) -> Result<Response<v1::MasterRegisterResponse>, Status> {
        self.at_once.fetch_add(1, Ordering::SeqCst);
        let _visit = Visit(Arc::clone(&self.at_once));
        self.calls.send_modify(|calls| *calls += 1);
        let mut manner = self.manner.subscribe();
        let manner = *manner.wait_for(|manner| *manner != Manner::Keep).await.unwrap();
        match manner {
            Manner::Accept => Ok(Response::new(v1::MasterRegisterResponse::default())),
            Manner::Refuse | Manner::Keep => Err(Status::failed_precondition("not your worker")),
        }
    }

    async fn assign_task(
        &self,
        _: Request<v1::AssignTaskRequest>,
    ) -> Result<Response<v1::AssignTaskResponse>, Status> {
        Ok(Response::new(v1::AssignTaskResponse::default()))
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
        Ok(Response::new(v1::DismissResponse::default()))
    }

    async fn stream_task_logs(
        &self,
        _: Request<v1::StreamTaskLogsRequest>,
    ) -> Result<Response<Self::StreamTaskLogsStream>, Status> {
        Err(Status::not_found("nothing was said"))
    }
}
