//! Bounds of what calls bring in: so many calls at once, so many bytes of their messages, and so much memory
//! that these are decoded to. Streams between
//! masters have bounds of their own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use proto::limits::{DECODED_BYTES_MAX, DECODED_PER_BYTE};
use proto::memory::{MemoryBudget, MemoryCharge};
use proto::problem::{ErrorKind, Outcome, Problem};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Calls under way at once, those that wait included.
const CALLS_MAX: usize = 65_536;

/// Path prefix of calls between masters.
const BETWEEN_MASTERS: &str = "/cloudai.v1.RaftService/";

/// The bounds. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    bodies: MemoryBudget,
    /// The memory that the messages are decoded to, each until its call is answered.
    decoded: MemoryBudget,
    calls: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(bodies: MemoryBudget) -> Self {
        let decoded = bodies.bytes_max().saturating_mul(DECODED_PER_BYTE).max(DECODED_BYTES_MAX);
        let decoded = MemoryBudget::new(decoded);
        Self { bodies, decoded, calls: Arc::new(Semaphore::new(CALLS_MAX)) }
    }
}

impl<S> Layer<S> for Intake {
    type Service = Bounded<S>;

    fn layer(&self, services: S) -> Bounded<S> {
        Bounded { services, intake: self.clone() }
    }
}

/// The services behind the bounds.
#[derive(Clone, Debug)]
pub(super) struct Bounded<S> {
    services: S,
    intake: Intake,
}

impl<S> Service<Request<Body>> for Bounded<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(BETWEEN_MASTERS) {
            return Box::pin(self.services.call(request));
        }
        let Ok(under_way) = Arc::clone(&self.intake.calls).try_acquire_owned() else {
            let refusal = overloaded("too many calls are under way").into_http();
            return Box::pin(std::future::ready(Ok(refusal)));
        };
        let charge = self.intake.bodies.open();
        let answer = self.services.call(request.map(|body| Body::new(Metered { body, charge })));
        let answer = self.intake.decoded.open().during(answer);
        Box::pin(async move {
            let answer = answer.await;
            drop(under_way);
            answer
        })
    }
}

fn overloaded(detail: &str) -> Status {
    Problem::new(ErrorKind::Overloaded, detail).with_outcome(Outcome::Rejected).into()
}

/// A message on its way in.
#[derive(Debug)]
struct Metered {
    body: Body,
    charge: MemoryCharge,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
        if !self.charge.admits(bytes) {
            let refusal = overloaded("too many bytes of messages are on their way in");
            return Poll::Ready(Some(Err(refusal)));
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use proto::memory::call_admits;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn calls_share_the_memory_that_their_messages_are_decoded_to() {
        let decoded = MemoryBudget::new(10 << 10);
        let intake = Intake { decoded, ..Intake::new(MemoryBudget::new(10)) };
        let services = intake.layer(tower::service_fn(|_: Request<Body>| async {
            let status = if call_admits(8 << 10) { 200 } else { 429 };
            tokio::task::yield_now().await;
            let answer = Response::builder().status(status).body(Body::empty());
            Ok::<_, Infallible>(answer.unwrap())
        }));
        let ask = || services.clone().oneshot(Request::new(Body::empty()));
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!(first.unwrap().status(), 200);
        assert_eq!(second.unwrap().status(), 429);
        assert_eq!(ask().await.unwrap().status(), 200, "what was taken is given back");
    }

    #[tokio::test]
    async fn messages_share_the_budget_of_bodies() {
        let bodies = MemoryBudget::new(10);
        let metered = |text: &'static str| {
            let body = Body::new(http_body_util::Full::new(Bytes::from_static(text.as_bytes())));
            Metered { body, charge: bodies.open() }
        };
        let mut first = metered("123456");
        first.frame().await.unwrap().unwrap();
        let refused = metered("123456").frame().await.unwrap().unwrap_err();
        assert_eq!(Problem::from(&refused).kind, ErrorKind::Overloaded);
        drop(first);
        assert!(metered("123456").frame().await.unwrap().is_ok());
    }
}
