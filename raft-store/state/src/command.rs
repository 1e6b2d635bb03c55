//! What can be proposed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    AddressSource, AttemptOutcome, AttemptRef, ClusterId, DisconnectReason, Epoch, LeaseTimes,
    LossReason, MasterId, Process, Specs, TaskId, TaskSpec, Term, Timestamp, TokenId, WorkerId,
};

/// A command with the leader's stamp: what a log entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// When the leader proposed it.
    pub proposed_at: Timestamp,
    /// What to do.
    pub command: Command,
}

/// What can be done to the state, one log entry each. Commands that come in numbers carry a list.
///
/// The encoding numbers the variants in order: add new ones at the end, change none.
#[expect(clippy::large_enum_variant, reason = "a command is applied and dropped: none is kept")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The barrier of a new leader: from here on, commands of older terms are refused.
    BeginTerm {
        /// The term that begins.
        term: Term,
        /// Who leads it.
        leader: MasterId,
        /// The cluster's id if it has none yet: the first leader's proposal wins.
        cluster: ClusterId,
        /// Memory that live tasks and idempotency keys may take while this term lasts, as the
        /// leader's configuration says.
        live_bytes_max: u64,
    },
    /// Put a worker on the registry, or change what is named of its address and labels.
    RegisterWorker(RegisterWorker),
    /// Take a worker off the registry. What it runs is requeued by [`Command::ForgetDeparted`].
    UnregisterWorker {
        /// Whom.
        worker: WorkerId,
    },
    /// A worker opened a session with the leader: reconcile what it says with the state.
    ConnectWorker(ConnectWorker),
    /// Workers fell silent or said goodbye.
    DisconnectWorkers(DisconnectWorkers),
    /// Accept tasks, all or none.
    SubmitTasks(SubmitTasks),
    /// Place queued tasks on workers.
    AssignTasks {
        /// The leader's term.
        term: Term,
        /// Who runs what.
        assignments: Vec<Assignment>,
    },
    /// Workers confirmed that attempts run.
    StartAttempts(StartAttempts),
    /// Workers reported how attempts ended.
    FinishAttempts(FinishAttempts),
    /// A user wants a task stopped.
    CancelTask {
        /// Which.
        task: TaskId,
    },
    /// Workers' leases ended: give their attempts to others.
    RequeueAttempts(RequeueAttempts),
    /// Let timers fire.
    Tick(Tick),
    /// Open or close a worker to new tasks, or empty it.
    SetScheduling {
        /// Whom.
        worker: WorkerId,
        /// To what.
        order: SchedulingOrder,
    },
    /// Change some of the operator's labels of a worker.
    LabelWorker {
        /// Whom.
        worker: WorkerId,
        /// New values.
        set: BTreeMap<String, String>,
        /// Labels to take away.
        remove: Vec<String>,
    },
    /// Workers that were taken off the registry run nothing any more: they have ended what they ran,
    /// or must have. It is given to others.
    ForgetDeparted {
        /// The leader's term.
        term: Term,
        /// Who, in which registration: one that has connected again and was taken off again since
        /// is another case.
        workers: Vec<(WorkerId, Epoch)>,
    },
    /// Let workers that present a token register themselves.
    CreateToken(CreateToken),
    /// A token is good for nothing any more.
    RevokeToken {
        /// Which.
        token: TokenId,
    },
    /// So many workers fell silent at once that the cause may lie elsewhere.
    RaiseMassLoss {
        /// The leader's term.
        term: Term,
        /// How many fell silent within one heartbeat timeout.
        lost: u32,
        /// Of how many that were active.
        of: u32,
    },
    /// An operator knows of the mass loss: requeueing need not be slow any more.
    AcknowledgeMassLoss,
    /// The mass loss is over.
    EndMassLoss {
        /// The leader's term.
        term: Term,
    },
    /// Another worker wants the name of one that stands, or has given up.
    NoteRival {
        /// The leader's term.
        term: Term,
        /// Whose name.
        worker: WorkerId,
        /// Address of the other one; absent when it has given up.
        address: Option<String>,
    },
    /// Workers cannot be called or cannot start programs, or can again.
    ChangeHealth(ChangeHealth),
}

