//! `/api/queue`, and why a task waits.

use axum::Extension;
use axum::extract::State;
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::Refusal;
use super::input::{self, Id, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::{ids, wire};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueParams {
    limit: Option<u32>,
    #[serde(default)]
    consistency: String,
    index: Option<u64>,
    wait: Option<String>,
}

/// `GET /api/queue`.
pub(super) async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<QueueParams>,
) -> Result<Answer<v1::QueueSummary>, Refusal> {
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    let summary = api.operations.queue(params.limit, reading, &caller).await?;
    Ok(summary.map(wire::queue_summary))
}

/// `GET /api/tasks/{id}/explain`.
pub(super) async fn explain(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::TaskExplanation>, Refusal> {
    let explained = api.operations.explain(ids::task(&id)?, params.reading()?, &caller).await?;
    Ok(explained.map(wire::task_explanation))
}
