//! `/api/cluster`: answers without a leader and with members down.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use proto::problem::{ErrorKind, Problem};
use proto::v1;

use super::Api;
use super::answer::Refusal;
use super::input::{NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::{Answer, TermView};
use crate::wire;

/// `GET /api/cluster`: what this master sees, unless something else is asked for.
pub(super) async fn status(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::ClusterStatus>, Refusal> {
    let status = api.operations.status(params.reading_of_what_is_seen_here()?).await?;
    Ok(status.map(wire::cluster))
}

/// `GET /api/cluster/leader`: whom this master sees lead, unless something else is asked for.
pub(super) async fn leader(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::LeaderStatus>, Refusal> {
    let status = api.operations.leader_status(params.reading_of_what_is_seen_here()?).await?;
    if status.body.leader.is_none() {
        return Err(Problem::new(ErrorKind::NoLeader, "the cluster has no leader").into());
    }
    Ok(status.map(wire::leader))
}

/// `GET /api/cluster/leaders`.
pub(super) async fn leaders(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<Vec<TermView>>, Refusal> {
    Ok(api.operations.leader_history(params.reading()?).await?)
}

/// `POST /api/cluster/mass-loss/acknowledge`.
pub(super) async fn acknowledge_mass_loss(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::MassLoss>, Refusal> {
    Ok(api.operations.acknowledge_mass_loss(&caller).await?.map(wire::mass_loss))
}

/// `POST /api/cluster/snapshot`: the bytes of a backup's file.
pub(super) async fn save_snapshot(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let bytes = api.operations.send_snapshot(&caller).await?;
    let media_type = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((media_type, Body::from_stream(bytes)).into_response())
}
