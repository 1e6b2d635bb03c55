//! Commands about workers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AddressSource, AttemptRef, DisconnectReason, Epoch, FinishedAttempt, LeaseTimes, Process,
    Specs, Term, Timestamp, TokenId, WorkerId,
};

/// See [`crate::Command::RegisterWorker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterWorker {
    /// The worker.
    pub worker: WorkerId,
    /// `host:port` of its gRPC server; absent to keep the known one.
    pub address: Option<String>,
    /// Labels that replace those that the operator gave before; absent to keep them.
    pub labels: Option<BTreeMap<String, String>>,
}

/// See [`crate::Command::UnregisterWorker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterWorker {
    /// The worker.
    pub worker: WorkerId,
}

/// See [`crate::Command::ConnectWorker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectWorker {
    /// The leader's term.
    pub term: Term,
    /// The worker.
    pub worker: WorkerId,
    /// Its process.
    pub process: Process,
    /// Address at which the worker says it can be reached. The known address stays if this is
    /// absent, or if an operator named the known one and the worker merely listens at this one.
    pub address: Option<String>,
    /// Source of that address.
    pub address_source: AddressSource,
    /// Times granted to it from now on.
    pub granted: LeaseTimes,
    /// The token that admits it if it is not registered; the leader checked its secret.
    pub token: Option<TokenId>,
    /// Its resources and labels.
    pub specs: Specs,
    /// Reason why it cannot start programs at present, in its own words.
    pub unfit: Option<String>,
    /// Attempts whose results are yet to come: they are running, or they ended and their results
    /// did not fit into this message.
    pub running: Vec<AttemptRef>,
    /// Results that no leader has confirmed yet.
    pub finished: Vec<FinishedAttempt>,
}

/// See [`crate::Command::DisconnectWorkers`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisconnectWorkers {
    /// The leader's term.
    pub term: Term,
    /// Workers and their epochs: a worker that has connected again since is skipped.
    pub workers: Vec<(WorkerId, Epoch)>,
    /// The reason.
    pub reason: DisconnectReason,
    /// Time of the last sign of life of each worker that the leader has heard.
    pub last_heard: BTreeMap<WorkerId, Timestamp>,
}

/// See [`crate::Command::SetScheduling`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetScheduling {
    /// The worker.
    pub worker: WorkerId,
    /// The order.
    pub order: SchedulingOrder,
}

/// An operator's order about a worker's tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulingOrder {
    /// Place no more tasks on it; running attempts go on.
    Cordon,
    /// Place tasks on it again; also ends a drain.
    Uncordon,
    /// Place no more tasks on it, and after the timeout stop and requeue those that still run
    /// there.
    Drain {
        /// Time for running attempts to end; unlimited when absent.
        timeout: Option<Duration>,
    },
}

/// See [`crate::Command::LabelWorker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelWorker {
    /// The worker.
    pub worker: WorkerId,
    /// New values.
    pub set: BTreeMap<String, String>,
    /// Labels to remove.
    pub remove: Vec<String>,
}

/// See [`crate::Command::ForgetDeparted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetDeparted {
    /// The leader's term.
    pub term: Term,
    /// Workers and their epochs: a worker that has registered and departed again since is skipped.
    pub workers: Vec<(WorkerId, Epoch)>,
}

/// See [`crate::Command::NoteRival`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRival {
    /// The leader's term.
    pub term: Term,
    /// The registered worker.
    pub worker: WorkerId,
    /// Address of the rival; absent when it has given up.
    pub address: Option<String>,
}

/// See [`crate::Command::ChangeHealth`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeHealth {
    /// The leader's term.
    pub term: Term,
    /// The findings.
    pub changes: Vec<HealthChange>,
}

/// One finding about one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthChange {
    /// The worker.
    pub worker: WorkerId,
    /// The worker's epoch: a worker that has registered again since is skipped.
    pub epoch: Epoch,
    /// The finding.
    pub finding: HealthFinding,
}

/// A fact found out about a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthFinding {
    /// Orders cannot be delivered to it.
    Unreachable {
        /// The reason.
        detail: String,
    },
    /// It answered a call.
    Reachable,
    /// It says that it cannot start programs.
    Unfit {
        /// The reason.
        detail: String,
    },
    /// It says that it can start programs again.
    Fit,
}
