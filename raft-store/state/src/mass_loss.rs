//! The mass-loss alarm: so many workers fell silent at once that the masters may be the cause.

use serde::{Deserialize, Serialize};

use crate::{LogIndex, Timestamp};

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
