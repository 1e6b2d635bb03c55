//! `/api/cluster`: answers without a leader and with members down.

use axum::Json;
use axum::extract::State;
use proto::problem::{ErrorKind, Problem};
use proto::v1;

use super::Api;
use super::answer::{Answer, Refusal};
use super::input::{NoParams, Params, ReadParams};
use crate::operations::LeaderTerm;

/// `GET /api/cluster`.
pub(super) async fn status(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Json<v1::ClusterStatus>, Refusal> {
    // It is what this master sees, however it is asked: it has to answer without a leader.
    params.reading()?;
    Ok(Json(api.operations.status().await))
}

/// `GET /api/cluster/leader`.
pub(super) async fn leader(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Json<v1::LeaderStatus>, Refusal> {
    params.reading()?;
    let status = api.operations.leader_status().await;
    if status.leader_id.is_none() {
        return Err(Problem::new(ErrorKind::NoLeader, "the cluster has no leader").into());
    }
    Ok(Json(status))
}

/// `GET /api/cluster/leaders`.
pub(super) async fn leaders(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<Vec<LeaderTerm>>, Refusal> {
    let mark = api.operations.reach(params.reading()?).await?;
    Ok((api.operations.leader_history(), mark).into())
}

/// `POST /api/cluster/mass-loss/acknowledge`.
pub(super) async fn acknowledge_mass_loss(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::MassLoss>, Refusal> {
    Ok(api.operations.acknowledge_mass_loss().await?.into())
}
