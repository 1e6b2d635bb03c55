//! Converts orphaned results.

use proto::convert;
use proto::v1;

use crate::operations::OrphanPage;

/// Converts a page of orphaned results.
pub(crate) fn orphan_page(page: OrphanPage) -> v1::OrphanPage {
    let OrphanPage { orphans, next, displaced } = page;
    v1::OrphanPage {
        orphans: orphans.iter().map(|orphan| convert::orphan(orphan)).collect(),
        next_cursor: next.map(|next| next.to_string()),
        displaced,
    }
}

/// Converts the number of results that were dropped.
pub(crate) const fn orphans_dropped(dropped: u32) -> v1::DropOrphansResponse {
    v1::DropOrphansResponse { dropped }
}
