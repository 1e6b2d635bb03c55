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
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl Worker {
    /// Whether it is connected, and so may be given tasks.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == WorkerStatus::Active
    }

    /// What it has in total; nothing before its first connection.
    #[must_use]
    pub fn total(&self) -> Resources {
        self.specs.as_ref().map(|specs| specs.total.clone()).unwrap_or_default()
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
