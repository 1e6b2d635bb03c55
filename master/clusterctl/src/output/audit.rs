//! Formats the trail of orders.

use proto::v1;

use super::table::{Style, columns, or_nothing};

/// Formats orders as rows.
#[must_use]
pub fn audit(records: &[v1::AuditRecord], style: Style) -> String {
    let rows = records.iter().map(|record| {
        let outcome = match &record.reason {
            Some(reason) => format!("{}: {reason}", record.outcome),
            None => record.outcome.clone(),
        };
        [
            record.at.clone(),
            record.principal.clone(),
            record.action.clone(),
            record.object.clone(),
            outcome,
            or_nothing(Some(&record.detail).filter(|detail| !detail.is_empty())),
            or_nothing(record.remote.as_ref()),
            record.request_id.clone(),
        ]
    });
    let heading = ["TIME", "WHO", "ACTION", "OBJECT", "OUTCOME", "DETAIL", "FROM", "REQUEST"];
    columns(heading, rows.collect(), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_rows() {
        let done = v1::AuditRecord {
            at: "2025-11-17T10:30:00.000Z".to_owned(),
            principal: "user:ada".to_owned(),
            request_id: "r-1".to_owned(),
            remote: Some("10.0.0.1:4000".to_owned()),
            action: "change-settings".to_owned(),
            object: "settings".to_owned(),
            detail: "worker.lease".to_owned(),
            outcome: "done".to_owned(),
            ..v1::AuditRecord::default()
        };
        let refused = v1::AuditRecord {
            action: "cordon-worker".to_owned(),
            object: "worker/w1".to_owned(),
            detail: String::new(),
            remote: None,
            outcome: "rejected".to_owned(),
            reason: Some("unknown-worker".to_owned()),
            ..done.clone()
        };
        let expected = "\
TIME                      WHO       ACTION           OBJECT     OUTCOME                   DETAIL        FROM           REQUEST
2025-11-17T10:30:00.000Z  user:ada  change-settings  settings   done                      worker.lease  10.0.0.1:4000  r-1
2025-11-17T10:30:00.000Z  user:ada  cordon-worker    worker/w1  rejected: unknown-worker  -             -              r-1";
        assert_eq!(audit(&[done, refused], Style::Plain), expected);
    }
}
