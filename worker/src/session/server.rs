//! The gRPC server: the worker's service, health and reflection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use credentials::Acceptor;
use proto::limits::{DECODED_BYTES_MAX, MESSAGE_BYTES_MAX};
use proto::memory::{MemoryBudget, SharedMemory};
use proto::v1::worker_service_server::WorkerServiceServer;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::transport;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder as Reflection;

use super::LeaderCalls;
use super::incoming::incoming;

/// Maximum number of calls per connection: a leader keeps few open; log streams come on top.
const CONCURRENT_STREAMS_MAX: u32 = 1_024;
/// Interval at which a silent caller is probed; it is dropped when it does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Window that does not throttle a batch of thousands of assignments.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Memory for decoding all calls at once: two of the largest, of which a leader sends one at a
/// time.
const DECODED_AT_ONCE_BYTES: usize = 2 * DECODED_BYTES_MAX;

/// A bound server that does not serve yet.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// Publishes to health checks whether the worker takes on work.
#[derive(Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    obstacles: Arc<Mutex<Obstacles>>,
}

/// Conditions that keep the worker from taking on work.
#[derive(Debug, Default)]
struct Obstacles {
    closing: bool,
    unfit: bool,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

/// Reason that the worker does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, or not one of this machine.
    #[error("cannot listen on {address}")]
    Bind { address: SocketAddr, source: std::io::Error },
    /// The descriptions for reflection are damaged.
    #[error("cannot describe the services")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("the gRPC server failed")]
    Transport(#[from] transport::Error),
}

impl Health {
    /// Reports from now on that the worker takes on no work.
    pub(crate) async fn set_closing(&self) {
        self.change(|serving| serving.closing = true).await;
    }

    /// Records whether the machine can run tasks.
    pub(crate) async fn set_fit(&self, is_fit: bool) {
        self.change(|serving| serving.unfit = !is_fit).await;
    }

    async fn change(&self, change: impl FnOnce(&mut Obstacles)) {
        // Held until the change is published, so that the last one is published last.
        let mut obstacles = self.obstacles.lock().await;
        change(&mut obstacles);
        let status = match *obstacles {
            Obstacles { closing: false, unfit: false } => ServingStatus::Serving,
            Obstacles { .. } => ServingStatus::NotServing,
        };
        let whole_server = "";
        for service in [WorkerServiceServer::<LeaderCalls>::NAME, whole_server] {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

impl Server {
    /// Binds the address.
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, ServerError> {
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind.await.map_err(|source| ServerError::Bind { address, source })
    }

    /// Returns the address on which the worker listens, with the port that the system chose if none
    /// was asked for.
    #[must_use]
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts the service, for all callers or, with an acceptor, for those that it admits: returns a
    /// future that serves until it is stopped, and the health that it
    /// publishes.
    pub(crate) async fn serve(
        self,
        service: LeaderCalls,
        acceptor: Option<Acceptor>,
        stop: CancellationToken,
    ) -> Result<(impl Future<Output = Result<(), ServerError>> + Send, Health), ServerError> {
        let (reporter, health_service) = tonic_health::server::health_reporter();
        reporter.set_serving::<WorkerServiceServer<LeaderCalls>>().await;
        let reflection = || {
            Reflection::configure()
                .register_encoded_file_descriptor_set(proto::v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };

        let service = WorkerServiceServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let router = limits()
            .layer(SharedMemory(MemoryBudget::new(DECODED_AT_ONCE_BYTES)))
            .add_service(service)
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            // Older tools know only this version.
            .add_service(reflection().build_v1alpha()?);

        let incoming = incoming(self.listener, acceptor);
        let serving = router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
        let serving = async { Ok(serving.await?) };
        Ok((serving, Health { reporter, obstacles: Arc::default() }))
    }
}

fn limits() -> transport::Server {
    transport::Server::builder()
        .max_concurrent_streams(CONCURRENT_STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}
