//! States of tasks and outcomes of attempts without their data, for queries, tables and metrics.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AttemptOutcome, TaskState};

/// State of a task without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskStateKind {
    /// See [`TaskState::Blocked`].
    Blocked,
    /// See [`TaskState::Scheduled`].
    Scheduled,
    /// See [`TaskState::Queued`].
    Queued,
    /// See [`TaskState::Assigned`].
    Assigned,
    /// See [`TaskState::Running`].
    Running,
    /// See [`TaskState::Cancelling`].
    Cancelling,
    /// See [`TaskState::Completed`].
    Completed,
    /// See [`TaskState::Failed`].
    Failed,
    /// See [`TaskState::Cancelled`].
    Cancelled,
    /// See [`TaskState::Aborted`].
    Aborted,
}

impl TaskStateKind {
    /// Every state, in the order in which a task goes through them.
    pub const ALL: [Self; 10] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Queued,
        Self::Assigned,
        Self::Running,
        Self::Cancelling,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Aborted,
    ];

    /// Returns the states of live tasks, in the order in which a task goes through them.
    pub fn live() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| !kind.is_terminal())
    }

    /// Returns true for a state that only a user's order to retry the task changes.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled | Self::Aborted => true,
            Self::Blocked
            | Self::Scheduled
            | Self::Queued
            | Self::Assigned
            | Self::Running
            | Self::Cancelling => false,
        }
    }

    /// Returns its name in the API and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for TaskStateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not the name of a state of tasks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no state: {names}", names = TaskStateKind::ALL.map(TaskStateKind::name).join(", "))]
pub struct UnknownState(String);

impl FromStr for TaskStateKind {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| UnknownState(name.to_owned()))
    }
}

impl TaskState {
    /// Returns the state without its data.
    #[must_use]
    pub const fn kind(self) -> TaskStateKind {
        match self {
            Self::Scheduled { .. } => TaskStateKind::Scheduled,
            Self::Queued => TaskStateKind::Queued,
            Self::Assigned => TaskStateKind::Assigned,
            Self::Running => TaskStateKind::Running,
            Self::Cancelling => TaskStateKind::Cancelling,
            Self::Completed => TaskStateKind::Completed,
            Self::Failed => TaskStateKind::Failed,
            Self::Cancelled => TaskStateKind::Cancelled,
            Self::Blocked => TaskStateKind::Blocked,
            Self::Aborted => TaskStateKind::Aborted,
        }
    }
}

/// Outcome of an attempt without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptOutcomeKind {
    /// The process exited with 0.
    Completed,
    /// The process exited with another code, or a signal ended it.
    Failed,
    /// See [`AttemptOutcome::StartFailed`].
    StartFailed,
    /// See [`AttemptOutcome::WorkerUnfit`].
    WorkerUnfit,
    /// See [`AttemptOutcome::Lost`].
    Lost,
}

impl AttemptOutcomeKind {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Failed, Self::StartFailed, Self::WorkerUnfit, Self::Lost];

    /// Returns its name in the API and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::StartFailed => "start-failed",
            Self::WorkerUnfit => "worker-unfit",
            Self::Lost => "lost",
        }
    }
}

impl AttemptOutcome {
    /// Returns the outcome without its data.
    #[must_use]
    pub const fn kind(&self) -> AttemptOutcomeKind {
        match self {
            Self::Exited { code: 0 } => AttemptOutcomeKind::Completed,
            Self::Exited { .. } | Self::Signaled { .. } => AttemptOutcomeKind::Failed,
            Self::StartFailed { .. } => AttemptOutcomeKind::StartFailed,
            Self::WorkerUnfit { .. } => AttemptOutcomeKind::WorkerUnfit,
            Self::Lost(_) => AttemptOutcomeKind::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_by_its_name() {
        assert_eq!(TaskStateKind::ALL.map(|kind| kind.name().parse()), TaskStateKind::ALL.map(Ok));
        let unknown = "done".parse::<TaskStateKind>().unwrap_err();
        assert!(unknown.to_string().starts_with("'done' is no state: blocked, scheduled, "));
    }

    #[test]
    fn a_state_has_the_number_of_its_place() {
        assert_eq!(TaskStateKind::ALL.map(|kind| kind as usize), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
