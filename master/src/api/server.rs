//! The HTTP accept loop: everybody is let in and asked for a request, of which only so many are
//! under way at once; probes are answered beside them. Graceful shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proto::problem::{ErrorKind, Outcome, Problem};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::answered::UntilAnswered;
use super::answer::Refusal;
use super::probes;
use crate::access::Peer;
use crate::connections::{Ask, Door, GuestStream, Place};

mod answered;

/// Largest request head: cookies and long queries fit.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// After a failed accept, as when file descriptors have run out, it is not tried again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a router on a listener until told to stop.
#[derive(Debug)]
pub(crate) struct HttpServer {
    listener: TcpListener,
    router: Router,
    door: Arc<Door>,
    head_timeout: Duration,
    connections: TaskTracker,
    upgraded: TaskTracker,
}

impl HttpServer {
    /// A request's head may take `head_timeout`, and so long an idle connection stays. `upgraded`
    /// tracks connections that have become something else than HTTP. They count no longer against
    /// the bounds here, and end by themselves.
    pub(crate) fn new(
        listener: TcpListener,
        router: Router,
        door: Arc<Door>,
        head_timeout: Duration,
        upgraded: TaskTracker,
    ) -> Self {
        Self { listener, router, door, head_timeout, connections: TaskTracker::new(), upgraded }
    }

    /// Accepts until `stop`, then lets requests under way finish.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.admit(stream, &stop).await,
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

    /// Admits a connection, or closes it without a place: there is nothing to tell it before it
    /// asks.
    async fn admit(&self, stream: TcpStream, stop: &CancellationToken) {
        let Some(place) = self.door.enter() else { return };
        match GuestStream::new(stream, Arc::clone(&place)) {
            Ok(stream) => self.serve(stream, place, stop.clone()),
            Err(error) => tracing::debug!(%error, "a connection could not be set up"),
        }
        // Whoever made room for it gets the chance to go.
        tokio::task::yield_now().await;
    }

    fn serve(&self, stream: GuestStream, place: Arc<Place>, stop: CancellationToken) {
        let router = TowerToHyperService::new(self.router.clone());
        let address = stream.tcp().peer_addr().ok();
        let peer = Peer { ip: address.map(|address| address.ip()), identity: None };
        let counted = Counted { router, place: Arc::clone(&place), peer };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), counted)
            .with_upgrades();

        self.connections.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                // An answer that is complete is sent before the connection makes room.
                biased;
                ended = &mut connection => ended,
                () = place.shown_out().cancelled() => Ok(()),
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };

            place.on_ended();
            if let Err(error) = ended {
                if error.is_timeout() {
                    place.leave_words(too_late());
                }
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
}

/// One connection's requests, counted.
#[derive(Debug)]
struct Counted {
    router: TowerToHyperService<Router>,
    place: Arc<Place>,
    peer: Peer,
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Self::Error>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let place = Arc::clone(&self.place);
        let is_probe = probes::PATHS.contains(&request.uri().path());
        let ask = if is_probe { Ask::Probe } else { Ask::Ordinary };
        if let Err(full) = place.on_request(ask) {
            let answer = UntilAnswered::wrap(turned_away(full), place);
            return Box::pin(std::future::ready(Ok(answer)));
        }
        request.extensions_mut().insert(self.peer.clone());
        let answer = self.router.call(request);
        Box::pin(async move { Ok(UntilAnswered::wrap(answer.await?, place)) })
    }
}

/// Returns the answer to a request whose head does not arrive, as it is sent.
fn too_late() -> Vec<u8> {
    let detail = "the head of the request did not arrive in time";
    let problem = Problem::new(ErrorKind::RequestTimeout, detail).with_outcome(Outcome::Rejected);
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let (status, reason) = (problem.kind.http_status(), StatusCode::REQUEST_TIMEOUT);
    let reason = reason.canonical_reason().unwrap_or_default();
    format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        Problem::MEDIA_TYPE,
        body.len()
    )
    .into_bytes()
}

fn turned_away(full: crate::connections::Full) -> Response<Body> {
    let problem = Problem::new(ErrorKind::Overloaded, full.to_string());
    let mut response = Refusal(problem).into_response();
    // Its body is not read, and its connection may be needed for another.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests;
