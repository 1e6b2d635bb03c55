//! Converts the trail.

use proto::convert;
use proto::v1;

use crate::operations::AuditPage;

/// Converts a page of the trail.
pub(crate) fn audit_page(page: AuditPage) -> v1::AuditPage {
    let AuditPage { records, next } = page;
    v1::AuditPage {
        records: records.iter().map(|record| convert::audit_record(record)).collect(),
        next_cursor: next.map(|next| next.0.to_string()),
    }
}
