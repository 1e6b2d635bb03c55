//! Consecutive entries of the log, and the bytes that they count for. Pure.

use openraft::EntryPayload;

use crate::types::{Entry, LogId, next_index};

/// Memory of an entry besides its payload.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Returns the bytes for which an entry counts against bounds.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(payload) => payload.bytes().len().saturating_add(ENTRY_OVERHEAD_BYTES),
        EntryPayload::Blank => ENTRY_OVERHEAD_BYTES,
        // They are rare, and small compared with the bounds.
        EntryPayload::Membership(_) => 8 * ENTRY_OVERHEAD_BYTES,
    }
}

/// Returns the end of a log whose last entry is `last`, if it is purged up to `purged`: the index
/// decides, because the entries that a purge replaces may be of a newer term.
pub(super) fn end_of(last: Option<LogId>, purged: Option<LogId>) -> Option<LogId> {
    if next_index(last) <= next_index(purged) { purged } else { last }
}

/// Consecutive entries, up to a byte budget.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) entries: Vec<Entry>,
    /// True if the budget ended them.
    pub(super) is_cut: bool,
}
