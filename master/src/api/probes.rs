//! For load balancers and supervisors. No credentials; plain text.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Api;
use super::answer::Refusal;
use super::input::{NoParams, Params};
use crate::operations::Readiness;

/// A follower this little behind serves reads that are as good as new: what a busy leader commits
/// within a few milliseconds.
const LAG_DEFAULT: u64 = 1_000;

/// Paths of probes. They are answered whatever else is in progress.
pub(super) const PATHS: [&str; 4] = ["/livez", "/readyz", "/leader", "/follower"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadyParams {
    verbose: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowerParams {
    max_lag: Option<u64>,
}

/// `GET /livez`: the process answers, and no part of it has ended without the others.
pub(super) async fn live(State(api): State<Api>) -> Response {
    match api.operations.node().fatal().reason() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// `GET /readyz`: requests may be sent here.
pub(super) async fn ready(
    State(api): State<Api>,
    Params(params): Params<ReadyParams>,
) -> Result<Response, Refusal> {
    let readiness = api.operations.readiness().await;
    let status = status_of(readiness.is_ready());
    let is_verbose = params.verbose.is_some_and(|value| value != "false");
    let text = match (is_verbose, readiness.is_ready()) {
        (true, _) => list(readiness),
        (false, true) => "ok\n".to_owned(),
        (false, false) => "not ready\n".to_owned(),
    };
    Ok((status, text).into_response())
}

fn list(readiness: Readiness) -> String {
    let checks = [
        ("leader known", readiness.knows_leader),
        ("caught up with the leader", readiness.is_caught_up),
        ("not shutting down", readiness.is_staying),
    ];
    let lines = checks.map(|(name, holds)| format!("[{}] {name}\n", if holds { '+' } else { '-' }));
    lines.concat()
}

/// `GET /leader`: this master leads, and no other can.
pub(super) async fn leader(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let is_leader =
        api.operations.node().holds_quorum_lease() && !api.operations.stopping().is_cancelled();
    let text = if is_leader { "leader\n" } else { "not the leader\n" };
    Ok((status_of(is_leader), text).into_response())
}

/// `GET /follower`: this master follows, closely enough.
pub(super) async fn follower(
    State(api): State<Api>,
    Params(params): Params<FollowerParams>,
) -> Result<Response, Refusal> {
    let lag = api.operations.follower_lag().await;
    let max_lag = params.max_lag.unwrap_or(LAG_DEFAULT);
    let is_staying = !api.operations.stopping().is_cancelled();
    let is_good = is_staying && lag.is_some_and(|lag| lag <= max_lag);
    let text = match (lag, api.operations.leadership().is_leading()) {
        (Some(lag), _) => format!("follower, {lag} entries behind\n"),
        (None, true) => "the leader\n".to_owned(),
        (None, false) => "the leader does not answer\n".to_owned(),
    };
    Ok((status_of(is_good), text).into_response())
}

/// Answers OPTIONS with the methods of the probes, which change nothing.
pub(super) async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, OPTIONS")]).into_response()
}

const fn status_of(holds: bool) -> StatusCode {
    if holds { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
