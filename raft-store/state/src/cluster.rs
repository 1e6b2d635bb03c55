//! Records about the cluster itself: counters, generations, terms of leadership, join tokens, and the
//! mass-loss alarm.

use serde::{Deserialize, Serialize};

use crate::{
    ClusterId, Epoch, Level, Limits, LogIndex, MasterId, TaskId, Term, Timestamp, TokenId,
};

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
    /// Bound on the memory of live tasks and idempotency keys: the cluster's setting, or that of the
    /// leader of this term while the cluster has none.
    pub live_bytes_max: u64,
    /// Feature level of the cluster: decides which commands may be proposed and how records are
    /// written.
    pub level: Level,
    /// The highest epoch of any unregistered worker. New workers count on from there, so that no
    /// registration under a name is ever taken for an earlier one.
    pub epochs_used: Epoch,
    /// The life of the cluster that this is. Since level 2.
    pub generation: Generation,
    /// Id of the first task that the state from which the generation continues did not know: those
    /// from here to the generation's first one are lost. Since level 2.
    pub continued_at: TaskId,
    /// Number of orphaned results found so far, in all generations; the last one has it for its id.
    /// Since level 2.
    pub orphans_found: u64,
    /// Number of those that made room for others before an operator dropped them. Since level 2.
    pub orphans_displaced: u64,
    /// Log position of the latest order that had a finished task run again. Since level 2.
    pub last_retry: LogIndex,
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
            generation: Generation::default(),
            continued_at: TaskId(1),
            orphans_found: 0,
            orphans_displaced: 0,
            last_retry: LogIndex(0),
        }
    }
}

/// One life of a cluster. The first one is the default; each restore from a backup and each recovery
/// from a lost quorum begins another.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Generation {
    /// Its number, one above that of the life that it continues; the first one has 0.
    pub number: u32,
    /// A random number that tells two lives apart that continue the same one; the first one has 0.
    pub id: u64,
}

/// One term of leadership, recorded by the barrier entry that its leader commits first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The term led.
    pub term: Term,
    /// The master that led it.
    pub leader: MasterId,
    /// Time at which its barrier entry was proposed.
    pub since: Timestamp,
    /// Position of that entry.
    pub index: LogIndex,
}

/// A token that admits workers that no operator has registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Public name.
    pub id: TokenId,
    /// SHA-256 of the secret; the secret itself is shown once and stored nowhere.
    pub digest: [u8; 32],
    /// Purpose, in the operator's words.
    pub description: String,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Time from which on it admits no workers; absent if it never expires.
    pub expires_at: Option<Timestamp>,
    /// Log position of its creation.
    pub index: LogIndex,
}

impl JoinToken {
    /// Returns whether it has expired.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A mass loss that is not over. Until an operator acknowledges it, tasks of lost workers are
/// requeued slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MassLoss {
    /// Time at which it was raised.
    pub since: Timestamp,
    /// Number of workers that fell silent within one heartbeat timeout.
    pub lost: u32,
    /// Number of workers that were active before.
    pub of: u32,
    /// Time at which an operator acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl MassLoss {
    /// Returns whether requeueing must be slow.
    #[must_use]
    pub const fn brakes(&self) -> bool {
        self.acknowledged_at.is_none()
    }
}
