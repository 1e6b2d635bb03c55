//! `/api/workers`.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::{Answer, Refusal};
use super::input::{self, Id, NoParams, Params, ReadParams};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWorker {
    worker_id: String,
    address: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
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
    let page = api.operations.workers(params.limit, params.cursor.as_deref(), reading).await?;
    Ok(page.into())
}

/// `GET /api/workers/{id}`.
pub(super) async fn show(
    State(api): State<Api>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::Worker>, Refusal> {
    Ok(api.operations.worker(&id, params.reading()?).await?.into())
}

/// `POST /api/workers`.
pub(super) async fn register(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = input::json_body(&headers, body, api.request_bytes_max).await?;
    let NewWorker { worker_id, address, labels } = input::from_json(&body)?;
    let request = v1::RegisterRequest { worker_id, address, labels };
    let (worker, mark) = api.operations.register_worker(request).await?;
    let location = format!("/api/workers/{}", worker.worker_id);
    let answer = Answer::from((worker, mark)).with_status(StatusCode::CREATED);
    Ok(([(header::LOCATION, location)], answer).into_response())
}

/// `DELETE /api/workers/{id}`.
pub(super) async fn unregister(
    State(api): State<Api>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let mark = api.operations.unregister_worker(&id).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(mark);
    Ok(response)
}
