//! `/api/users/me` and `/api/users/tokens`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use proto::convert::NewUserToken;
use proto::problem::Problem;
use proto::v1;

use super::Api;
use super::answer::{Refusal, marked};
use super::input::{self, Id, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::operations::Answer;
use crate::{ids, wire};

/// `GET /api/users/me`: as whom this master sees the caller.
pub(super) async fn me(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
) -> Json<v1::CallerIdentity> {
    Json(wire::caller_identity(api.operations.caller_identity(&caller)))
}

/// `POST /api/users/tokens`: the token is in this answer and nowhere else.
pub(super) async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let request: v1::CreateUserTokenRequest = input::from_json(&body)?;
    let new = NewUserToken::try_from(request).map_err(Problem::from)?;
    let created = api.operations.create_user_token(new, &caller).await?;
    // Nobody on the way keeps a copy.
    let no_copy = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, no_copy, created.map(wire::created_user_token)).into_response())
}

/// `GET /api/users/tokens`.
pub(super) async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::UserTokenList>, Refusal> {
    Ok(api.operations.user_tokens(params.reading()?, &caller).await?.map(wire::user_tokens))
}

/// `DELETE /api/users/tokens/{id}`.
pub(super) async fn revoke(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let revoked = api.operations.revoke_user_token(ids::user_token(&id)?, &caller).await?;
    Ok(marked(StatusCode::NO_CONTENT, revoked.mark))
}
