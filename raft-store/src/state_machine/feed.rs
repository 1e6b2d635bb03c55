//! Publishes applied entries to watchers.

use std::sync::Arc;

use cluster_state::{Change, LogIndex};

use crate::member_news::MemberNews;
use crate::types::AppliedAt;

/// Number of batches by which a slow subscriber may lag before it loses some, and is told so: about
/// a second of them at full load.
pub(super) const FEED_BATCHES_MAX: usize = 1024;

/// One message of the feed.
#[derive(Debug, Clone)]
pub enum Published {
    /// Entries were applied.
    Applied(Arc<AppliedBatch>),
    /// A snapshot replaced the whole state: earlier changes are not in the feed.
    Installed(AppliedAt),
}

/// Changes of some consecutive entries.
#[derive(Debug, PartialEq, Eq)]
pub struct AppliedBatch {
    /// First of the entries.
    pub index_from: LogIndex,
    /// Last of the entries.
    pub index_to: LogIndex,
    /// Changes in order, each with the entry that made it.
    pub changes: Vec<(LogIndex, Change)>,
    /// Changes of the membership in order, each with its entry.
    pub members: Vec<(LogIndex, MemberNews)>,
}