/// See [`Command::ChangeHealth`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeHealth {
    /// The leader's term.
    pub term: Term,
    /// What was found out.
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

/// What was found out about a worker.
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

/// See [`Command::SetScheduling`].
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

/// See [`Command::CreateToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateToken {
    /// Names it; the secret is not in the log.
    pub token: TokenId,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// How long it admits workers; for ever when absent.
    pub ttl: Option<Duration>,
    /// What it is for.
    pub description: String,
}

/// See [`Command::RegisterWorker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterWorker {
    /// Whom.
    pub worker: WorkerId,
    /// `host:port` of its gRPC server; a known one stays when absent.
    pub address: Option<String>,
    /// The operator's labels, in place of the ones before; known ones stay when absent.
    pub labels: Option<BTreeMap<String, String>>,
}

/// See [`Command::ConnectWorker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectWorker {
    /// The leader's term.
    pub term: Term,
    /// Who connected.
    pub worker: WorkerId,
    /// Which process of it.
    pub process: Process,
    /// Where it says it is reached. The known address stays when it is absent, or when an operator
    /// named that one and the worker only knows where it listens.
    pub address: Option<String>,
    /// Whether it was told to say so.
    pub address_source: AddressSource,
    /// What it is granted from now on.
    pub granted: LeaseTimes,
    /// The token that admits it if it is not registered; its secret was checked by the leader.
    pub token: Option<TokenId>,
    /// What it has.
    pub specs: Specs,
    /// Why it cannot start programs at present, in its own words.
    pub unfit: Option<String>,
    /// Attempts whose results are yet to come: they run, or they ended and their results are too
    /// many for this message.
    pub running: Vec<AttemptRef>,
    /// Results that no leader has confirmed yet.
    pub finished: Vec<FinishedAttempt>,
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedAttempt {
    /// Which.
    pub attempt: AttemptRef,
    /// How.
    pub outcome: AttemptOutcome,
}

/// See [`Command::DisconnectWorkers`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisconnectWorkers {
    /// The leader's term.
    pub term: Term,
    /// Who, in which registration: one that has connected again since is left alone.
    pub workers: Vec<(WorkerId, Epoch)>,
    /// Why.
    pub reason: DisconnectReason,
    /// When those of them were last heard from that the leader has heard.
    pub last_heard: BTreeMap<WorkerId, Timestamp>,
}

/// A client's name for a mutation, under which it may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The client's text.
    pub key: Arc<str>,
    /// Fingerprint of the request: the same key with another request is a conflict.
    pub fingerprint: u64,
}

/// See [`Command::SubmitTasks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitTasks {
    /// What to run.
    pub tasks: Vec<Arc<TaskSpec>>,
    /// Under which name the submission may be repeated.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// One placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// What.
    pub task: TaskId,
    /// Where.
    pub worker: WorkerId,
}

/// See [`Command::StartAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartAttempts {
    /// The leader's term.
    pub term: Term,
    /// Who confirmed.
    pub worker: WorkerId,
    /// In which registration.
    pub epoch: Epoch,
    /// What runs.
    pub attempts: Vec<AttemptRef>,
}

/// See [`Command::FinishAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishAttempts {
    /// Who reports.
    pub worker: WorkerId,
    /// In which registration.
    pub epoch: Epoch,
    /// What ended.
    pub attempts: Vec<FinishedAttempt>,
}

/// See [`Command::RequeueAttempts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequeueAttempts {
    /// The leader's term.
    pub term: Term,
    /// Whose, in which registration: one that has connected again since keeps its attempts.
    pub workers: Vec<(WorkerId, Epoch)>,
    /// Why.
    pub reason: LossReason,
    /// Which of their attempts.
    pub scope: RequeueScope,
    /// At most so many: a mass loss is answered slowly.
    pub attempts_max: u32,
}

/// Which attempts of a silent worker are given to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequeueScope {
    /// All: the lease is over.
    All,
    /// Only those of tasks with [`crate::OnDisconnect::Requeue`].
    OnDisconnect,
}

/// See [`Command::Tick`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The leader's term.
    pub term: Term,
    /// Finished tasks to be forgotten, as retention asks; live ones are left alone.
    pub forget: Vec<TaskId>,
}
