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

/// One worker of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub id: WorkerId,
    /// `host:port` of its gRPC server; without one no master can reach it first.
    pub address: Option<String>,
    /// The one who named the address.
    pub address_source: AddressSource,
    /// Labels given by the operator; they win over those that the worker reports.
    pub labels: BTreeMap<String, String>,
    /// Whether it is connected.
    pub status: WorkerStatus,
    /// Whether it may be given tasks.
    pub scheduling: Scheduling,
    /// Why the status is what it is.
    pub reason: WorkerReason,
    /// What is known against giving it tasks while it is connected.
    pub health: Health,
    /// The registration that stands; fences what an older one says. No worker of the name ever had
    /// it before.
    pub epoch: Epoch,
    /// The process that holds the epoch; none before the first connection.
    pub process: Option<Process>,
    /// What that process was granted when it last registered.
    pub granted: Option<LeaseTimes>,
    /// The time before which nothing of the process is queued again, whatever it is granted now: an
    /// earlier and longer grant of it may hold until then.
    pub granted_until: Option<Timestamp>,
    /// Another worker that wants the name.
    pub rival: Option<Rival>,
    /// What it reported of itself when it last connected.
    pub specs: Option<Specs>,
    /// When an operator, or the worker itself, registered it.
    pub registered_at: Timestamp,
    /// When the status last changed.
    pub changed_at: Timestamp,
    /// When it was last heard from before it became inactive; none while it is active, and where the
    /// leader of that moment had not heard it. Heartbeats are on no record.
    pub last_heard: Option<Timestamp>,
    /// What happened to it, oldest first; the latest [`crate::Limits::WORKER_EVENTS_KEPT_MAX`].
    pub history: Vec<WorkerEvent>,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

impl Worker {
    /// Whether it is connected and may be given tasks.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        self.is_active() && self.scheduling == Scheduling::Open && self.health.takes_tasks()
    }

    /// When something must happen to it by itself: its drain ends by force, or its suspension goes
    /// on to its next phase.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        [self.drain_deadline(), self.health.timer()].into_iter().flatten().min()
    }

    /// When its drain ends by force.
    #[must_use]
    pub const fn drain_deadline(&self) -> Option<Timestamp> {
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
        let labels = self.labels_in_effect();
        labels.map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
    }

    /// The same, not copied.
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
    /// An operator registered it.
    Operator,
    /// The worker was told to advertise it.
    Advertised,
    /// The worker listens there, which others need not be able to reach. Never replaces what an
    /// operator said.
    Detected,
}

/// One process of a worker, and how far it has come with its registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The data directory that it works in. A later start in the same one has ended what an earlier
    /// one left behind; a process in another one knows nothing of it.
    pub data: DataId,
    /// The number of its start in that directory.
    pub start: StartNumber,
    /// The name of its start: starts in copies of one directory have the same number.
    pub incarnation: Incarnation,
    /// The number of registrations that it has begun: an earlier one that arrives late knows nothing
    /// of the attempts that were started since.
    pub sequence: u64,
}

impl Process {
    /// Whether this is a later start in the data directory of `other`.
    #[must_use]
    pub fn restarts(&self, other: &Self) -> bool {
        self.data == other.data && self.start > other.start
    }
}

/// Another worker that wants a name which is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// `host:port` where it says it listens.
    pub address: String,
    /// When it was first seen.
    pub since: Timestamp,
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

impl DisconnectReason {
    /// One word for it.
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
    Updated(WhatChanged),
    /// It connected, and was not connected before.
    Connected(Epoch),
    /// A new process of it took the place of one that was still taken for connected.
    Replaced(Epoch),
    /// It stopped being connected.
    Disconnected(DisconnectReason),
    /// Another worker at that address wants its name, and was refused.
    NameContested(String),
    /// It gets no more tasks.
    Cordoned,
    /// It may be given tasks again.
    Uncordoned,
    /// It gets no more tasks and is to become empty.
    DrainStarted,
    /// What still ran there was told to stop.
    DrainDeadlinePassed,
    /// The leader cannot call it; says why.
    Unreachable(String),
    /// The leader can call it again.
    Reachable,
    /// It cannot start programs; says why.
    Unfit(String),
    /// It can start programs again.
    Fit,
}

impl WorkerEventKind {
    /// One word for it.
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

/// What an update of a worker changed.
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

/// A worker that was taken off the registry and may still run what it was given. Its attempts stay
/// its own until it has ended them or its lease is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    /// Its last record.
    pub worker: Arc<Worker>,
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
