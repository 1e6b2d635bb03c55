//! The HTTP accept loop: bounded connections, a deadline for request heads, graceful shutdown.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Largest request head: cookies and long queries fit.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// After a failed accept, as when file descriptors have run out, it is not tried again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds on what clients may hold open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    /// Connections at once; more wait to be accepted.
    pub(crate) connections: usize,
    /// How long a request's head may take, and an idle connection stay.
    pub(crate) head_timeout: Duration,
}

/// Serves a router on a listener until told to stop.
#[derive(Debug)]
pub(crate) struct HttpServer {
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    upgraded: TaskTracker,
}

impl HttpServer {
    /// `upgraded` tracks connections that have become something else than HTTP. They count no
    /// longer against the limits here, and end by themselves.
    pub(crate) fn new(
        listener: TcpListener,
        router: Router,
        limits: ServerLimits,
        upgraded: TaskTracker,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
        Self { listener, router, limits, slots, connections: TaskTracker::new(), upgraded }
    }

    /// Accepts until `stop`, then lets requests under way finish.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, slot)) => self.serve(stream, slot, stop.clone()),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        self.connections.close();
        self.connections.wait().await;
        self.upgraded.close();
        self.upgraded.wait().await;
    }

    /// The slot comes first, so that what cannot be served waits in the system's queue.
    async fn accept(&self) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let slots = Arc::clone(&self.slots);
        let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, slot))
    }

    fn serve(&self, stream: TcpStream, slot: OwnedSemaphorePermit, stop: CancellationToken) {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        self.connections.spawn(async move {
            let _slot = slot;
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = &mut connection => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HEAD_TIMEOUT: Duration = Duration::from_millis(200);

    async fn started(connections: usize) -> (std::net::SocketAddr, CancellationToken, TaskTracker) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "hello"));
        let limits = ServerLimits { connections, head_timeout: HEAD_TIMEOUT };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks
            .spawn(HttpServer::new(listener, router, limits, TaskTracker::new()).run(stop.clone()));
        tasks.close();
        (address, stop, tasks)
    }

    async fn answer_to(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_connection_that_never_finishes_its_head_is_closed() {
        let (address, ..) = started(8).await;
        for head in ["", "G", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
            let closed = tokio::time::timeout(HEAD_TIMEOUT * 20, answer_to(address, head)).await;
            assert!(closed.is_ok(), "still open after {head:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_beyond_the_bound_waits_for_a_slot() {
        let (address, ..) = started(1).await;
        let idle = TcpStream::connect(address).await.unwrap();
        let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = tokio::time::timeout(HEAD_TIMEOUT * 20, answer_to(address, request)).await;
        assert!(answer.unwrap().ends_with("hello"));
        drop(idle);
    }

    #[tokio::test]
    async fn stopping_closes_idle_connections() {
        let (address, stop, tasks) = started(8).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0_u8; 16];
        idle.read_exact(&mut first).await.unwrap();
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.unwrap();
    }
}
