//! `/api/tasks`.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster_state::TaskSpec;
use proto::convert;
use proto::json;
use proto::output::OutputStream;
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::Refusal;
use super::input::{self, Id, NoParams, Params, ReadParams};
use super::log_text;
use crate::access::Caller;
use crate::operations::{Answer, LogRequest, LogScope, SubmissionKey};
use crate::task_query::{QueryTexts, TaskQuery};
use crate::{ids, wire};

/// Default and longest wait for a task.
const WAIT_DEFAULT: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    state: Option<String>,
    worker: Option<String>,
    label: Option<String>,
    name_prefix: Option<String>,
    priority: Option<u32>,
    limit: Option<usize>,
    cursor: Option<String>,
    #[serde(default)]
    consistency: String,
    index: Option<u64>,
    wait: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitParams {
    timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogParams {
    attempt: Option<u32>,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    follow: bool,
    #[serde(default)]
    from_attempt: u32,
    tail: Option<u64>,
}

/// `POST /api/tasks`: one task as an object, or many as an array.
pub(super) async fn submit(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let key = idempotency_key(&headers)?;
    let body = input::json_body(&api, &headers, body).await?;
    let parsed = json::Submission::parse(&body).map_err(Problem::from)?;
    let key = key.map(SubmissionKey::try_from).transpose()?;
    match parsed {
        json::Submission::Many(tasks) => {
            let tasks = convert::task_batch(tasks).map_err(Problem::from)?;
            let submitted = api.operations.submit(tasks, key, &caller).await?;
            Ok((StatusCode::CREATED, submitted.map(wire::submitted)).into_response())
        }
        json::Submission::One(task) => {
            let task = TaskSpec::try_from(*task).map_err(Problem::from)?;
            let submitted = api.operations.submit_one(task, key, &caller).await;
            let submitted = submitted.map_err(without_position)?;
            let location = [(header::LOCATION, format!("/api/tasks/{}", submitted.body.id))];
            Ok((StatusCode::CREATED, location, submitted.map(wire::task_status)).into_response())
        }
    }
}

/// Points into the body of a single task, which is no list.
fn without_position(mut problem: Problem) -> Problem {
    for fault in &mut problem.errors {
        if let Some(rest) = fault.pointer.strip_prefix("/0/") {
            fault.pointer = format!("/{rest}");
        }
    }
    problem
}

/// Returns the idempotency key that the headers name.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let key = keys.next().map(|key| key.to_str().map(str::to_owned)).transpose();
    match (key, keys.next()) {
        (Ok(key), None) => Ok(key),
        (_, Some(_)) => Err("there are two idempotency keys"),
        (Err(_), None) => Err("the idempotency key is not printable ASCII"),
    }
    .map_err(|detail| Problem::new(ErrorKind::Malformed, detail).with_outcome(Outcome::Rejected))
}

/// `GET /api/tasks`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<ListParams>,
) -> Result<Answer<v1::TaskPage>, Refusal> {
    let query = TaskQuery::try_from(QueryTexts {
        state: params.state.as_deref(),
        worker: params.worker.as_deref(),
        label: params.label.as_deref(),
        name_prefix: params.name_prefix.as_deref(),
        priority: params.priority,
        limit: params.limit,
        cursor: params.cursor.as_deref(),
    })?;
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    Ok(api.operations.tasks(query, reading, &caller).await?.map(wire::task_page))
}

/// `GET /api/tasks/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::Task>, Refusal> {
    let reading = params.reading()?;
    Ok(api.operations.task(ids::task(&id)?, reading, &caller).await?.map(wire::task))
}

/// `DELETE /api/tasks/{id}`.
pub(super) async fn cancel(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<(StatusCode, Answer<v1::SubmittedTask>), Refusal> {
    let cancelled = api.operations.cancel(ids::task(&id)?, &caller).await?;
    Ok((StatusCode::ACCEPTED, cancelled.map(wire::task_status)))
}

/// `POST /api/tasks/{id}/retry`.
pub(super) async fn retry(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<(StatusCode, Answer<v1::SubmittedTask>), Refusal> {
    let retried = api.operations.retry(ids::task(&id)?, &caller).await?;
    Ok((StatusCode::ACCEPTED, retried.map(wire::task_status)))
}

/// `GET /api/tasks/{id}/wait`.
pub(super) async fn wait(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(params): Params<WaitParams>,
) -> Result<Response, Refusal> {
    let patience = params.timeout.as_deref().map(|text| input::duration("timeout", text));
    let patience = patience.transpose()?.unwrap_or(WAIT_DEFAULT).min(WAIT_MAX);
    let task = api.operations.wait(ids::task(&id)?, patience, &caller).await?;
    if !task.body.state.is_terminal() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(task.map(|task| wire::task(api.operations.shown(task, &caller))).into_response())
}

/// `GET /api/tasks/{id}/logs`.
pub(super) async fn logs(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(params): Params<LogParams>,
) -> Result<Response, Refusal> {
    let stream = match params.stream.as_str() {
        "" => None,
        name => Some(OutputStream::named(name).ok_or_else(|| {
            let detail = format!("stream '{name}' is neither stdout nor stderr");
            Problem::new(ErrorKind::Malformed, detail)
        })?),
    };
    let request = LogRequest {
        task: ids::task(&id)?,
        scope: LogScope::new(params.follow, params.attempt.unwrap_or(0), params.from_attempt),
        stream,
        tail_lines: params.tail,
        stdout_offset: None,
        stderr_offset: None,
    };
    let chunks = api.operations.logs(request, &caller);
    let text = log_text::of(chunks.await?);
    let media_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((media_type, Body::from_stream(text)).into_response())
}
