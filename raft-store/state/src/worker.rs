//! A worker as the registry knows it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Epoch, Incarnation, LogIndex, Resources, Timestamp, WorkerId};

/// One worker of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub id: WorkerId,
    /// `host:port` of its gRPC server; without one no master can reach it first.
    pub address: Option<String>,
    /// Labels given by the operator; they win over those that the worker reports.
    pub labels: BTreeMap<String, String>,
    /// Whether it is connected.
    pub status: WorkerStatus,
    /// Whether it may be given tasks.
    pub scheduling: Scheduling,
    /// Why the status is what it is.
    pub reason: WorkerReason,
    /// How often it has registered; fences what an older registration says.
    pub epoch: Epoch,
    /// The process start that holds the epoch; none before the first connection.
    pub incarnation: Option<Incarnation>,
    /// Which of that process's registrations was the last.
    pub sequence: u64,
    /// What it reported of itself when it last connected.
    pub specs: Option<Specs>,
    /// When an operator, or the worker itself, registered it.
    pub registered_at: Timestamp,
    /// When the status last changed.
    pub changed_at: Timestamp,
    /// What happened to it, oldest first; the latest [`crate::Limits::WORKER_EVENTS_KEPT_MAX`].
    pub history: Vec<WorkerEvent>,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl Worker {
    /// Whether it is connected and may be given tasks.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        self.is_active() && self.scheduling == Scheduling::Open
    }

    /// When its drain ends by force.
    #[must_use]
    pub const fn timer(&self) -> Option<Timestamp> {
        match self.scheduling {
            Scheduling::Draining { deadline } => deadline,
            Scheduling::Open | Scheduling::Cordoned | Scheduling::Emptying => None,
        }
    }

    /// Whether it is connected.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == WorkerStatus::Active
    }

    /// What it has in total; nothing before its first connection.
    #[must_use]
    pub fn total(&self) -> Resources {
        self.specs.as_ref().map(|specs| specs.total.clone()).unwrap_or_default()
    }

    /// The value of one of the labels that constraints are matched against.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        let reported = || self.specs.as_ref()?.labels.get(key);
        self.labels.get(key).or_else(reported).map(String::as_str)
    }

    /// The labels that constraints are matched against.
    #[must_use]
    pub fn effective_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.specs.as_ref().map(|specs| specs.labels.clone()).unwrap_or_default();
        labels.extend(self.labels.clone());
        labels
    }
}

/// Whether a worker is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WorkerStatus {
    /// Registered and sending heartbeats.
    Active,
    /// Not connected yet, or no longer.
    Inactive,
}

impl WorkerStatus {
    /// Every status, for tables and metrics.
    pub const ALL: [Self; 2] = [Self::Active, Self::Inactive];
}

impl fmt::Display for WorkerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        })
    }
}

/// Why a worker has its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerReason {
    /// An operator registered it and it has not connected yet.
    Preregistered,
    /// It connected.
    Registered,
    /// It stopped being connected.
    Disconnected(DisconnectReason),
}

impl fmt::Display for WorkerReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preregistered => f.write_str("preregistered"),
            Self::Registered => f.write_str("registered"),
            Self::Disconnected(reason) => reason.fmt(f),
        }
    }
}

/// Why a worker was declared inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisconnectReason {
    /// No heartbeat within the heartbeat timeout.
    HeartbeatTimeout,
    /// It said that it shuts down.
    Shutdown,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeartbeatTimeout => "heartbeat-timeout",
            Self::Shutdown => "shutdown",
        })
    }
}

/// Whether a worker may be given tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheduling {
    /// It may.
    Open,
    /// An operator wants it to get no more; what runs there runs on.
    Cordoned,
    /// It gets no more and is to become empty.
    Draining {
        /// When what still runs there is stopped; never without one.
        deadline: Option<Timestamp>,
    },
    /// The deadline of its drain has passed: what ran there was told to stop.
    Emptying,
}

impl Scheduling {
    /// The word for it in the API, for a worker with that many live attempts.
    #[must_use]
    pub const fn name(self, attempts: usize) -> &'static str {
        match (self, attempts) {
            (Self::Open, _) => "open",
            (Self::Cordoned, _) => "cordoned",
            (Self::Draining { .. } | Self::Emptying, 0) => "drained",
            (Self::Draining { .. } | Self::Emptying, _) => "draining",
        }
    }
}

/// One line of a worker's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEvent {
    /// When.
    pub at: Timestamp,
    /// Position of the log entry that did it.
    pub index: LogIndex,
    /// What happened.
    pub kind: WorkerEventKind,
}

/// What can happen to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerEventKind {
    /// An operator registered it, or a join token admitted it.
    Registered,
    /// Its address or its labels changed.
    Updated,
    /// It connected, and was not connected before.
    Connected(Epoch),
    /// A new process of it took the place of one that was still taken for connected.
    Replaced(Epoch),
    /// It stopped being connected.
    Disconnected(DisconnectReason),
    /// It gets no more tasks.
    Cordoned,
    /// It may be given tasks again.
    Uncordoned,
    /// It gets no more tasks and is to become empty.
    DrainStarted,
    /// What still ran there was told to stop.
    DrainDeadlinePassed,
}

impl WorkerEventKind {
    /// One word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Updated => "updated",
            Self::Connected(_) => "connected",
            Self::Replaced(_) => "replaced",
            Self::Disconnected(_) => "disconnected",
            Self::Cordoned => "cordoned",
            Self::Uncordoned => "uncordoned",
            Self::DrainStarted => "drain-started",
            Self::DrainDeadlinePassed => "drain-deadline-passed",
        }
    }
}

/// A worker that was taken off the registry and may not know it yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// Whom.
    pub worker: WorkerId,
    /// Where it was reached.
    pub address: String,
    /// When it was taken off.
    pub at: Timestamp,
}

/// What a worker reports of itself when it registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specs {
    /// What it has in total.
    pub total: Resources,
    /// Labels from its own configuration.
    pub labels: BTreeMap<String, String>,
    /// Version of its binary.
    pub version: String,
}
