//! `/api/jobs`, and the orders that begin them.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster_state::JobAction;
use proto::convert;
use proto::problem::Problem;
use proto::v1;

use super::Api;
use super::answer::Refusal;
use super::input::{self, Id, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::{ids, wire};

/// `POST /api/tasks/cancel`.
pub(super) async fn cancel_tasks(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    start(&api, JobAction::Cancel, &caller, &headers, body).await
}

/// `POST /api/tasks/retry`.
pub(super) async fn retry_tasks(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    start(&api, JobAction::Retry, &caller, &headers, body).await
}

async fn start(
    api: &Api,
    action: JobAction,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = input::json_body(api, headers, body).await?;
    let selection = input::from_json::<v1::TaskSelection>(&body)?;
    let filter = convert::task_filter(selection, action).map_err(Problem::from)?;
    let started = api.operations.start_job(action, filter, caller).await?;
    let location = [(header::LOCATION, format!("/api/jobs/{}", started.body.id))];
    let job = started.map(|job| convert::job(&job));
    Ok((StatusCode::ACCEPTED, location, job).into_response())
}

/// `GET /api/jobs`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::JobList>, Refusal> {
    let jobs = api.operations.jobs(params.reading()?, &caller).await?;
    Ok(jobs.map(|jobs| wire::jobs(&jobs)))
}

/// `GET /api/jobs/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::Job>, Refusal> {
    let reading = params.reading()?;
    let job = api.operations.job(ids::job(&id)?, reading, &caller).await?;
    Ok(job.map(|job| convert::job(&job)))
}
