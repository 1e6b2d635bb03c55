//! Publishes applied entries to watchers.

use std::sync::Arc;

use cluster_state::{Change, LogIndex};

use crate::types::AppliedAt;

/// Batches that a slow subscriber may lag behind before it loses some, and is told so: at full
/// load about a second of them.
pub(super) const FEED_BATCHES_MAX: usize = 1024;

/// One message of the feed.
#[derive(Debug, Clone)]
pub enum Published {
    /// Entries were applied.
    Applied(Arc<AppliedBatch>),
    /// A snapshot replaced the whole state: what happened up to its index is not in the feed.
    Installed(AppliedAt),
}

/// Changes of some consecutive entries.
#[derive(Debug, PartialEq, Eq)]
pub struct AppliedBatch {
    /// The first of the entries.
    pub index_from: LogIndex,
    /// The last of them.
    pub index_to: LogIndex,
    /// The new values of records, each with the entry that wrote it, in order.
    pub changes: Vec<(LogIndex, Change)>,
}
