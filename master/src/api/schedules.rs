//! `/api/schedules`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster_state::KnownSchedule;
use proto::convert::NewSchedule;
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{self, Id, NoParams, Params, ReadParams};
use super::tasks::idempotency_key;
use crate::access::Caller;
use crate::operations::{Answer, SubmissionKey};
use crate::{ids, wire};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    limit: Option<usize>,
    cursor: Option<String>,
    #[serde(default)]
    consistency: String,
    index: Option<u64>,
    wait: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextParams {
    count: Option<usize>,
    #[serde(default)]
    consistency: String,
}

/// `GET /api/schedules`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<ListParams>,
) -> Result<Answer<v1::SchedulePage>, Refusal> {
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    let after = ids::cursor(params.cursor.as_deref())?;
    let page = api.operations.schedules(params.limit, after, reading, &caller).await?;
    Ok(page.map(wire::schedule_page))
}

/// `POST /api/schedules`.
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let spec: v1::ScheduleSpec = input::from_json(&body)?;
    let new = NewSchedule::try_from(spec).map_err(Problem::from)?;
    let location = [(header::LOCATION, format!("/api/schedules/{}", new.name))];
    let created = api.operations.put_schedule(new, KnownSchedule::None, &caller).await?;
    Ok((StatusCode::CREATED, location, created.map(wire::schedule)).into_response())
}

/// `GET /api/schedules/{name}`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::Schedule>, Refusal> {
    let name = ids::schedule(&name)?;
    Ok(api.operations.schedule(&name, params.reading()?, &caller).await?.map(wire::schedule))
}

/// `PUT /api/schedules/{name}`.
pub(super) async fn replace(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<v1::Schedule>, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let mut spec: v1::ScheduleSpec = input::from_json(&body)?;
    if spec.name.is_empty() {
        spec.name.clone_from(&name);
    }
    if spec.name != name {
        let detail = format!("the body names schedule '{}', and the path '{name}'", spec.name);
        let problem = Problem::new(ErrorKind::InvalidValue, detail);
        return Err(problem.with_outcome(Outcome::Rejected).into());
    }
    let new = NewSchedule::try_from(spec).map_err(Problem::from)?;
    let replaced = api.operations.put_schedule(new, KnownSchedule::Some, &caller).await?;
    Ok(replaced.map(wire::schedule))
}

/// `DELETE /api/schedules/{name}`.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let deleted = api.operations.delete_schedule(ids::schedule(&name)?, &caller).await?;
    Ok(marked(StatusCode::NO_CONTENT, deleted.mark))
}

/// `GET /api/schedules/{name}/next`.
pub(super) async fn next(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(params): Params<NextParams>,
) -> Result<Answer<v1::NextRuns>, Refusal> {
    let reading = input::reading(&params.consistency, None, None)?;
    let name = ids::schedule(&name)?;
    let next = api.operations.next_runs(&name, params.count, reading, &caller).await?;
    Ok(next.map(wire::next_runs))
}

/// `POST /api/schedules/{name}/run`.
pub(super) async fn run(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&headers)?.map(SubmissionKey::try_from).transpose()?;
    let run = api.operations.run_schedule(ids::schedule(&name)?, key, &caller).await?;
    let location = [(header::LOCATION, format!("/api/tasks/{}", run.body.id))];
    Ok((StatusCode::CREATED, location, run.map(wire::task_status)).into_response())
}

/// `POST /api/schedules/{name}/pause`.
pub(super) async fn pause(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Schedule>, Refusal> {
    let paused = api.operations.pause_schedule(ids::schedule(&name)?, true, &caller).await?;
    Ok(paused.map(wire::schedule))
}

/// `POST /api/schedules/{name}/resume`.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Schedule>, Refusal> {
    let resumed = api.operations.pause_schedule(ids::schedule(&name)?, false, &caller).await?;
    Ok(resumed.map(wire::schedule))
}
