//! `/api/cluster/upgrade`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::Refusal;
use super::input::{self, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::wire;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    hold: bool,
}

/// `GET /api/cluster/upgrade`: answers without a leader, as far as this master knows.
pub(super) async fn show(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::UpgradeStatus>, Refusal> {
    let upgrade = api.operations.upgrade(params.reading_of_what_is_seen_here()?).await?;
    Ok(upgrade.map(wire::upgrade))
}

/// `PUT /api/cluster/upgrade`: holds the feature level, or lets it rise.
pub(super) async fn change(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<v1::UpgradeStatus>, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let Hold { hold } = input::from_json(&body)?;
    Ok(api.operations.hold_level(hold, &caller).await?.map(wire::upgrade))
}
