//! `/api/cluster/members`.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::Refusal;
use super::input::{self, Id, NoParams, Params, ReadParams};
use crate::access::Caller;
use crate::membership_order::MembershipOrder;
use crate::operations::Answer;
use crate::wire;

/// Name of a master in a body: a number, or its text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(u64),
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text,
            Name::Number(number) => number.to_string(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMember {
    name: Name,
    address: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    new: Name,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveParams {
    force: Option<bool>,
}

/// `GET /api/cluster/members`: answers without a leader, as far as this master knows.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ReadParams>,
) -> Result<Answer<v1::MemberList>, Refusal> {
    let members = api.operations.members(params.reading_of_what_is_seen_here()?).await?;
    Ok(members.map(wire::members))
}

/// `POST /api/cluster/members`: the new member waits for its vote when this is answered.
pub(super) async fn add(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Answer<v1::MemberChanged>), Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let NewMember { name, address } = input::from_json(&body)?;
    let request = v1::AddMemberRequest { name: name.into(), address };
    let added = change(&api, request.try_into()?, &caller).await?;
    let status = if added.body.changed { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, added))
}

/// `POST /api/cluster/members/{name}/promote`.
pub(super) async fn promote(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Answer<v1::MemberChanged>, Refusal> {
    change(&api, v1::PromoteMemberRequest { name }.try_into()?, &caller).await
}

/// `POST /api/cluster/members/{name}/replace`: the body names the member that gets its vote.
pub(super) async fn replace(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(old): Id,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer<v1::MemberChanged>, Refusal> {
    let body = input::json_body(&api, &headers, body).await?;
    let Replacement { new } = input::from_json(&body)?;
    let request = v1::ReplaceMemberRequest { old, new: new.into() };
    change(&api, request.try_into()?, &caller).await
}

/// `DELETE /api/cluster/members/{name}`.
pub(super) async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Id(name): Id,
    Params(params): Params<RemoveParams>,
) -> Result<Answer<v1::MemberChanged>, Refusal> {
    let force = params.force.unwrap_or(false);
    change(&api, v1::RemoveMemberRequest { name, force }.try_into()?, &caller).await
}

async fn change(
    api: &Api,
    order: MembershipOrder,
    caller: &Caller,
) -> Result<Answer<v1::MemberChanged>, Refusal> {
    Ok(api.operations.order_members(order, caller).await?.map(wire::member_changed))
}
