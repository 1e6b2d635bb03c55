//! `/api/workers`.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cluster_state::Registered;
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{self, Id, NoParams, Params, ReadParams};
use crate::operations::{Answer, TaskQuery};

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
    Ok(api.operations.workers(params.limit, params.cursor.as_deref(), reading).await?)
}

/// `GET /api/workers/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    Ok(api.operations.worker(&id, params.reading()?).await?)
}

/// `POST /api/workers`: of a worker that is registered it changes what the body names.
pub(super) async fn register(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let NewWorker { worker_id, address, labels } = input::from_json(&body)?;
    let labels = labels.map(|entries| v1::Labels { entries });
    let request = v1::RegisterRequest { worker_id, address, labels };
    let Answer { body: (worker, registered), mark } =
        api.operations.register_worker(request).await?;
    let location = format!("/api/workers/{}", worker.worker_id);
    let answer = mark.on(worker);
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
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let unregistered = api.operations.unregister_worker(&id).await?;
    Ok(marked(StatusCode::NO_CONTENT, unregistered.mark))
}

/// `GET /api/workers/{id}/history`.
pub(super) async fn history(
    State(api): State<Api>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::WorkerHistory>, Refusal> {
    Ok(api.operations.worker_history(&id, params.reading()?).await?)
}

/// `GET /api/workers/{id}/metrics`: without content while the worker has reported nothing.
pub(super) async fn metrics(
    State(api): State<Api>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Response, Refusal> {
    let metrics = api.operations.usage(&id, params.reading()?).await?;
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
    Id(id): Id,
    Params(params): Params<TaskParams>,
) -> Result<Answer<v1::TaskPage>, Refusal> {
    let (state, label) = (params.state.as_deref(), params.label.as_deref());
    let query = TaskQuery::parse(state, None, label, params.limit, params.cursor.as_deref())?;
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    Ok(api.operations.worker_tasks(&id, query, reading).await?)
}

/// `POST /api/workers/{id}/cordon`.
pub(super) async fn cordon(
    State(api): State<Api>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    order(&api, id, v1::SchedulingOrder::Cordon, None).await
}

/// `POST /api/workers/{id}/uncordon`: ends a drain, too.
pub(super) async fn uncordon(
    State(api): State<Api>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    order(&api, id, v1::SchedulingOrder::Uncordon, None).await
}

/// Time that an answer waits for the contacts to end, below the time that load balancers wait for a
/// write.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// `POST /api/workers/{id}/reconnect`: contacts the worker now.
pub(super) async fn reconnect(
    State(api): State<Api>,
    Id(worker_id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    reconnect_within(RECONNECT_PATIENCE, &api, v1::ReconnectRequest { worker_id }).await
}

/// `POST /api/workers/reconnect`: the same for every worker that is inactive.
pub(super) async fn reconnect_all(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let everyone = v1::ReconnectRequest { worker_id: String::new() };
    reconnect_within(RECONNECT_PATIENCE, &api, everyone).await
}

/// Returns the outcomes, or 202 while contacts are pending: they go on, and the registry shows
/// their effect.
async fn reconnect_within(
    patience: Duration,
    api: &Api,
    request: v1::ReconnectRequest,
) -> Result<Response, Refusal> {
    match tokio::time::timeout(patience, api.operations.reconnect(request)).await {
        Ok(found) => Ok(found?.into_response()),
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
    Id(id): Id,
    Params(DrainParams { timeout }): Params<DrainParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    // As the other parameters of queries; in a message it would be an invalid value.
    timeout.as_deref().map(|text| input::duration("timeout", text)).transpose()?;
    order(&api, id, v1::SchedulingOrder::Drain, timeout).await
}

async fn order(
    api: &Api,
    worker_id: String,
    order: v1::SchedulingOrder,
    timeout: Option<String>,
) -> Result<Answer<v1::Worker>, Refusal> {
    let request = v1::SetSchedulingRequest { worker_id, order: order.into(), timeout };
    Ok(api.operations.set_scheduling(&request).await?)
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
    Id(worker_id): Id,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<v1::Worker>, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let LabelChanges { set, remove } = input::from_json(&body)?;
    let request = v1::LabelWorkerRequest { worker_id, set, remove };
    Ok(api.operations.label_worker(request).await?)
}
