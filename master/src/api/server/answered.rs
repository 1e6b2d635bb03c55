//! The body of an answer, which says when it is complete.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Response;
use hyper::body::{Frame, SizeHint};

use crate::connections::Place;

/// Dropped when all of the body has been taken, or nobody takes it any more.
#[derive(Debug)]
pub(super) struct UntilAnswered {
    body: Body,
    place: Arc<Place>,
}

impl UntilAnswered {
    /// Wraps an answer so that the request is over at its end.
    pub(super) fn wrap(answer: Response<Body>, place: Arc<Place>) -> Response<Body> {
        answer.map(|body| Body::new(Self { body, place }))
    }
}

impl HttpBody for UntilAnswered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for UntilAnswered {
    fn drop(&mut self) {
        self.place.on_answered();
    }
}
