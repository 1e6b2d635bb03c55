//! Whether a connected worker can be called and can start programs, apart from its operator's wishes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AttemptRef, Limits, TaskId, Timestamp};

/// What is known against giving a connected worker tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The reason for which the leader cannot call it; none while it can.
    pub unreachable: Option<Trouble>,
    /// The worker's own word that it cannot start programs at present.
    pub reported: Option<Trouble>,
    /// The verdict on a worker on which programs failed to start.
    pub suspension: Option<Suspension>,
    /// Tasks in a row whose programs failed to start there and may start elsewhere.
    pub failed_starts: Vec<TaskId>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The reason, for operators.
    pub detail: String,
    /// When it began.
    pub since: Timestamp,
}

/// A worker gets no tasks for a while because programs failed to start there, then one at a time
/// until a program has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The last failed start.
    pub trouble: Trouble,
    /// The evidence.
    pub cause: SuspensionCause,
    /// Consecutive suspensions, this one included.
    pub count: u32,
    /// How far it has come.
    pub probation: Probation,
}

/// The evidence that a worker cannot start programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuspensionCause {
    /// The worker said so of an attempt.
    MachineFault,
    /// Many tasks in a row failed to start, and may start elsewhere.
    FailedStarts,
}

/// How far a suspended worker has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probation {
    /// It gets no tasks.
    Resting {
        /// When it gets one.
        until: Timestamp,
    },
    /// It may be given one task.
    Open,
    /// It has been given one.
    Trying {
        /// The attempt that shows whether programs start.
        attempt: AttemptRef,
        /// When an attempt that has not failed counts as started; none before the worker has
        /// confirmed it.
        until: Option<Timestamp>,
    },
}

impl Health {
    /// Why the worker cannot start programs; nothing while it can.
    #[must_use]
    pub fn unfit(&self) -> Option<&Trouble> {
        self.reported.as_ref().or_else(|| self.suspension.as_ref().map(|one| &one.trouble))
    }

    /// Whether there is nothing an operator should know of.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.unreachable.is_none() && self.unfit().is_none()
    }

    /// Whether the worker may be given tasks, be it only one.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        let is_open = match &self.suspension {
            None => true,
            Some(suspension) => suspension.probation == Probation::Open,
        };
        self.unreachable.is_none() && self.reported.is_none() && is_open
    }

    /// Whether it may be given one task only.
    #[must_use]
    pub const fn is_on_probation(&self) -> bool {
        self.suspension.is_some()
    }

    /// When the suspension goes on to its next phase by itself.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        match self.suspension.as_ref()?.probation {
            Probation::Resting { until } => Some(until),
            Probation::Open => None,
            Probation::Trying { until, .. } => until,
        }
    }

    /// Whether this attempt is the one that shows whether programs start.
    #[must_use]
    pub fn tries(&self, attempt: AttemptRef) -> bool {
        self.suspension.as_ref().is_some_and(|suspension| match suspension.probation {
            Probation::Trying { attempt: tried, .. } => tried == attempt,
            Probation::Resting { .. } | Probation::Open => false,
        })
    }
}

impl Suspension {
    /// How long a worker rests that was suspended so often in a row.
    #[must_use]
    pub fn rest(count: u32) -> Duration {
        let doublings = count.saturating_sub(1).min(31);
        Limits::SUSPENSION_MIN.saturating_mul(1 << doublings).min(Limits::SUSPENSION_MAX)
    }
}
