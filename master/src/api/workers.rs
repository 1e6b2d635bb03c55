//! `/api/workers`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster_state::{RegisterWorker, Registered, SchedulingOrder, SetScheduling};
use proto::convert;
use proto::problem::Problem;
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{self, Id, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::{Answer, ReconnectTarget};
use crate::task_query::{QueryTexts, TaskQuery};
use crate::{ids, wire};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWorker {
    worker_id: String,
    address: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

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

/// `GET /api/workers`.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ListParams>,
) -> Result<Answer<v1::WorkerPage>, Refusal> {
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    let after = ids::cursor(params.cursor.as_deref())?;
    let page = api.operations.workers(params.limit, after, reading).await?;
    Ok(page.map(wire::worker_page))
}

/// `GET /api/workers/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    let id = ids::worker(&id)?;
    Ok(api.operations.worker(&id, params.reading()?).await?.map(wire::worker))
}

/// `POST /api/workers`: of a worker that is registered it changes what the body names.
pub(super) async fn register(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let NewWorker { worker_id, address, labels } = input::from_json(&body)?;
    let labels = labels.map(|entries| v1::Labels { entries });
    let request = v1::RegisterRequest { worker_id, address, labels };
    let command = RegisterWorker::try_from(request).map_err(Problem::from)?;
    let Answer { body: (worker, registered), mark } =
        api.operations.register_worker(command, &caller).await?;
    let location = format!("/api/workers/{}", worker.worker.id);
    let answer = mark.on(wire::own_worker(worker));
    Ok(match registered {
        Registered::Known => answer.into_response(),
        Registered::New => {
            (StatusCode::CREATED, [(header::LOCATION, location)], answer).into_response()
        }
    })
}

/// `DELETE /api/workers/{id}`.
pub(super) async fn unregister(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let unregistered = api.operations.unregister_worker(ids::worker(&id)?, &caller).await?;
    Ok(marked(StatusCode::NO_CONTENT, unregistered.mark))
}

/// `GET /api/workers/{id}/history`.
pub(super) async fn history(
    State(api): State<Api>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::WorkerHistory>, Refusal> {
    let record = api.operations.worker_record(&ids::worker(&id)?, params.reading()?).await?;
    Ok(record.map(|worker| convert::worker_history(&worker)))
}

/// `GET /api/workers/{id}/metrics`: without content while the worker has reported nothing.
pub(super) async fn metrics(
    State(api): State<Api>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Response, Refusal> {
    let metrics = api.operations.usage(&ids::worker(&id)?, params.reading()?).await?;
    Ok(match metrics.body.latest {
        None => marked(StatusCode::NO_CONTENT, metrics.mark),
        Some(_) => metrics.into_response(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskParams {
    state: Option<String>,
    label: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    #[serde(default)]
    consistency: String,
    index: Option<u64>,
    wait: Option<String>,
}

/// `GET /api/workers/{id}/tasks`: those that are on it now.
pub(super) async fn tasks(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(params): Params<TaskParams>,
) -> Result<Answer<v1::TaskPage>, Refusal> {
    let query = TaskQuery::try_from(QueryTexts {
        state: params.state.as_deref(),
        worker: None,
        label: params.label.as_deref(),
        limit: params.limit,
        cursor: params.cursor.as_deref(),
        ..QueryTexts::default()
    })?;
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    let page = api.operations.worker_tasks(ids::worker(&id)?, query, reading, &caller).await?;
    Ok(page.map(wire::task_page))
}

/// `POST /api/workers/{id}/cordon`.
pub(super) async fn cordon(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    order(&api, &id, SchedulingOrder::Cordon, &caller).await
}

/// `POST /api/workers/{id}/uncordon`: ends a drain, too.
pub(super) async fn uncordon(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    order(&api, &id, SchedulingOrder::Uncordon, &caller).await
}

/// Time that an answer waits for the contacts to end, below the time that load balancers wait for a
/// write.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// `POST /api/workers/{id}/reconnect`: contacts the worker now.
pub(super) async fn reconnect(
    State(api): State<Api>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let target = ReconnectTarget::One(ids::worker(&id)?);
    reconnect_within(RECONNECT_PATIENCE, &api, target).await
}

/// `POST /api/workers/reconnect`: the same for every worker that is inactive.
pub(super) async fn reconnect_all(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    reconnect_within(RECONNECT_PATIENCE, &api, ReconnectTarget::AllInactive).await
}

/// Returns the outcomes, or 202 while contacts are pending: they go on, and the registry shows
/// their effect.
async fn reconnect_within(
    patience: Duration,
    api: &Api,
    target: ReconnectTarget,
) -> Result<Response, Refusal> {
    match tokio::time::timeout(patience, api.operations.reconnect(target)).await {
        Ok(found) => Ok(found?.map(wire::reconnections).into_response()),
        Err(_) => {
            let nothing_yet = api.operations.mark().on(v1::ReconnectResponse::default());
            Ok((StatusCode::ACCEPTED, nothing_yet).into_response())
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainParams {
    timeout: Option<String>,
}

/// `POST /api/workers/{id}/drain?timeout=5m`.
pub(super) async fn drain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(DrainParams { timeout }): Params<DrainParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    let timeout = timeout.as_deref().map(|text| input::duration("timeout", text)).transpose()?;
    let timeout = timeout.map(convert::drain_timeout).transpose().map_err(Problem::from)?;
    order(&api, &id, SchedulingOrder::Drain { timeout }, &caller).await
}

async fn order(
    api: &Api,
    id: &str,
    order: SchedulingOrder,
    caller: &Caller,
) -> Result<Answer<v1::Worker>, Refusal> {
    let command = SetScheduling { worker: ids::worker(id)?, order };
    Ok(api.operations.set_scheduling(command, caller).await?.map(wire::own_worker))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelChanges {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    remove: Vec<String>,
}

/// `POST /api/workers/{id}/labels`.
pub(super) async fn label(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(worker_id): Id,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<v1::Worker>, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let LabelChanges { set, remove } = input::from_json(&body)?;
    let request = v1::LabelWorkerRequest { worker_id, set, remove };
    let changed = api.operations.label_worker(wire::label_worker(request)?, &caller).await?;
    Ok(changed.map(wire::own_worker))
}
