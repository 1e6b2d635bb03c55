//! A node's service behind a gate that holds back what a leader appends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use http_body_util::{BodyStream, StreamBody};
use raft_store::RaftServer;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

/// The service of a member that may be deaf to what is appended, but is there for all else.
#[derive(Clone)]
pub(crate) struct Gated {
    pub(crate) inner: RaftServer,
    pub(crate) is_deaf: watch::Receiver<bool>,
}

impl NamedService for Gated {
    const NAME: &'static str = RaftServer::NAME;
}

impl Service<http::Request<Body>> for Gated {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <RaftServer as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if !request.uri().path().ends_with("/Append") {
            return self.inner.call(request);
        }
        let is_deaf = self.is_deaf.clone();
        let request = request.map(|body| {
            let frames = BodyStream::new(body).then(move |frame| {
                let mut is_deaf = is_deaf.clone();
                async move {
                    is_deaf.wait_for(|is_deaf| !is_deaf).await.unwrap();
                    frame
                }
            });
            Body::new(StreamBody::new(Box::pin(frames)))
        });
        self.inner.call(request)
    }
}
