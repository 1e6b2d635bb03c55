//! Jobs: orders about all tasks that a filter selects, which the leader carries out step by step.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{JobId, Level, LogIndex, Task, TaskFilter, TaskId, TaskStateKind, Timestamp};

/// An order about many tasks, and how far it has come.
///
/// It covers tasks that existed at its log position, and comes to each of them once. A cancel judges a task
/// by its state at that moment: one that has started meanwhile is not queued any more. A retry takes only
/// tasks that have not changed since its log position, so none that failed later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, which is the log position of the order.
    pub id: JobId,
    /// The order about the tasks.
    pub action: JobAction,
    /// The tasks that are meant.
    pub filter: TaskFilter,
    /// Principal that gave the order.
    pub by: String,
    /// The lowest id of a task that it may be about.
    pub from: TaskId,
    /// The lowest id of a task that it is too old for.
    pub to: TaskId,
    /// Number of ids between the two that it has passed: from the lowest on when it cancels, from the
    /// highest on when it retries.
    pub passed: u64,
    /// Number of tasks that were cancelled, or run again.
    pub done: u64,
    /// Number of tasks that are meant, but cannot run again.
    pub refused: u64,
    /// Time of the order.
    pub started_at: Timestamp,
    /// Time and kind of its end; absent while it is under way.
    pub end: Option<(Timestamp, JobEnd)>,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl Job {
    /// Level from which on a cluster has jobs.
    pub const LEVEL: Level = Level(2);

    /// Returns whether there may be tasks left to come to.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.end.is_none()
    }

    /// Returns the number of ids that it has to pass.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }

    /// Returns the task at which a cancel goes on.
    pub(crate) const fn next_upwards(&self) -> TaskId {
        TaskId(self.from.0.saturating_add(self.passed))
    }

    /// Returns the id below which a retry goes on.
    #[must_use]
    pub const fn next_downwards(&self) -> TaskId {
        TaskId(self.to.0.saturating_sub(self.passed))
    }

    /// Returns whether the task is one of those that it is about.
    #[must_use]
    pub fn covers(&self, task: &Task) -> bool {
        let is_within = (self.from..self.to).contains(&task.id);
        is_within
            && self.filter.matches(task)
            && self.action.is_for(task.state.kind())
            && match self.action {
                JobAction::Cancel => true,
                JobAction::Retry => task.index.0 <= self.id.0,
            }
    }
}

/// Kind of order that a job carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum JobAction {
    /// Cancel live tasks.
    Cancel,
    /// Have finished tasks run again.
    Retry,
}

impl JobAction {
    /// Returns whether it does anything to tasks in that state.
    #[must_use]
    pub const fn is_for(self, state: TaskStateKind) -> bool {
        match (self, state) {
            (
                Self::Cancel,
                TaskStateKind::Blocked
                | TaskStateKind::Scheduled
                | TaskStateKind::Queued
                | TaskStateKind::Assigned
                | TaskStateKind::Running,
            )
            | (
                Self::Retry,
                TaskStateKind::Failed | TaskStateKind::Cancelled | TaskStateKind::Aborted,
            ) => true,
            (
                _,
                TaskStateKind::Blocked
                | TaskStateKind::Scheduled
                | TaskStateKind::Queued
                | TaskStateKind::Assigned
                | TaskStateKind::Running
                | TaskStateKind::Cancelling
                | TaskStateKind::Completed
                | TaskStateKind::Failed
                | TaskStateKind::Cancelled
                | TaskStateKind::Aborted,
            ) => false,
        }
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
    }
}

impl fmt::Display for JobAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// End of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEnd {
    /// It has come to all of its tasks.
    Completed,
    /// It stopped before that.
    Stopped {
        /// The reason.
        reason: Arc<str>,
    },
}
