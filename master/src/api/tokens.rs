//! `/api/tokens`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use proto::v1;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{self, Id, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::{ids, wire};

/// `POST /api/tokens`: the secret is in this answer and nowhere else.
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Answer<v1::CreatedToken>), Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let token = wire::new_token(input::from_json(&body)?)?;
    let created = api.operations.create_token(token, &caller).await?;
    Ok((StatusCode::CREATED, created.map(wire::created_token)))
}

/// `GET /api/tokens`.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::TokenList>, Refusal> {
    Ok(api.operations.tokens(params.reading()?).await?.map(wire::tokens))
}

/// `DELETE /api/tokens/{id}`.
pub(super) async fn revoke(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let revoked = api.operations.revoke_token(ids::token(&id)?, &caller).await?;
    Ok(marked(StatusCode::NO_CONTENT, revoked.mark))
}
