//! `/api/queues`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use proto::convert::NewQueue;
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{self, Id, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::{ids, wire};

/// `GET /api/queues`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::QueueList>, Refusal> {
    Ok(api.operations.named_queues(params.reading()?, &caller).await?.map(wire::queue_list))
}

/// `GET /api/queues/{name}`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::Queue>, Refusal> {
    let name = ids::queue(&name)?;
    Ok(api.operations.named_queue(name, params.reading()?, &caller).await?.map(wire::named_queue))
}

/// `PUT /api/queues/{name}`.
pub(super) async fn put(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<v1::Queue>, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let mut spec: v1::QueueSpec = input::from_json(&body)?;
    if spec.name.is_empty() {
        spec.name.clone_from(&name);
    }
    if spec.name != name {
        let detail = format!("the body names queue '{}', and the path '{name}'", spec.name);
        let problem = Problem::new(ErrorKind::InvalidValue, detail);
        return Err(problem.with_outcome(Outcome::Rejected).into());
    }
    let new = NewQueue::try_from(spec).map_err(Problem::from)?;
    Ok(api.operations.put_queue(new, &caller).await?.map(wire::named_queue))
}

/// `DELETE /api/queues/{name}`.
pub(super) async fn delete(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let deleted = api.operations.delete_queue(ids::queue(&name)?, &caller).await?;
    Ok(marked(StatusCode::NO_CONTENT, deleted.mark))
}

/// `POST /api/queues/{name}/pause`.
pub(super) async fn pause(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Queue>, Refusal> {
    let paused = api.operations.pause_queue(ids::queue(&name)?, true, &caller).await?;
    Ok(paused.map(wire::named_queue))
}

/// `POST /api/queues/{name}/resume`.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Queue>, Refusal> {
    let resumed = api.operations.pause_queue(ids::queue(&name)?, false, &caller).await?;
    Ok(resumed.map(wire::named_queue))
}
