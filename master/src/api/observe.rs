//! Around every request: its id, who leads and how fresh the answer is, as headers; and a count.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::{Api, answer};
use crate::access::RequestId;
use crate::freshness::put_headers;
use crate::operations::Mark;

pub(super) async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began_at = Instant::now();
    let method = name_of(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    // What the answer may claim if its handler does not say: what was true before it.
    let before = api.operations.mark();

    // Whatever looks at the request from here on finds this id, and no other.
    let id = RequestId::of(request.headers());
    let header = HeaderValue::try_from(id.to_string()).ok();
    if let Some(header) = header.clone() {
        request.headers_mut().insert(RequestId::HEADER, header);
    }

    let response = next.run(request).await;
    let mut response = answer::with_request(response, &id);
    let mark = response.extensions_mut().remove::<Mark>().unwrap_or(before);
    let headers = response.headers_mut();
    if let Some(header) = header {
        headers.insert(RequestId::HEADER, header);
    }
    put_headers(headers, &api.operations, mark);
    // A browser shows what a task has written as what it is said to be, and runs none of it.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    api.metrics.on_http_request(route, method, response.status().as_u16(), began_at.elapsed());
    response
}

/// Clients may make up methods; a label must not take their number.
fn name_of(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
