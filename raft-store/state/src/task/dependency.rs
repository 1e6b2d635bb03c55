//! Tasks that other tasks wait for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Task, TaskSpec, TaskState};
use crate::{Level, TaskId};

/// A task that another one waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dependency {
    /// The task that must be over first.
    pub task: TaskId,
    /// Condition under which the other one need not wait any more.
    pub kind: DependencyKind,
}

impl Dependency {
    /// The level since which tasks wait for others.
    pub const LEVEL: Level = Level(2);
}

/// Condition that a dependency sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DependencyKind {
    /// The task has completed. If it ends otherwise, whatever waits for it is aborted.
    Success,
    /// The task is over, whatever its outcome.
    Any,
}

impl DependencyKind {
    /// Returns the name of the field in which a submission lists such dependencies.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Success => "after",
            Self::Any => "after_any",
        }
    }
}

/// Final state of a task that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskEnd {
    /// See [`TaskState::Completed`].
    Completed,
    /// See [`TaskState::Failed`].
    Failed,
    /// See [`TaskState::Cancelled`].
    Cancelled,
    /// See [`TaskState::Aborted`].
    Aborted,
}

impl TaskEnd {
    /// Returns the end that a state is; none if it is not final.
    #[must_use]
    pub const fn of(state: TaskState) -> Option<Self> {
        match state {
            TaskState::Completed => Some(Self::Completed),
            TaskState::Failed => Some(Self::Failed),
            TaskState::Cancelled => Some(Self::Cancelled),
            TaskState::Aborted => Some(Self::Aborted),
            TaskState::Scheduled { .. }
            | TaskState::Queued
            | TaskState::Assigned
            | TaskState::Running
            | TaskState::Cancelling
            | TaskState::Blocked => None,
        }
    }
}

impl fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "has completed",
            Self::Failed => "has failed",
            Self::Cancelled => "was cancelled",
            Self::Aborted => "was aborted",
        })
    }
}

/// A task that has ended without success while others waited for it, as long as not all of them are
/// aborted. One command aborts a bounded number, so that none stalls the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cascade {
    /// The task that has ended.
    pub task: TaskId,
    /// Its final state.
    pub end: TaskEnd,
}

impl fmt::Display for Cascade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its dependency {} {}", self.task, self.end)
    }
}

impl TaskSpec {
    /// Returns the tasks that it waits for, in order and each once.
    #[must_use]
    pub fn dependencies(&self) -> &[Dependency] {
        self.timing.as_ref().map_or(&[], |timing| &timing.dependencies)
    }
}

impl Task {
    /// Returns the tasks that it waits for before it starts, in order and each once.
    #[must_use]
    pub fn dependencies(&self) -> &[Dependency] {
        self.spec.dependencies()
    }

    /// Returns the tasks that must have completed before it runs again: none once its dependencies have let
    /// it start, because what has completed stays so.
    pub fn needed(&self) -> impl Iterator<Item = TaskId> + '_ {
        let is_needed =
            |one: &&Dependency| one.kind == DependencyKind::Success && !self.was_released();
        self.dependencies().iter().filter(is_needed).map(|one| one.task)
    }

    /// Returns the dependency for which it was aborted.
    #[must_use]
    pub fn broken(&self) -> Option<Cascade> {
        self.course.as_ref()?.broken
    }

    /// Returns the reason of its state for people.
    #[must_use]
    pub fn reason_text(&self) -> Option<String> {
        let reason = self.reason?;
        Some(self.broken().map_or_else(|| reason.to_string(), |broken| broken.to_string()))
    }
}

/// Ends of finished tasks. The state does not hold finished tasks, so commands carry what the proposer
/// has read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownEnds(Vec<(TaskId, TaskEnd)>);

impl KnownEnds {
    /// Returns the end of a task, if it is known.
    #[must_use]
    pub fn get(&self, task: TaskId) -> Option<TaskEnd> {
        let place = self.0.binary_search_by_key(&task, |(known, _)| *known).ok()?;
        self.0.get(place).map(|(_, end)| *end)
    }
}

impl FromIterator<(TaskId, TaskEnd)> for KnownEnds {
    fn from_iter<I: IntoIterator<Item = (TaskId, TaskEnd)>>(ends: I) -> Self {
        let mut ends = ends.into_iter().collect::<Vec<_>>();
        ends.sort_unstable();
        ends.dedup_by_key(|(task, _)| *task);
        Self(ends)
    }
}
