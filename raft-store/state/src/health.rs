//! Evidence about whether a connected worker can be called and can start programs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AttemptRef, Limits, TaskId, Timestamp};

/// Evidence against giving a connected worker tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Present while the leader cannot call it.
    pub unreachable: Option<Trouble>,
    /// Present while the worker says that it cannot start programs.
    pub reported: Option<Trouble>,
    /// Present after programs failed to start there, until it has proved itself.
    pub suspension: Option<Suspension>,
    /// Tasks in a row whose programs failed to start there and may start elsewhere.
    pub failed_starts: Vec<TaskId>,
}

/// Trouble with a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The reason, for operators.
    pub detail: String,
    /// Time at which it began.
    pub since: Timestamp,
}

/// Suspension of a worker on which programs failed to start: it gets no tasks for a while, then one
/// at a time until a program has started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The last failed start.
    pub trouble: Trouble,
    /// The evidence.
    pub cause: SuspensionCause,
    /// Consecutive suspensions, this one included.
    pub count: u32,
    /// Phase of the suspension.
    pub probation: Probation,
}

/// The evidence that a worker cannot start programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SuspensionCause {
    /// The worker said of an attempt that it could start no program.
    MachineFault,
    /// Many tasks in a row failed to start, and may start elsewhere.
    FailedStarts,
}

/// Phase of a suspension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probation {
    /// It gets no tasks.
    Resting {
        /// Time from which on it may be given one task.
        until: Timestamp,
    },
    /// It may be given one task.
    Open,
    /// It has been given one.
    Trying {
        /// The attempt that shows whether programs start.
        attempt: AttemptRef,
        /// Time at which an attempt that has not failed counts as started; absent before the worker
        /// has confirmed it.
        until: Option<Timestamp>,
    },
}

impl Health {
    /// Returns why the worker cannot start programs; `None` while it can.
    #[must_use]
    pub fn unfit(&self) -> Option<&Trouble> {
        self.reported.as_ref().or_else(|| self.suspension.as_ref().map(|one| &one.trouble))
    }

    /// Returns whether there is nothing that an operator should know.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.unreachable.is_none() && self.unfit().is_none()
    }

    /// Returns whether the worker may be given tasks, even if only one.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        let is_open = match &self.suspension {
            None => true,
            Some(suspension) => suspension.probation == Probation::Open,
        };
        self.unreachable.is_none() && self.reported.is_none() && is_open
    }

    /// Returns whether it may be given only one task.
    #[must_use]
    pub const fn is_on_probation(&self) -> bool {
        self.suspension.is_some()
    }

    /// Returns the time at which the suspension moves to its next phase.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        match self.suspension.as_ref()?.probation {
            Probation::Resting { until } => Some(until),
            Probation::Open => None,
            Probation::Trying { until, .. } => until,
        }
    }

    /// Returns whether this attempt is the one that shows whether programs start.
    #[must_use]
    pub fn tries(&self, attempt: AttemptRef) -> bool {
        self.suspension.as_ref().is_some_and(|suspension| match suspension.probation {
            Probation::Trying { attempt: tried, .. } => tried == attempt,
            Probation::Resting { .. } | Probation::Open => false,
        })
    }
}

impl Suspension {
    /// Returns the rest of a worker that was suspended `count` times in a row.
    #[must_use]
    pub fn rest(count: u32, limits: &Limits) -> Duration {
        let doublings = count.saturating_sub(1).min(31);
        limits.suspension_min.saturating_mul(1 << doublings).min(limits.suspension_max)
    }
}
