//! The counters, log time, newest term and level of the cluster.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, Epoch, Level, Limits, TaskId, Term, Timestamp};

/// Counters, log time, the newest term and the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The cluster's id, from the first leader's barrier.
    pub cluster: Option<ClusterId>,
    /// The id that the next task gets.
    pub next_task: TaskId,
    /// The latest stamp seen: log time never goes back, even when a leader's clock does.
    pub now: Timestamp,
    /// The newest term that has begun; commands of older ones are refused.
    pub term: Term,
    /// Memory that live tasks and idempotency keys may take: the setting of the leader whose term
    /// this is.
    pub live_bytes_max: u64,
    /// The cluster's feature level: what may be proposed, and how records are written.
    pub level: Level,
    /// The highest epoch of any worker that was taken off the registry. Those that come after it
    /// count on from there, so that no registration of a name is ever taken for an earlier one.
    pub epochs_used: Epoch,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            cluster: None,
            next_task: TaskId(1),
            now: Timestamp(0),
            term: Term(0),
            live_bytes_max: Limits::LIVE_BYTES_DEFAULT,
            level: Level::FIRST,
            epochs_used: Epoch(0),
        }
    }
}
