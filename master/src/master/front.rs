//! The parts that serve requests: gRPC and HTTP.

use std::time::Duration;

use credentials::Protocol;
use proto::memory::MemoryBudget;
use raft_store::Loops;
use tokio::net::TcpListener;

use super::certificates::Certificates;
use super::part::Part;
use crate::access::Gate;
use crate::api::{self, Api, HttpServer, Reach, Sockets};
use crate::config::Config;
use crate::connections::Door;
use crate::metrics::Metrics;
use crate::open_files::OpenFiles;
use crate::operations::Operations;
use crate::port::Port;
use crate::rpc::GrpcServer;

/// Time for the head of an HTTP request, and for an idle connection.
const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Parts that serve requests.
pub(super) struct Front {
    pub(super) gate: Gate,
    pub(super) operations: Operations,
    pub(super) metrics: Metrics,
    pub(super) files: OpenFiles,
    pub(super) bodies: MemoryBudget,
    pub(super) certificates: Certificates,
    pub(super) loops: Loops,
}

impl Front {
    /// Starts to serve gRPC.
    pub(super) fn start_grpc(&self, listener: TcpListener) -> Part {
        let door = Door::new(Port::Grpc, self.files.clone(), self.metrics.clone());
        let (operations, bodies) = (self.operations.clone(), self.bodies.clone());
        let server = GrpcServer::new(operations, door, bodies, self.gate.clone())
            .secured(self.certificates.acceptor(Protocol::Grpc));
        let (loops, fatal) = (self.loops.clone(), self.operations.node().fatal().clone());
        Part::spawn(&self.loops, "grpc", |stop| async move {
            if let Err(error) = server.run(listener, loops, stop).await {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                fatal.raise(&format!("{error}: {}", cause.unwrap_or_default()));
            }
        })
    }

    /// Starts to serve HTTP.
    pub(super) fn start_http(self, config: &Config, listener: TcpListener) -> Part {
        let acceptor = self.certificates.acceptor(Protocol::Http);
        let sockets = Sockets::default();
        let upgraded = sockets.tracker().clone();
        let door = Door::new(Port::Http, self.files, self.metrics.clone());
        let api = Api {
            operations: self.operations,
            metrics: self.metrics,
            credentials: self.certificates.credentials().cloned(),
            sockets,
            bodies: self.bodies,
            request_bytes_max: config.limits.request_bytes.0,
        };
        let address = listener.local_addr();
        let reach = Reach {
            names: config.http_names.0.clone().into(),
            is_secured: acceptor.is_some(),
            is_local: address.is_ok_and(|address| address.ip().is_loopback()),
        };
        let router = api::router(api, self.gate, reach);
        let server =
            HttpServer::new(listener, router, door, HTTP_HEAD_TIMEOUT, upgraded).secured(acceptor);
        Part::spawn(&self.loops, "http", |stop| server.run(stop))
    }
}
