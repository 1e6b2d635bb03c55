//! `/api/tokens`.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use proto::v1;

use super::Api;
use super::answer::{Answer, Refusal};
use super::input::{self, Id, NoParams, Params, ReadParams};

/// `POST /api/tokens`: the secret is in this answer and nowhere else.
pub(super) async fn create(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<v1::CreatedToken>, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let created = api.operations.create_token(input::from_json(&body)?).await?;
    Ok(Answer::from(created).with_status(StatusCode::CREATED))
}

/// `GET /api/tokens`.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::TokenList>, Refusal> {
    Ok(api.operations.tokens(params.reading()?).await?.into())
}

/// `DELETE /api/tokens/{id}`.
pub(super) async fn revoke(
    State(api): State<Api>,
    Id(id): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let mark = api.operations.revoke_token(&id).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(mark);
    Ok(response)
}
