//! Around every request: who leads and how fresh the answer is, as headers; and a count.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use cluster_state::millis;
use raft_store::Leadership;
use tokio::time::Instant;

use super::Api;
use super::answer::{CLUSTER, INDEX, KNOWN_LEADER, LAST_CONTACT, LEADER, TERM};
use crate::operations::{Mark, Operations};

pub(super) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let began_at = Instant::now();
    let method = name_of(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    // What the answer may claim if its handler does not say: what was true before it.
    let before = api.operations.mark();

    let mut response = next.run(request).await;
    let mark = response.extensions_mut().remove::<Mark>().unwrap_or(before);
    put_headers(response.headers_mut(), &api.operations, mark);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    api.metrics.on_http_request(route, method, response.status().as_u16(), began_at.elapsed());
    response
}

fn put_headers(headers: &mut HeaderMap, operations: &Operations, mark: Mark) {
    let leader = match operations.leadership() {
        Leadership::Leading { .. } => Some(operations.node().id()),
        Leadership::Following { leader, .. } => Some(leader),
        Leadership::Leaderless { .. } => None,
    };
    // A browser shows what a task has written as what it is said to be, and runs none of it.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let cluster = operations.node().cluster_id().map(|id| id.to_string());
    if let Some(cluster) = cluster.and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(CLUSTER, cluster);
    }
    headers.insert(INDEX, HeaderValue::from(mark.index.0));
    headers.insert(TERM, HeaderValue::from(mark.term.0));
    headers.insert(
        LEADER,
        leader.map_or(HeaderValue::from_static("none"), |leader| HeaderValue::from(leader.0)),
    );
    let is_known = if leader.is_some() { "true" } else { "false" };
    headers.insert(KNOWN_LEADER, HeaderValue::from_static(is_known));
    if let Some(last_contact) = mark.last_contact {
        headers.insert(LAST_CONTACT, HeaderValue::from(millis(last_contact)));
    }
}

/// Clients may make up methods; a label must not take their number.
fn name_of(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
