//! Commands about jobs, which are orders about many tasks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{JobAction, JobId, KnownEnds, LogIndex, Task, TaskFilter, Term};

/// See [`crate::Command::StartJob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartJob {
    /// The order about the tasks.
    pub action: JobAction,
    /// The tasks that are meant.
    pub filter: TaskFilter,
    /// Principal that gives the order.
    pub by: String,
}

/// See [`crate::Command::AdvanceJob`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvanceJob {
    /// The leader's term.
    pub term: Term,
    /// The job.
    pub job: JobId,
    /// The step.
    pub step: JobStep,
}

/// A step of a job, which is about so few tasks that it delays no other command for long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStep {
    /// Cancel the next tasks that are meant, as many as one command may.
    Cancel,
    /// Have tasks run again that the leader has found.
    Retry(RetryBatch),
}

/// Finished tasks to run again. The state does not hold them, so the command carries their records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryBatch {
    /// The records.
    pub tasks: Vec<Arc<Task>>,
    /// Log position at which the leader knew them, as in [`crate::RetryTask`].
    pub known_at: LogIndex,
    /// Ends of tasks that must have completed before these run again, as the leader knew them there.
    pub ends: KnownEnds,
    /// Number of ids that the job has passed after this step.
    pub passed: u64,
}
