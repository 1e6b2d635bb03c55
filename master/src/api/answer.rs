//! Answers: JSON with a mark of what it is based on, or a problem (RFC 9457).

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::problem::{ErrorKind, Problem};
use serde::Serialize;

use crate::access::RequestId;
use crate::operations::{Answer, Mark};

/// An answer of an operation as JSON; its mark becomes headers when the response passes
/// [`super::observe`].
impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        marked(Json(self.body), self.mark)
    }
}

/// Creates a response that is based on the state of a mark.
pub(super) fn marked(response: impl IntoResponse, mark: Mark) -> Response {
    let mut response = response.into_response();
    response.extensions_mut().insert(mark);
    response
}

/// Puts the id of the request into the problem that a response tells of, if it is one.
pub(super) fn with_request(mut response: Response, id: &RequestId) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (mut parts, body) = response.into_parts();
    let Ok(told) = serde_json::to_vec(&problem.of_request(id)) else {
        return Response::from_parts(parts, body);
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(told))
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
        let is_unauthenticated = problem.kind == ErrorKind::Unauthenticated;
        let mut response = (status, Json(problem.clone())).into_response();
        response.extensions_mut().insert(problem);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
        if is_unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(pause) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
        }
        response
    }
}
