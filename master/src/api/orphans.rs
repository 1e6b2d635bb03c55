//! `/api/cluster/orphans`.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use cluster_state::OrphanSelection;
use proto::convert;
use proto::problem::Problem;
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{self, Id, NoParams, Params};
use crate::access::Caller;
use crate::operations::Answer;
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
pub(super) struct DropParams {
    up_to: String,
}

/// `GET /api/cluster/orphans`.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ListParams>,
) -> Result<Answer<v1::OrphanPage>, Refusal> {
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    let after = ids::cursor(params.cursor.as_deref())?;
    let page = api.operations.orphans(params.limit, after, reading).await?;
    Ok(page.map(wire::orphan_page))
}

/// `DELETE /api/cluster/orphans`: those up to the last one that was seen.
pub(super) async fn drop_seen(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(DropParams { up_to }): Params<DropParams>,
) -> Result<Answer<v1::DropOrphansResponse>, Refusal> {
    let last = convert::id("/up_to", &up_to).map_err(Problem::from)?;
    let dropped = api.operations.drop_orphans(OrphanSelection::UpTo(last), &caller).await?;
    Ok(dropped.map(wire::orphans_dropped))
}

/// `DELETE /api/cluster/orphans/{id}`.
pub(super) async fn drop_one(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let selection = OrphanSelection::These(vec![ids::orphan(&id)?]);
    let dropped = api.operations.drop_orphans(selection, &caller).await?;
    Ok(marked(StatusCode::NO_CONTENT, dropped.mark))
}
