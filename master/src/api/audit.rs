//! `/api/audit`.

use axum::extract::State;
use proto::convert::AuditQuery;
use proto::problem::{ErrorKind, Problem};
use proto::v1;
use serde::Deserialize;

use super::Api;
use super::answer::Refusal;
use super::input::{self, Params};
use crate::operations::Answer;
use crate::wire;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListParams {
    limit: u32,
    cursor: Option<String>,
    order: String,
    principal: String,
    action: String,
    object: String,
    since: Option<String>,
    until: Option<String>,
    outcome: String,
    consistency: String,
    index: Option<u64>,
    wait: Option<String>,
}

impl Default for ListParams {
    fn default() -> Self {
        Self {
            limit: 0,
            cursor: None,
            order: "newest".to_owned(),
            principal: String::new(),
            action: String::new(),
            object: String::new(),
            since: None,
            until: None,
            outcome: String::new(),
            consistency: String::new(),
            index: None,
            wait: None,
        }
    }
}

/// `GET /api/audit`.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ListParams>,
) -> Result<Answer<v1::AuditPage>, Refusal> {
    let reading = input::reading(&params.consistency, params.index, params.wait.as_deref())?;
    let oldest_first = match params.order.as_str() {
        "newest" => false,
        "oldest" => true,
        other => {
            let detail = format!("order '{other}' is neither newest nor oldest");
            return Err(Problem::new(ErrorKind::Malformed, detail).into());
        }
    };
    let query = AuditQuery::try_from(v1::ListAuditRequest {
        limit: params.limit,
        cursor: params.cursor,
        oldest_first,
        principal: params.principal,
        action: params.action,
        object_prefix: params.object,
        since: params.since,
        until: params.until,
        outcome: params.outcome,
        ..v1::ListAuditRequest::default()
    })?;
    Ok(api.operations.audit(query, reading).await?.map(wire::audit_page))
}
