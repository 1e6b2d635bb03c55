//! Answers and verdicts: the same on every master.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    AttemptNumber, AttemptRef, Epoch, Limits, Shortage, StartNumber, TaskId, TaskState, Term,
    Timestamp,
};

/// What a command achieved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It took effect, or had already.
    Done,
    /// The worker is on the registry.
    Registered(Registered),
    /// The tasks accepted, by consecutive ids.
    Submitted {
        /// The first task's id.
        first: TaskId,
        /// How many.
        count: u32,
        /// Whether an earlier submission under the same key had accepted them.
        repeated: bool,
    },
    /// For each assignment asked for, in order.
    Assigned(Vec<Result<AttemptNumber, Rejection>>),
    /// The worker's new session.
    Connected(Resume),
    /// For each attempt reported, in order.
    Finished(Vec<FinishVerdict>),
    /// How many timers fired, and whether more are due.
    Ticked {
        /// Timers fired.
        fired: u32,
        /// Whether the bound on one tick left some over.
        more: bool,
    },
    /// The state a cancelled task is in now: cancelled or cancelling.
    Cancelled(TaskState),
    /// Attempts of silent workers were given to others.
    Requeued {
        /// How many.
        count: u32,
        /// Whether the bound left some over.
        more: bool,
    },
}

/// Whether a worker was on the registry before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registered {
    /// It was not.
    New,
    /// It was, and what the command names of it is as it says.
    Known,
}

/// How a worker goes on after it has connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Its registration from now on.
    pub epoch: Epoch,
    /// For each running attempt it reported, in order.
    pub running: Vec<(AttemptRef, AttemptVerdict)>,
    /// For each finished attempt it reported, in order.
    pub finished: Vec<FinishVerdict>,
}

/// What becomes of an attempt that a worker says it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptVerdict {
    /// It is the task's current one: go on.
    Keep,
    /// The task ended or went elsewhere: stop it, its result is not wanted.
    Kill,
}

/// What became of a reported result. Either way the worker may forget it, if it reported it under
/// the registration that stands: an older one has no say even about attempts that live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishVerdict {
    /// It is the attempt's outcome.
    Accepted,
    /// The attempt was not the current one of a live task: it changed nothing.
    Stale,
}

/// What an idempotency key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// The client's text.
    pub key: Arc<str>,
    /// Fingerprint of the request it came with.
    pub fingerprint: u64,
    /// The first task accepted under it.
    pub first: TaskId,
    /// How many tasks.
    pub count: u32,
    /// When it was first used.
    pub at: Timestamp,
}

/// A verdict that every master reaches against a command; it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// A newer leader has taken over.
    #[error("term {term} is over: term {current} has begun")]
    StaleTerm {
        /// The command's term.
        term: Term,
        /// The newest term seen.
        current: Term,
    },
    /// The registry has no such worker.
    #[error("worker '{worker}' is not registered")]
    UnknownWorker {
        /// Its name.
        worker: Arc<str>,
    },
    /// No such join token, or it has expired.
    #[error("join token '{token}' is unknown, revoked or expired")]
    InvalidToken {
        /// Its name.
        token: Arc<str>,
    },
    /// A token of that name exists.
    #[error("a join token '{token}' exists already")]
    TokenExists {
        /// Its name.
        token: Arc<str>,
    },
    /// There is no alarm to acknowledge.
    #[error("no mass loss is raised")]
    NoMassLoss,
    /// The worker is not to be given tasks.
    #[error("worker '{worker}' is cordoned or draining")]
    ClosedWorker {
        /// Its name.
        worker: Arc<str>,
    },
    /// The worker cannot be called, or cannot start programs.
    #[error("worker '{worker}' is unreachable or unfit")]
    UnhealthyWorker {
        /// Its name.
        worker: Arc<str>,
    },
    /// The task does not exist, or is finished.
    #[error("task {task} is not live: it is finished or never was")]
    NotLive {
        /// Which.
        task: TaskId,
    },
    /// The task is not waiting for a worker.
    #[error("task {task} is {state}, not queued")]
    NotQueued {
        /// Which.
        task: TaskId,
        /// Where it stands.
        state: TaskState,
    },
    /// The worker is not connected.
    #[error("worker '{worker}' is not active")]
    InactiveWorker {
        /// Its name.
        worker: Arc<str>,
    },
    /// The task's constraints do not allow the worker.
    #[error("task {task} may not run on worker '{worker}'")]
    ConstraintViolated {
        /// Which.
        task: TaskId,
        /// Where it was to go.
        worker: Arc<str>,
    },
    /// The worker has too little left.
    #[error("worker '{worker}' has too little left: {shortage}")]
    Oversubscribed {
        /// Its name.
        worker: Arc<str>,
        /// Of what.
        shortage: Shortage,
    },
    /// Another request came under the same idempotency key.
    #[error("the idempotency key was used for another request")]
    IdempotencyConflict,
    /// A bound of the replicated state would be passed.
    #[error("limit reached: at most {max} {what}")]
    LimitReached {
        /// Of what.
        what: Arc<str>,
        /// The bound.
        max: u64,
    },
    /// Live tasks take as much memory as they may.
    #[error(
        "the queue is full: live tasks take {bytes} of {bytes_max} bytes, and these would add {wanted}"
    )]
    QueueFull {
        /// What they take.
        bytes: u64,
        /// What the rejected ones would add.
        wanted: u64,
        /// What they may take.
        bytes_max: u64,
    },
    /// Another worker has the name, and may still run something.
    #[error(
        "another worker uses the name '{worker}'{}: give each worker its own, or wait until the lease of that one is over",
        at.as_ref().map(|at| format!(", at {at}")).unwrap_or_default()
    )]
    NameInUse {
        /// The name.
        worker: Arc<str>,
        /// Address of the worker that has it.
        at: Option<Arc<str>>,
    },
    /// A later start of the same worker has registered.
    #[error("{start} of worker '{worker}' comes late: {current} was accepted before")]
    LateStart {
        /// Its name.
        worker: Arc<str>,
        /// The start that wants to register.
        start: StartNumber,
        /// The one accepted before.
        current: StartNumber,
    },
    /// A later registration of the same worker process has been accepted.
    #[error("registration {sequence} comes late: {current} was accepted before")]
    LateRegistration {
        /// The registration's number.
        sequence: u64,
        /// The one accepted before.
        current: u64,
    },
    /// The command is malformed; a correct master does not propose it.
    #[error("invalid command: {detail}")]
    Invalid {
        /// What is wrong.
        detail: Arc<str>,
    },
}

impl Rejection {
    pub(crate) fn limit(what: &str, max: usize) -> Self {
        Self::LimitReached { what: what.into(), max: u64::try_from(max).unwrap_or(u64::MAX) }
    }

    pub(crate) fn invalid(detail: &str) -> Self {
        Self::Invalid { detail: detail.into() }
    }

    pub(crate) fn too_many_tasks() -> Self {
        Self::limit("live tasks", Limits::LIVE_TASKS_MAX)
    }
}
