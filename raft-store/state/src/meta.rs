//! The counters, log time, newest term and level of the cluster.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, Epoch, Level, Limits, TaskId, Term, Timestamp};

/// Counters, log time, the newest term and the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The cluster's id, from the first leader's barrier.
    pub cluster: Option<ClusterId>,
    /// Id of the next task.
    pub next_task: TaskId,
    /// Log time: the latest stamp seen. It never goes back, even when a leader's clock does.
    pub now: Timestamp,
    /// The newest term that has begun; commands of older terms are refused.
    pub term: Term,
    /// Bound on the memory of live tasks and idempotency keys: the setting of the leader of this
    /// term.
    pub live_bytes_max: u64,
    /// Feature level of the cluster: decides which commands may be proposed and how records are
    /// written.
    pub level: Level,
    /// The highest epoch of any unregistered worker. New workers count on from there, so that no
    /// registration under a name is ever taken for an earlier one.
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
