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
    /// `host:port` of its gRPC server; a known one stays when absent.
    pub address: Option<String>,
    /// The operator's labels, in place of the ones before; known ones stay when absent.
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
    /// Address that it says it is reached at. The known address stays when it is absent, or when an operator
    /// named that one and the worker only knows where it listens.
    pub address: Option<String>,
    /// Source of that address.
    pub address_source: AddressSource,
    /// The times that it is granted from now on.
    pub granted: LeaseTimes,
    /// The token that admits it if it is not registered; the leader checked its secret.
    pub token: Option<TokenId>,
    /// Its resources and labels.
    pub specs: Specs,
    /// Reason that it cannot start programs at present, in its own words.
    pub unfit: Option<String>,
    /// Attempts whose results are yet to come: they run, or they ended and their results are too
    /// many for this message.
    pub running: Vec<AttemptRef>,
    /// Results that no leader has confirmed yet.
    pub finished: Vec<FinishedAttempt>,
}

/// See [`crate::Command::DisconnectWorkers`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisconnectWorkers {
    /// The leader's term.
    pub term: Term,
    /// Workers and their registrations: one that has connected again since is left alone.
    pub workers: Vec<(WorkerId, Epoch)>,
    /// The reason.
    pub reason: DisconnectReason,
    /// Time at which each was last heard from, of those that the leader has heard.
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
    /// No more tasks; what runs there runs on.
    Cordon,
    /// Tasks again. Ends a drain, too.
    Uncordon,
    /// No more tasks, and what still runs there after the timeout is stopped and goes elsewhere.
    Drain {
        /// Patience with what runs there; without end when absent.
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
    /// Labels to take away.
    pub remove: Vec<String>,
}

/// See [`crate::Command::ForgetDeparted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetDeparted {
    /// The leader's term.
    pub term: Term,
    /// Workers and their registrations: one that has connected again and was taken off again since
    /// is another case.
    pub workers: Vec<(WorkerId, Epoch)>,
}

/// See [`crate::Command::NoteRival`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRival {
    /// The leader's term.
    pub term: Term,
    /// The registered worker.
    pub worker: WorkerId,
    /// Address of the other one; absent when it has given up.
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
    /// Its registration: one that has registered again since is left alone.
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
    /// It does not say so any more.
    Fit,
}
