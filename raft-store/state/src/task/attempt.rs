//! One placement of a task, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AttemptNumber, Epoch, Timestamp, WorkerId};

/// One placement of a task on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counted from 1, never reused.
    pub number: AttemptNumber,
    /// Where it was placed.
    pub worker: WorkerId,
    /// The worker's registration that owns it.
    pub epoch: Epoch,
    /// When it was placed.
    pub assigned_at: Timestamp,
    /// When the worker's confirmation of its start was committed.
    pub started_at: Option<Timestamp>,
    /// When its end was committed.
    pub finished_at: Option<Timestamp>,
    /// Why it is to be stopped, once it is.
    pub stop: Option<StopReason>,
    /// How it ended; none while it is live.
    pub outcome: Option<AttemptOutcome>,
}

impl Attempt {
    /// Whether this worker in this registration owns it.
    #[must_use]
    pub fn is_owned_by(&self, number: AttemptNumber, worker: &WorkerId, epoch: Epoch) -> bool {
        self.number == number && self.worker == *worker && self.epoch == epoch
    }
}

/// Why a live attempt is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// A user cancelled the task.
    Cancelled,
    /// It ran longer than its `run_timeout`.
    RunTimeout,
    /// The deadline of its worker's drain has passed.
    Drained,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// The process ended by itself.
    Exited {
        /// Its exit code; 0 is success.
        code: i32,
    },
    /// A signal ended the process.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// The process could not be started.
    StartFailed {
        /// What the operating system said.
        detail: String,
    },
    /// The worker could not start any program, for a reason of its machine.
    WorkerUnfit {
        /// What the operating system said.
        detail: String,
    },
    /// The worker or its answer was lost; what the process did is unknown.
    Lost(LossReason),
}

impl AttemptOutcome {
    /// The process's exit code, where it has one.
    #[must_use]
    pub const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited { code } => Some(*code),
            // What shells report for a process that a signal ended.
            Self::Signaled { signal } => Some(128_i32.saturating_add(*signal)),
            Self::StartFailed { .. } | Self::WorkerUnfit { .. } | Self::Lost(_) => None,
        }
    }

    /// One word for metrics and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exited { code: 0 } => "completed",
            Self::Exited { .. } | Self::Signaled { .. } => "failed",
            Self::StartFailed { .. } => "start-failed",
            Self::WorkerUnfit { .. } => "worker-unfit",
            Self::Lost(_) => "lost",
        }
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exit code {code}"),
            Self::Signaled { signal } => write!(f, "ended by signal {signal}"),
            Self::StartFailed { detail } => write!(f, "could not be started: {detail}"),
            Self::WorkerUnfit { detail } => {
                write!(f, "the worker could not start programs: {detail}")
            }
            Self::Lost(reason) => reason.fmt(f),
        }
    }
}

/// Why nobody knows how an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossReason {
    /// The worker's lease ended without a word from it.
    LeaseExpired,
    /// The worker came back as a new process.
    WorkerRestarted,
    /// The worker came back and did not know the attempt.
    UnknownToWorker,
    /// An operator removed the worker.
    WorkerUnregistered,
    /// The worker was shut down in good order and ended what it ran.
    WorkerShutdown,
    /// The worker was drained and did not become empty in time.
    WorkerDrained,
    /// The worker fell silent and the task asked not to wait for it.
    WorkerDisconnected,
    /// The worker could not be told of it, and has said that it does not have it.
    WorkerUnreachable,
}

impl LossReason {
    /// Whether it may have been the task that took the worker down. What an operator did is not.
    #[must_use]
    pub const fn counts(self) -> bool {
        match self {
            Self::LeaseExpired
            | Self::WorkerRestarted
            | Self::UnknownToWorker
            | Self::WorkerDisconnected => true,
            Self::WorkerUnregistered
            | Self::WorkerShutdown
            | Self::WorkerDrained
            | Self::WorkerUnreachable => false,
        }
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeaseExpired => "the worker's lease expired",
            Self::WorkerRestarted => "the worker restarted",
            Self::UnknownToWorker => "the worker did not know the attempt",
            Self::WorkerUnregistered => "the worker was unregistered",
            Self::WorkerShutdown => "the worker was shut down",
            Self::WorkerDrained => "the worker was drained",
            Self::WorkerDisconnected => "the worker was disconnected",
            Self::WorkerUnreachable => "the worker could not be told of it",
        })
    }
}
