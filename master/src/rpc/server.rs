//! The gRPC server: every service on one port.

use std::sync::Arc;
use std::time::Duration;

use credentials::Acceptor;
use proto::limits::MESSAGE_BYTES_MAX;
use proto::memory::MemoryBudget;
use proto::v1::FILE_DESCRIPTOR_SET;
use proto::v1::audit_service_server::AuditServiceServer;
use proto::v1::certificate_service_server::CertificateServiceServer;
use proto::v1::cluster_service_server::ClusterServiceServer;
use proto::v1::job_service_server::JobServiceServer;
use proto::v1::master_service_server::MasterServiceServer;
use proto::v1::queue_service_server::QueueServiceServer;
use proto::v1::registry_service_server::RegistryServiceServer;
use proto::v1::schedule_service_server::ScheduleServiceServer;
use proto::v1::task_service_server::TaskServiceServer;
use proto::v1::user_service_server::UserServiceServer;
use raft_store::{Loops, RaftEndpoint};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::audit::AuditEndpoint;
use super::certificates::CertificateEndpoint;
use super::cluster::ClusterEndpoint;
use super::guard::Guard;
use super::health;
use super::incoming::{Entrance, incoming};
use super::intake::Intake;
use super::jobs::JobEndpoint;
use super::queue::QueueEndpoint;
use super::registry::RegistryEndpoint;
use super::schedules::ScheduleEndpoint;
use super::tasks::TaskEndpoint;
use super::trailers::WithTrailers;
use super::users::UserEndpoint;
use super::workers::WorkerEndpoint;
use crate::access::Gate;
use crate::connections::Door;
use crate::operations::Operations;
use crate::peer::HeartbeatRelay;

/// A silent client is probed that often, and given up when the probe is not answered in time:
/// streams to a machine that has vanished must not stay.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that has not said a word by then is closed.
const FIRST_WORD_PATIENCE: Duration = Duration::from_secs(20);
/// Calls under way on one connection: a load generator's thousands fit.
const STREAMS_MAX: u32 = 16_384;
/// Windows that never throttle on a data-center network.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// The gRPC server could not be built or has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrpcError {
    /// The services' descriptions are damaged.
    #[error("server reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("grpc server")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves every service on a listener.
#[derive(Debug)]
pub(crate) struct GrpcServer {
    operations: Operations,
    door: Arc<Door>,
    intake: Intake,
    guard: Guard,
    acceptor: Option<Acceptor>,
}

impl GrpcServer {
    /// Creates the server; `door` bounds the connections, `bodies` the messages that arrive, and
    /// `gate` finds out who calls.
    pub(crate) fn new(
        operations: Operations,
        door: Arc<Door>,
        bodies: MemoryBudget,
        gate: Gate,
    ) -> Self {
        let (intake, guard) = (Intake::new(bodies), Guard::new(gate));
        Self { operations, door, intake, guard, acceptor: None }
    }

    /// Has connections admitted by an acceptor.
    pub(crate) fn secured(self, acceptor: Option<Acceptor>) -> Self {
        Self { acceptor, ..self }
    }

    /// Serves until `stop`, and runs what the services need besides in `loops`; then lets calls under way finish. Streams between masters end when
    /// their other ends do.
    pub(crate) async fn run(
        self,
        listener: TcpListener,
        loops: Loops,
        stop: CancellationToken,
    ) -> Result<(), GrpcError> {
        let operations = self.operations;
        let (reporter, health) = tonic_health::server::health_reporter();
        let leadership = operations.node().leadership();
        loops.spawn("health service", |stop| health::report(reporter, leadership, stop));
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };

        let task_service = TaskServiceServer::new(TaskEndpoint { operations: operations.clone() })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let registry =
            RegistryServiceServer::new(RegistryEndpoint { operations: operations.clone() })
                .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let cluster = ClusterServiceServer::new(ClusterEndpoint { operations: operations.clone() });
        let users = UserServiceServer::new(UserEndpoint { operations: operations.clone() })
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let audit = AuditServiceServer::new(AuditEndpoint { operations: operations.clone() })
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let queue = QueueServiceServer::new(QueueEndpoint { operations: operations.clone() })
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let jobs = JobServiceServer::new(JobEndpoint { operations: operations.clone() });
        let certificates =
            CertificateServiceServer::new(CertificateEndpoint { operations: operations.clone() });
        let (heartbeats, relay) = HeartbeatRelay::new(
            operations.node().clone(),
            operations.leader_peer().clone(),
            operations.sessions().clone(),
        );
        loops.spawn("relay of heartbeats", |stop| relay.run(stop));
        let workers = WorkerEndpoint { operations: operations.clone(), heartbeats };
        let workers = MasterServiceServer::new(workers)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let entrance = Entrance {
            listener,
            door: self.door,
            patience: FIRST_WORD_PATIENCE,
            acceptor: self.acceptor,
        };
        Server::builder()
            .layer(self.intake)
            .layer(self.guard)
            .layer(WithTrailers)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(Some(STREAMS_MAX))
            .initial_stream_window_size(Some(STREAM_WINDOW_BYTES))
            .initial_connection_window_size(Some(CONNECTION_WINDOW_BYTES))
            .add_service(task_service)
            .add_service(RaftEndpoint::server(operations.node().clone()))
            .add_service(workers)
            .add_service(registry)
            .add_service(cluster)
            .add_service(users)
            .add_service(audit)
            .add_service(queue)
            .add_service(jobs)
            .add_service(schedule_service(&operations))
            .add_service(certificates)
            .add_service(health)
            .add_service(reflection().build_v1()?)
            // Older tools know no other.
            .add_service(reflection().build_v1alpha()?)
            .serve_with_incoming_shutdown(incoming(entrance), stop.cancelled_owned())
            .await?;
        Ok(())
    }
}

fn schedule_service(operations: &Operations) -> ScheduleServiceServer<ScheduleEndpoint> {
    ScheduleServiceServer::new(ScheduleEndpoint { operations: operations.clone() })
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}
