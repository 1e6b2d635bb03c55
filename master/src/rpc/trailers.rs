//! Adds trailers to answers: the mark that an operation has put on its answer, and the leader that
//! the head names, since clients of other makes look for it there.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::MapOk;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use proto::problem::LEADER_ADDRESS_KEY;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Trailers of an answer, on its way there as an extension.
#[derive(Clone, Debug)]
pub(super) struct Trailers(pub(super) HeaderMap);

/// Puts it around services whose answers have trailers.
#[derive(Clone, Copy, Debug)]
pub(super) struct WithTrailers;

impl<S> Layer<S> for WithTrailers {
    type Service = Ending<S>;

    fn layer(&self, services: S) -> Ending<S> {
        Ending { services }
    }
}

/// The services within.
#[derive(Clone, Debug)]
pub(super) struct Ending<S> {
    services: S,
}

impl<S> Service<Request<Body>> for Ending<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = MapOk<S::Future, fn(Response<Body>) -> Response<Body>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.services.call(request).map_ok(with_trailers)
    }
}

fn with_trailers(mut answer: Response<Body>) -> Response<Body> {
    let trailers = answer.extensions_mut().remove::<Trailers>();
    let mut trailers = trailers.map(|Trailers(trailers)| trailers).unwrap_or_default();
    if let Some(leader) = answer.headers().get(LEADER_ADDRESS_KEY) {
        trailers.insert(LEADER_ADDRESS_KEY, leader.clone());
    }
    if trailers.is_empty() {
        return answer;
    }
    answer.map(|body| Body::new(EndingBody { body, trailers }))
}

/// A body with further trailers. One that has none of its own ends in its head, and so does not
/// get any.
#[derive(Debug)]
struct EndingBody {
    body: Body,
    trailers: HeaderMap,
}

impl HttpBody for EndingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let own = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut());
        if let Some(own) = own {
            own.extend(std::mem::take(&mut self.trailers));
        }
        Poll::Ready(frame)
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
    use http::HeaderValue;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn answer() -> Response<Body> {
        let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let frames = [Frame::data(Bytes::from_static(b"message")), Frame::trailers(status)];
        let frames = futures_util::stream::iter(frames.map(Ok::<_, Status>));
        Response::new(Body::new(StreamBody::new(frames)))
    }

    /// Returns the trailers that an answer ends with, besides its status.
    async fn trailers(answer: Response<Body>) -> HeaderMap {
        let whole = with_trailers(answer).into_body().collect().await.unwrap();
        let mut trailers = whole.trailers().unwrap().clone();
        assert_eq!(trailers.remove("grpc-status").unwrap(), "0");
        trailers
    }

    #[tokio::test]
    async fn a_leader_that_is_named_in_the_head_is_named_in_the_trailers() {
        let leader = HeaderValue::from_static("node2:50051");
        let mut named = answer();
        named.headers_mut().insert(LEADER_ADDRESS_KEY, leader.clone());
        assert_eq!(trailers(named).await[LEADER_ADDRESS_KEY], leader);
        assert_eq!(trailers(answer()).await, HeaderMap::new());
    }

    #[tokio::test]
    async fn a_mark_is_in_the_trailers() {
        let mark = HeaderMap::from_iter([("x-cluster-index".parse().unwrap(), 7.into())]);
        let mut marked = answer();
        marked.extensions_mut().insert(Trailers(mark.clone()));
        assert_eq!(trailers(marked).await, mark);
    }
}
