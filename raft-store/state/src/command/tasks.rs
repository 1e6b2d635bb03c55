//! Commands about tasks and their attempts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AttemptOutcome, AttemptRef, AttemptReport, Epoch, KnownEnds, Level, LogIndex, LossReason, Task,
    TaskId, TaskSpec, Term, WorkerId,
};

/// See [`crate::Command::SubmitTasks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitTasks {
    /// The tasks to run.
    pub tasks: Vec<Arc<TaskSpec>>,
    /// The name under which the submission may be repeated.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl SubmitTasks {
    /// Returns the lowest level of a cluster whose members read all of the tasks.
    #[must_use]
    pub(crate) fn min_level(&self) -> Level {
        self.tasks.iter().map(|task| task.min_level()).max().unwrap_or(Level::FIRST)
    }
}

/// A client's name for a mutation, under which it may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The client's text.
    pub key: Arc<str>,
    /// Fingerprint of the request: the same key with another request is a conflict.
    pub fingerprint: u64,
}

/// See [`crate::Command::AssignTasks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignTasks {
    /// The leader's term.
    pub term: Term,
    /// The placements.
    pub assignments: Vec<Assignment>,
}

/// One placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// The worker to run it on.
    pub worker: WorkerId,
}

/// See [`crate::Command::AssignAhead`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignAhead {
    /// The leader's term.
    pub term: Term,
    /// The placements.
    pub assignments: Vec<Assignment>,
}

/// See [`crate::Command::HoldAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldAttempts {
    /// The leader's term.
    pub term: Term,
    /// The worker that confirmed.
    pub worker: WorkerId,
    /// The worker's epoch.
    pub epoch: Epoch,
    /// The attempts that wait there.
    pub attempts: Vec<AttemptRef>,
}

/// See [`crate::Command::StartAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartAttempts {
    /// The leader's term.
    pub term: Term,
    /// The worker that confirmed.
    pub worker: WorkerId,
    /// The worker's epoch.
    pub epoch: Epoch,
    /// The attempts that run.
    pub attempts: Vec<AttemptRef>,
}

/// See [`crate::Command::FinishAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishAttempts {
    /// The worker that reports.
    pub worker: WorkerId,
    /// The worker's epoch.
    pub epoch: Epoch,
    /// The attempts that ended.
    pub attempts: Vec<FinishedAttempt>,
}

/// One attempt and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedAttempt {
    /// The attempt.
    pub attempt: AttemptRef,
    /// Its end.
    pub outcome: AttemptOutcome,
    /// More about it, where there is more to tell. Since level 2.
    #[serde(default)]
    pub report: Option<Box<AttemptReport>>,
}

impl FinishedAttempt {
    /// Creates the end of an attempt of which nothing else is told.
    #[must_use]
    pub const fn new(attempt: AttemptRef, outcome: AttemptOutcome) -> Self {
        Self { attempt, outcome, report: None }
    }
}

/// See [`crate::Command::CancelTask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelTask {
    /// The task.
    pub task: TaskId,
}

/// See [`crate::Command::RetryTask`]. The state does not hold finished tasks, so the command carries the
/// record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryTask {
    /// The finished task.
    pub task: Arc<Task>,
    /// Log position at which the proposer knew the record: what happened later may contradict it.
    pub known_at: LogIndex,
    /// Ends of finished tasks that it waits for, as the proposer knew them at that position.
    pub ends: KnownEnds,
}

/// See [`crate::Command::RequeueAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeueAttempts {
    /// The leader's term.
    pub term: Term,
    /// Workers and their epochs: a worker that has connected again since keeps its attempts.
    pub workers: Vec<(WorkerId, Epoch)>,
    /// Reason of the loss.
    pub reason: LossReason,
    /// Attempts to requeue.
    pub scope: RequeueScope,
    /// Bound on the attempts that one command requeues: a mass loss is requeued slowly.
    pub attempts_max: u32,
}

/// Selects the attempts of a silent worker to requeue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequeueScope {
    /// All of them: the lease is over.
    All,
    /// Only those of tasks with [`crate::OnDisconnect::Requeue`].
    OnDisconnect,
}
