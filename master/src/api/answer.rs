//! Answers: JSON with a mark of what it is based on, or a problem (RFC 9457).

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::problem::Problem;
use serde::Serialize;

use crate::operations::Mark;

/// A body, and how fresh it is.
pub(super) struct Answer<T> {
    pub(super) status: StatusCode,
    pub(super) body: T,
    pub(super) mark: Mark,
}

impl<T> From<(T, Mark)> for Answer<T> {
    fn from((body, mark): (T, Mark)) -> Self {
        Self { status: StatusCode::OK, body, mark }
    }
}

impl<T> Answer<T> {
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        response.extensions_mut().insert(self.mark);
        response
    }
}

/// A problem on its way to the client.
pub(super) struct Refusal(pub(super) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.kind.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = problem.kind.retry_after();
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
        if let Some(pause) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
        }
        response
    }
}

/// Names the cluster that answers: an index is one of its log and of no other.
pub(super) const CLUSTER: HeaderName = HeaderName::from_static("x-cluster-id");
/// The answer is at least as new as this log index.
pub(super) const INDEX: HeaderName = HeaderName::from_static("x-cluster-index");
/// The newest term the master knows.
pub(super) const TERM: HeaderName = HeaderName::from_static("x-cluster-term");
/// The leader's id, or `none`.
pub(super) const LEADER: HeaderName = HeaderName::from_static("x-cluster-leader");
/// Header that says whether a leader is known.
pub(super) const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-cluster-known-leader");
/// For a stale read, how long ago the master heard from a leader.
pub(super) const LAST_CONTACT: HeaderName = HeaderName::from_static("x-cluster-last-contact-ms");
