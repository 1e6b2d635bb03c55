//! A worker as the registry knows it.

mod standing;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::standing::WorkerState;
use crate::{
    DataId, Epoch, Health, Incarnation, LeaseTimes, LogIndex, Resources, StartNumber, Timestamp,
    WorkerId,
};

/// A worker of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub id: WorkerId,
    /// `host:port` of its gRPC server; absent if no master can reach it first.
    pub address: Option<String>,
    /// Source of the address.
    pub address_source: AddressSource,
    /// Labels that the operator gave it; they win over those that the worker reports.
    pub labels: BTreeMap<String, String>,
    /// Connection to the leader.
    pub status: WorkerStatus,
    /// The operator's order about placing tasks on it.
    pub scheduling: Scheduling,
    /// Reason of the status.
    pub reason: WorkerReason,
    /// Evidence against giving it tasks while it is connected.
    pub health: Health,
    /// Epoch of its current registration, which fences messages of older ones. No worker of the
    /// name ever had it before.
    pub epoch: Epoch,
    /// Process that holds the epoch; absent before the first connection.
    pub process: Option<Process>,
    /// Times that were granted to that process when it last registered.
    pub granted: Option<LeaseTimes>,
    /// Time before which nothing of the process is requeued, whatever it is granted now: an earlier
    /// and longer grant may hold until then.
    pub granted_until: Option<Timestamp>,
    /// Another worker that wants the name.
    pub rival: Option<Rival>,
    /// Resources and labels that it reported when it last connected.
    pub specs: Option<Specs>,
    /// Time at which an operator, or the worker itself, registered it.
    pub registered_at: Timestamp,
    /// Time at which the status last changed.
    pub changed_at: Timestamp,
    /// Time of its last sign of life before it became inactive. Absent while it is active, and
    /// where the leader of that moment had not heard it: heartbeats are on no record.
    pub last_heard: Option<Timestamp>,
    /// Its latest events, oldest first; as many as [`crate::Limits`] says.
    pub history: Vec<WorkerEvent>,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl Worker {
    /// Returns whether it is connected and may be given tasks.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        self.is_active() && self.scheduling == Scheduling::Open && self.health.takes_tasks()
    }

    /// Returns the time of its next timer: its drain ends by force, or its suspension moves to its
    /// next phase.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        [self.drain_deadline(), self.health.timer()].into_iter().flatten().min()
    }

    /// Returns the time at which its drain ends by force.
    #[must_use]
    pub const fn drain_deadline(&self) -> Option<Timestamp> {
        match self.scheduling {
            Scheduling::Draining { deadline } => deadline,
            Scheduling::Open | Scheduling::Cordoned | Scheduling::Emptying => None,
        }
    }

    /// Connection to the leader.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == WorkerStatus::Active
    }

    /// Returns its total resources; none before its first connection.
    #[must_use]
    pub fn total(&self) -> Resources {
        self.specs.as_ref().map(|specs| specs.total.clone()).unwrap_or_default()
    }

    /// Returns the value of a label, as constraints are matched against it.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        let reported = || self.specs.as_ref()?.labels.get(key);
        self.labels.get(key).or_else(reported).map(String::as_str)
    }

    /// Returns the labels that constraints are matched against.
    #[must_use]
    pub fn effective_labels(&self) -> BTreeMap<String, String> {
        let labels = self.labels_in_effect();
        labels.map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
    }

    /// Returns the same labels without copying them.
    pub(crate) fn labels_in_effect(&self) -> impl Iterator<Item = (&str, &str)> {
        let reported = self.specs.iter().flat_map(|specs| &specs.labels);
        let reported = reported.filter(|(label, _)| !self.labels.contains_key(*label));
        let all = self.labels.iter().chain(reported);
        all.map(|(label, value)| (label.as_str(), value.as_str()))
    }
}

/// The one who named a worker's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressSource {
    /// An operator registered the address.
    Operator,
    /// The worker is configured to advertise the address.
    Advertised,
    /// The worker listens at the address, which others may be unable to reach. Never replaces an
    /// operator's address.
    Detected,
}

