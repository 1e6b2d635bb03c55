//! `/api/cluster`: answers without a leader and with members down.

use axum::extract::State;
use proto::problem::{ErrorKind, Problem};
use proto::v1;

use super::Api;
use super::answer::{Answer, Refusal};
use super::input::{NoParams, Params, ReadParams};
use crate::operations::LeaderTerm;

/// `GET /api/cluster`: what this master sees, unless something else is asked for.
pub(super) async fn status(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::ClusterStatus>, Refusal> {
    let mark = api.operations.reach(params.reading_of_what_is_seen_here()?).await?;
    Ok((api.operations.status().await, mark).into())
}

/// `GET /api/cluster/leader`: whom this master sees lead, unless something else is asked for.
pub(super) async fn leader(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::LeaderStatus>, Refusal> {
    let mark = api.operations.reach(params.reading_of_what_is_seen_here()?).await?;
    let status = api.operations.leader_status().await;
    if status.leader_id.is_none() {
        return Err(Problem::new(ErrorKind::NoLeader, "the cluster has no leader").into());
    }
    Ok((status, mark).into())
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
