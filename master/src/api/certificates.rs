//! `/api/cluster/certificates`, and workers that are forgotten.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{Id, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::{ids, wire};

/// `GET /api/cluster/certificates`.
pub(super) async fn status(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::CertificateStatus>, Refusal> {
    let status = api.operations.certificate_status(params.reading()?).await?;
    Ok(status.map(wire::certificate_status))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgetParams {
    #[serde(default)]
    force: bool,
}

/// `POST /api/workers/{id}/forget`.
pub(super) async fn forget_worker(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(ForgetParams { force }): Params<ForgetParams>,
) -> Result<Response, Refusal> {
    let forgotten = api.operations.forget_worker(ids::worker(&id)?, force, &caller).await?;
    Ok(marked(StatusCode::NO_CONTENT, forgotten.mark))
}
