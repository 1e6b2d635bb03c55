//! Names the leader in the trailers of an answer, too, where clients of other makes look for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::MapOk;
use http::{HeaderValue, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use proto::problem::LEADER_ADDRESS_KEY;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Puts it around services whose answers name the leader in their heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaderInTrailers;

impl<S> Layer<S> for LeaderInTrailers {
    type Service = Repeating<S>;

    fn layer(&self, services: S) -> Repeating<S> {
        Repeating { services }
    }
}

/// The services within.
#[derive(Clone, Debug)]
pub(super) struct Repeating<S> {
    services: S,
}

impl<S> Service<Request<Body>> for Repeating<S>
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
        self.services.call(request).map_ok(repeat)
    }
}

fn repeat(answer: Response<Body>) -> Response<Body> {
    let Some(leader) = answer.headers().get(LEADER_ADDRESS_KEY).cloned() else { return answer };
    answer.map(|body| Body::new(Ending { body, leader }))
}

/// A body whose trailers name the leader. One that has none ends in its head.
#[derive(Debug)]
struct Ending {
    body: Body,
    leader: HeaderValue,
}

impl HttpBody for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let trailers = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut());
        if let Some(trailers) = trailers {
            trailers.insert(LEADER_ADDRESS_KEY, self.leader.clone());
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
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn answer() -> Response<Body> {
        let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let frames = [Frame::data(Bytes::from_static(b"message")), Frame::trailers(status)];
        let frames = futures_util::stream::iter(frames.map(Ok::<_, Status>));
        Response::new(Body::new(StreamBody::new(frames)))
    }

    #[tokio::test]
    async fn a_leader_that_is_named_in_the_head_is_named_in_the_trailers() {
        let mut named = answer();
        named.headers_mut().insert(LEADER_ADDRESS_KEY, HeaderValue::from_static("node2:50051"));
        for (answer, leader) in [(named, Some("node2:50051")), (answer(), None)] {
            let whole = repeat(answer).into_body().collect().await.unwrap();
            let trailers = whole.trailers().unwrap();
            assert_eq!(trailers["grpc-status"], "0");
            let found = trailers.get(LEADER_ADDRESS_KEY).map(|value| value.to_str().unwrap());
            assert_eq!(found, leader);
        }
    }
}
