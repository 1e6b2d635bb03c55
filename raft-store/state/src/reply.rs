//! Replies, which are the same on every master.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AttemptNumber, AttemptRef, Epoch, JobId, Rejection, RunCounts, TaskId, TaskState, Timestamp,
};

/// Result of a command that was not rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The command took effect, or had taken effect before.
    Done,
    /// The worker is in the registry.
    Registered(Registered),
    /// The tasks accepted, by consecutive ids.
    Submitted {
        /// The first task's id.
        first: TaskId,
        /// Their number.
        count: u32,
        /// True if an earlier submission under the same key had accepted them.
        repeated: bool,
    },
    /// Verdict on each assignment, in order.
    Assigned(Vec<Result<AttemptNumber, Rejection>>),
    /// The worker's new session.
    Connected(Resume),
    /// Verdict on each reported result, in order.
    Finished(Vec<FinishVerdict>),
    /// Timers were fired.
    Ticked {
        /// Their number.
        fired: u32,
        /// True if the bound on one tick left some over.
        more: bool,
    },
    /// The state a cancelled task is in now: cancelled or cancelling.
    Cancelled(TaskState),
    /// Tasks of silent workers were requeued.
    Requeued {
        /// Their number.
        count: u32,
        /// True if the bound left some over.
        more: bool,
    },
    /// Orphaned results were dropped: their number.
    Dropped(u32),
    /// The state that a retried task is in now: queued, or scheduled for its start time.
    Retried(TaskState),
    /// The job that carries out an order about many tasks.
    JobStarted(JobId),
    /// Runs of schedules were decided about: numbers of them by what became of them.
    Advanced(RunCounts),
}

/// Tells a worker that is new to the registry from a known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registered {
    /// The worker was not registered before.
    New,
    /// The worker was registered before, and now has the address and labels that the command names.
    Known,
}

/// Answer to a worker that connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Epoch of its registration from now on.
    pub epoch: Epoch,
    /// Verdict on each running attempt that it reported, in order.
    pub running: Vec<(AttemptRef, AttemptVerdict)>,
    /// Verdict on each result that it reported, in order.
    pub finished: Vec<FinishVerdict>,
}

/// Verdict on an attempt that a worker says it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptVerdict {
    /// The attempt is the task's current one: go on.
    Keep,
    /// The task ended or went elsewhere: stop the attempt, its result is not wanted.
    Kill,
}

/// Verdict on a reported result. Either way the worker may forget the result if it reported it
/// under its current registration: an older one has no say even about attempts that live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishVerdict {
    /// The result is the attempt's outcome.
    Accepted,
    /// The attempt was not the current one of a live task: the result changed nothing.
    Stale,
}

/// The submission that an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// The client's text.
    pub key: Arc<str>,
    /// Fingerprint of the request it came with.
    pub fingerprint: u64,
    /// The first task accepted under it.
    pub first: TaskId,
    /// Number of tasks accepted under it.
    pub count: u32,
    /// Time at which it was first used.
    pub at: Timestamp,
}