/// A process of a worker, and how many registrations it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Data directory of the process. A later start in the same directory has ended what an earlier
    /// one left behind; a process in another directory knows nothing of it.
    pub data: DataId,
    /// Number of its start in that directory.
    pub start: StartNumber,
    /// Unique name of its start: starts in copies of one directory have the same number.
    pub incarnation: Incarnation,
    /// Number of registrations that it has begun: an earlier one that arrives late knows nothing of
    /// the attempts that were started since.
    pub sequence: u64,
}

impl Process {
    /// Returns whether this is a later start in the data directory of `other`.
    #[must_use]
    pub fn restarts(&self, other: &Self) -> bool {
        self.data == other.data && self.start > other.start
    }
}

/// Another worker that wants a name which is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// `host:port` at which it says it listens.
    pub address: String,
    /// Time at which it was first seen.
    pub since: Timestamp,
}

/// A worker's connection to the leader.
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

/// Reason of a worker's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerReason {
    /// An operator registered it and it has not connected yet.
    Preregistered,
    /// It connected.
    Registered,
    /// It is no longer connected.
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

/// Reason why a worker was declared inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisconnectReason {
    /// No heartbeat within the heartbeat timeout.
    HeartbeatTimeout,
    /// It announced that it is shutting down.
    Shutdown,
}

impl DisconnectReason {
    /// Returns one word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HeartbeatTimeout => "heartbeat-timeout",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An operator's order about placing tasks on a worker, and its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheduling {
    /// Place tasks on it.
    Open,
    /// Place no more tasks on it; running attempts go on.
    Cordoned,
    /// Place no more tasks on it; it is being emptied.
    Draining {
        /// Time at which running attempts are stopped; absent if they may take any time.
        deadline: Option<Timestamp>,
    },
    /// The deadline of its drain has passed: what ran there was told to stop.
    Emptying,
}

/// An event in a worker's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEvent {
    /// Time of the event.
    pub at: Timestamp,
    /// Position of the log entry that caused it.
    pub index: LogIndex,
    /// Kind of event.
    pub kind: WorkerEventKind,
}

/// Kinds of events in a worker's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerEventKind {
    /// An operator registered it, or a join token admitted it.
    Registered,
    /// Its address or its labels changed.
    Updated(WhatChanged),
    /// It connected, and had not been connected before.
    Connected(Epoch),
    /// A new process of it replaced one that still counted as connected.
    Replaced(Epoch),
    /// It is no longer connected.
    Disconnected(DisconnectReason),
    /// Another worker at that address wants its name, and was refused.
    NameContested(String),
    /// An operator cordoned it.
    Cordoned,
    /// An operator opened it to tasks again.
    Uncordoned,
    /// An operator began to drain it.
    DrainStarted,
    /// The deadline of its drain passed, and what still ran there was told to stop.
    DrainDeadlinePassed,
    /// The leader cannot call it, for this reason.
    Unreachable(String),
    /// The leader can call it again.
    Reachable,
    /// It cannot start programs, for this reason.
    Unfit(String),
    /// It can start programs again.
    Fit,
}

impl WorkerEventKind {
    /// Returns one word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Updated(_) => "updated",
            Self::Connected(_) => "connected",
            Self::Replaced(_) => "replaced",
            Self::Disconnected(_) => "disconnected",
            Self::NameContested(_) => "name-contested",
            Self::Cordoned => "cordoned",
            Self::Uncordoned => "uncordoned",
            Self::DrainStarted => "drain-started",
            Self::DrainDeadlinePassed => "drain-deadline-passed",
            Self::Unreachable(_) => "unreachable",
            Self::Reachable => "reachable",
            Self::Unfit(_) => "unfit",
            Self::Fit => "fit",
        }
    }
}

/// The properties of a worker that an update changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhatChanged {
    /// The address that the leader calls.
    Address,
    /// The operator's labels.
    Labels,
    /// Both.
    AddressAndLabels,
}

impl fmt::Display for WhatChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "address",
            Self::Labels => "labels",
            Self::AddressAndLabels => "address and labels",
        })
    }
}

/// An unregistered worker that may still run tasks. It keeps its attempts until it has ended them
/// or its lease is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// Its last record.
    pub worker: Arc<Worker>,
    /// Time at which it was unregistered.
    pub at: Timestamp,
}

/// A worker's report of itself when it registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specs {
    /// Total resources.
    pub total: Resources,
    /// Labels from its own configuration.
    pub labels: BTreeMap<String, String>,
    /// Version of its binary.
    pub version: String,
}
