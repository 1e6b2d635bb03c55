//! Converts the trail: its records as displayed, and the selection that a reader makes.

use cluster_state::{Actor, AuditAction, AuditRecord, LogIndex, Timestamp};

use super::{parse_rfc3339, rfc3339};
use crate::problem::{ErrorKind, Problem};
use crate::v1;

/// Selection of records of the trail. Pure; empty texts select everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Most records on a page; none for as many as usual.
    pub limit: Option<usize>,
    /// Log position of the last record of the page before.
    pub cursor: Option<LogIndex>,
    /// True to begin with the oldest record.
    pub oldest_first: bool,
    /// Principal that gave the order.
    pub principal: String,
    /// Kind of order.
    pub action: Option<AuditAction>,
    /// Beginning of the name of the thing that it is about.
    pub object_prefix: String,
    /// Earliest time.
    pub since: Option<Timestamp>,
    /// First time that is too late.
    pub until: Option<Timestamp>,
    /// Outcome, or the reason of one.
    pub outcome: String,
}

impl AuditQuery {
    /// Returns whether a record is selected.
    #[must_use]
    pub fn selects(&self, record: &AuditRecord) -> bool {
        let AuditRecord { at, actor, action, object, outcome, .. } = record;
        let is_outcome = |wanted: &str| {
            wanted.is_empty() || wanted == outcome.name() || outcome.reason() == Some(wanted)
        };
        (self.principal.is_empty() || self.principal == actor.principal)
            && self.action.is_none_or(|wanted| wanted == *action)
            && object.starts_with(&self.object_prefix)
            && self.since.is_none_or(|since| *at >= since)
            && self.until.is_none_or(|until| *at < until)
            && is_outcome(&self.outcome)
    }
}

impl TryFrom<v1::ListAuditRequest> for AuditQuery {
    type Error = Problem;

    fn try_from(request: v1::ListAuditRequest) -> Result<Self, Problem> {
        let malformed = |detail: String| Problem::new(ErrorKind::Malformed, detail);
        let time = |name: &str, text: Option<&str>| {
            text.map(parse_rfc3339)
                .transpose()
                .map_err(|error| malformed(format!("{name}: {error}")))
        };
        let action = match request.action.as_str() {
            "" => None,
            text => {
                Some(text.parse().map_err(|error| malformed(format!("action '{text}': {error}")))?)
            }
        };
        let cursor = request.cursor.as_deref().map(str::parse).transpose();
        let cursor =
            cursor.map_err(|_| malformed("cursor is not one that a page ended with".to_owned()))?;
        Ok(Self {
            limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
            cursor: cursor.map(LogIndex),
            oldest_first: request.oldest_first,
            action,
            since: time("since", request.since.as_deref())?,
            until: time("until", request.until.as_deref())?,
            principal: request.principal,
            object_prefix: request.object_prefix,
            outcome: request.outcome,
        })
    }
}

/// Converts a record of the trail.
#[must_use]
pub fn audit_record(record: &AuditRecord) -> v1::AuditRecord {
    let AuditRecord { number, index, at, actor, action, object, detail, outcome } = record;
    let Actor { principal, request, remote } = actor;
    v1::AuditRecord {
        number: *number,
        index: index.0,
        at: rfc3339(*at),
        principal: principal.clone(),
        request_id: request.clone(),
        remote: remote.clone(),
        action: action.name().to_owned(),
        object: object.clone(),
        detail: detail.clone(),
        outcome: outcome.name().to_owned(),
        reason: outcome.reason().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::AuditOutcome;
    use serde_json::json;

    use super::*;

    fn record() -> AuditRecord {
        AuditRecord {
            number: 3,
            index: LogIndex(17),
            at: Timestamp(1_000),
            actor: Actor {
                principal: "user:ada".to_owned(),
                request: "r-1".to_owned(),
                remote: Some("10.0.0.1:4000".to_owned()),
            },
            action: AuditAction::CordonWorker,
            object: "worker/w1".to_owned(),
            detail: String::new(),
            outcome: AuditOutcome::Rejected { reason: "unknown-worker".into() },
        }
    }

    #[test]
    fn a_record_is_shown_by_names() {
        let expected = json!({
            "number": 3, "index": 17, "at": "1970-01-01T00:00:01.000Z", "principal": "user:ada",
            "request_id": "r-1", "remote": "10.0.0.1:4000", "action": "cordon-worker",
            "object": "worker/w1", "detail": "", "outcome": "rejected", "reason": "unknown-worker",
        });
        assert_eq!(serde_json::to_value(audit_record(&record())).unwrap(), expected);
    }

    #[test]
    fn each_part_of_a_selection_counts() {
        let selects = |change: fn(&mut v1::ListAuditRequest)| {
            let mut request = v1::ListAuditRequest::default();
            change(&mut request);
            AuditQuery::try_from(request).unwrap().selects(&record())
        };
        assert!(selects(|_| {}));
        assert!(selects(|all| {
            all.principal = "user:ada".to_owned();
            all.action = "cordon-worker".to_owned();
            all.object_prefix = "worker/".to_owned();
            all.since = Some("1970-01-01T00:00:01Z".to_owned());
            all.until = Some("1970-01-01T00:00:02Z".to_owned());
            all.outcome = "rejected".to_owned();
        }));
        assert!(selects(|one| one.outcome = "unknown-worker".to_owned()));
        assert!(!selects(|one| one.principal = "user:ad".to_owned()));
        assert!(!selects(|one| one.action = "drain-worker".to_owned()));
        assert!(!selects(|one| one.object_prefix = "member/".to_owned()));
        assert!(!selects(|one| one.since = Some("1970-01-01T00:00:02Z".to_owned())));
        assert!(!selects(|one| one.until = Some("1970-01-01T00:00:01Z".to_owned())));
        assert!(!selects(|one| one.outcome = "done".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused =
            |request: v1::ListAuditRequest| AuditQuery::try_from(request).unwrap_err().detail;
        let request = v1::ListAuditRequest::default;
        let since = Some("yesterday".to_owned());
        assert!(refused(v1::ListAuditRequest { since, ..request() }).starts_with("since: "));
        let action = "launch".to_owned();
        assert!(refused(v1::ListAuditRequest { action, ..request() }).contains("'launch'"));
        let cursor = Some("x".to_owned());
        assert!(refused(v1::ListAuditRequest { cursor, ..request() }).starts_with("cursor"));
    }
}
