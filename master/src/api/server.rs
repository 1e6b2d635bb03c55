//! The HTTP accept loop: everybody is let in and asked for a request, of which only so many are
//! under way at once; probes are answered beside them. Graceful shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use credentials::{Accepted, Acceptor, Encrypted, NotAccepted};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proto::problem::{ErrorKind, Outcome, Problem};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::answered::UntilAnswered;
use super::answer::Refusal;
use super::probes;
use crate::access::Origin;
use crate::connections::{
    Ask, Connection, Door, GuestStream, Place, admitted, on_failed_handshake,
};
use crate::port::Closed;

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
    acceptor: Option<Acceptor>,
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
        let connections = TaskTracker::new();
        Self { listener, router, door, head_timeout, connections, upgraded, acceptor: None }
    }

    /// Has connections admitted by an acceptor.
    pub(crate) fn secured(self, acceptor: Option<Acceptor>) -> Self {
        Self { acceptor, ..self }
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
        let origin = Origin::of(&stream);
        match GuestStream::new(stream, Arc::clone(&place)) {
            Ok(stream) => self.receive(stream, place, origin, stop.clone()),
            Err(error) => tracing::debug!(%error, "a connection could not be set up"),
        }
        // Whoever made room for it gets the chance to go.
        tokio::task::yield_now().await;
    }

    /// Serves a connection, after its handshake where there are certificates.
    fn receive(
        &self,
        stream: GuestStream,
        place: Arc<Place>,
        origin: Origin,
        stop: CancellationToken,
    ) {
        let (router, head_timeout) = (self.router.clone(), self.head_timeout);
        let Some(acceptor) = self.acceptor.clone() else {
            let guest = Guest { stream: Either::Left(stream), place, origin };
            self.connections.spawn(guest.serve(router, head_timeout, stop));
            return;
        };
        self.connections.spawn(async move {
            let accepted = tokio::select! {
                accepted = secured(&acceptor, stream, &place, origin) => accepted,
                () = place.shown_out().cancelled() => None,
                () = stop.cancelled() => None,
            };
            match accepted {
                Some((stream, origin)) => {
                    let guest = Guest { stream: Either::Right(Box::new(stream)), place, origin };
                    guest.serve(router, head_timeout, stop).await;
                }
                None => place.on_ended(),
            }
        });
    }
}

/// Performs a handshake. Whoever speaks in clear text is told so in clear text.
async fn secured(
    acceptor: &Acceptor,
    stream: GuestStream,
    place: &Place,
    origin: Origin,
) -> Option<(Encrypted<GuestStream>, Origin)> {
    match acceptor.accept(stream).await {
        Ok(Accepted { stream, caller }) => {
            Some((stream, admitted(origin, caller, place, acceptor.refusals())?))
        }
        Err(NotAccepted::Plain(mut stream)) => {
            place.on_closed(Closed::Handshake);
            // Whoever is gone does not hear it.
            stream.write_all(&in_clear_text()).await.unwrap_or_default();
            None
        }
        Err(NotAccepted::Failed(error)) => {
            on_failed_handshake(&origin, place, acceptor.refusals(), &error);
            None
        }
    }
}

/// A connection that is served.
#[derive(Debug)]
struct Guest {
    stream: Connection,
    place: Arc<Place>,
    origin: Origin,
}

impl Guest {
    async fn serve(self, router: Router, head_timeout: Duration, stop: CancellationToken) {
        let Self { stream, place, origin } = self;
        let is_secured = origin.is_secured;
        let router = TowerToHyperService::new(router);
        let counted = Counted { router, place: Arc::clone(&place), origin };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), counted)
            .with_upgrades();
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
            // Words that are not encrypted would be noise.
            if error.is_timeout() && !is_secured {
                place.leave_words(too_late());
            }
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// One connection's requests, counted.
#[derive(Debug)]
struct Counted {
    router: TowerToHyperService<Router>,
    place: Arc<Place>,
    origin: Origin,
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
        request.extensions_mut().insert(self.origin.clone());
        let answer = self.router.call(request);
        Box::pin(async move { Ok(UntilAnswered::wrap(answer.await?, place)) })
    }
}

/// Returns the answer to a request whose head does not arrive, as it is sent.
fn too_late() -> Vec<u8> {
    let detail = "the head of the request did not arrive in time";
    as_sent(&Problem::new(ErrorKind::RequestTimeout, detail).with_outcome(Outcome::Rejected))
}

/// Returns the answer to a request in clear text, as it is sent.
fn in_clear_text() -> Vec<u8> {
    let detail = "this master speaks TLS here: call it with https://";
    as_sent(&Problem::new(ErrorKind::Malformed, detail).with_outcome(Outcome::Rejected))
}

fn as_sent(problem: &Problem) -> Vec<u8> {
    let body = serde_json::to_string(problem).unwrap_or_default();
    let status = problem.kind.http_status();
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or_default();
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
