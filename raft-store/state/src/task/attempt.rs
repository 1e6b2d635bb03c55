//! Attempts: placements of tasks on workers, and how they end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::AttemptUsage;
use crate::{AttemptNumber, Epoch, Timestamp, WorkerId};

/// One placement of a task on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number, counted from 1 and never reused.
    pub number: AttemptNumber,
    /// Worker on which it was placed.
    pub worker: WorkerId,
    /// Epoch of the worker's registration that owns it.
    pub epoch: Epoch,
    /// Time at which it was placed.
    pub assigned_at: Timestamp,
    /// Time at which the worker's confirmation of its start was committed.
    pub started_at: Option<Timestamp>,
    /// Time at which its end was committed.
    pub finished_at: Option<Timestamp>,
    /// Reason to stop it, once there is one.
    pub stop: Option<StopReason>,
    /// Its outcome; absent while it is live.
    pub outcome: Option<AttemptOutcome>,
    /// Resources that it has used, where its worker measures that. Since level 2.
    pub usage: Option<Box<AttemptUsage>>,
}

impl Attempt {
    /// Returns whether it has this number and this worker owns it under this epoch.
    #[must_use]
    pub fn is_owned_by(&self, number: AttemptNumber, worker: &WorkerId, epoch: Epoch) -> bool {
        self.number == number && self.worker == *worker && self.epoch == epoch
    }
}

/// Reason to stop a live attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// A user cancelled the task.
    Cancelled,
    /// It ran longer than its `run_timeout`.
    RunTimeout,
    /// The deadline of its worker's drain has passed.
    Drained,
    /// The deadline of its task has passed. Since level 2.
    Deadline,
}

/// Outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// The process exited.
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
        /// Message of the operating system.
        detail: String,
    },
    /// The worker's machine could not start any program.
    WorkerUnfit {
        /// Message of the operating system.
        detail: String,
    },
    /// The worker or its report was lost; what the process did is unknown.
    Lost(LossReason),
}

impl AttemptOutcome {
    /// Returns the exit code of the process, if it has one.
    #[must_use]
    pub const fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited { code } => Some(*code),
            // The code that shells report for a process that a signal ended.
            Self::Signaled { signal } => Some(128_i32.saturating_add(*signal)),
            Self::StartFailed { .. } | Self::WorkerUnfit { .. } | Self::Lost(_) => None,
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

/// Reason why nobody knows how an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossReason {
    /// The worker's lease ended without a sign of life.
    LeaseExpired,
    /// The worker came back as a new process.
    WorkerRestarted,
    /// The worker came back and did not know the attempt.
    UnknownToWorker,
    /// An operator removed the worker.
    WorkerUnregistered,
    /// The worker was shut down in good order and ended its attempts.
    WorkerShutdown,
    /// The worker was drained and did not become empty in time.
    WorkerDrained,
    /// The worker fell silent and the task asked not to wait for it.
    WorkerDisconnected,
    /// The order never reached the worker, which has said that it does not have the attempt.
    WorkerUnreachable,
    /// The worker had no room or no devices for it in time and gave it back. Since level 2.
    NotStarted,
}

impl LossReason {
    /// Returns whether the task may have taken the worker down. What an operator did does not
    /// count.
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
            | Self::WorkerUnreachable
            | Self::NotStarted => false,
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
            Self::NotStarted => "the worker had no room for it in time",
        })
    }
}
