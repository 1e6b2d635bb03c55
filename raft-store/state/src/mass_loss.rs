//! The alarm that so many workers fell silent at once that the cause may lie with the masters.

use serde::{Deserialize, Serialize};

use crate::{LogIndex, Timestamp};

/// A mass loss that is not over. Until an operator acknowledges it, tasks of lost workers are
/// queued again slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MassLoss {
    /// When it was raised.
    pub since: Timestamp,
    /// How many workers fell silent within one heartbeat timeout.
    pub lost: u32,
    /// Of how many that were active.
    pub of: u32,
    /// When an operator acknowledged it.
    pub acknowledged_at: Option<Timestamp>,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl MassLoss {
    /// Whether requeueing is to be slow.
    #[must_use]
    pub const fn brakes(&self) -> bool {
        self.acknowledged_at.is_none()
    }
}
