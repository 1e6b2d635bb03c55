//! Attempts that are given to a worker ahead of the room for them.

use serde::{Deserialize, Serialize};

use super::Task;
use crate::{Level, TaskState};

/// Knowledge about an attempt that waits at its worker until others there have ended.
///
/// Such an attempt occupies none of the worker's resources. The worker starts it by itself when it
/// has room, so a short task costs no round trip through the log. What waits for too long is given
/// back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ahead {
    /// The worker has not confirmed that it has it.
    Untold,
    /// The worker has it.
    Told,
}

impl Ahead {
    /// The level since which attempts may wait at their workers.
    pub const LEVEL: Level = Level(2);
}

impl Task {
    /// Returns whether its worker has yet to confirm the live attempt.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.state == TaskState::Assigned && self.ahead != Some(Ahead::Told)
    }
}
