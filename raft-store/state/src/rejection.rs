//! Rejections, which are the same on every master.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Hold, Level, LogIndex, OrphanId, SettingFault, SettingKey, Shortage, StartNumber, TaskId,
    TaskState, Term, Timestamp,
};

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
    /// The worker is closed to new tasks.
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
        /// The task.
        task: TaskId,
    },
    /// The task is not waiting for a worker.
    #[error("task {task} is {state}, not queued")]
    NotQueued {
        /// The task.
        task: TaskId,
        /// Its state.
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
        /// The task.
        task: TaskId,
        /// The worker that it was assigned to.
        worker: Arc<str>,
    },
    /// The worker has too little left.
    #[error("worker '{worker}' has too little left: {shortage}")]
    Oversubscribed {
        /// Its name.
        worker: Arc<str>,
        /// The shortage.
        shortage: Shortage,
    },
    /// Another request came under the same idempotency key.
    #[error("the idempotency key was used for another request")]
    IdempotencyConflict,
    /// The command would exceed a bound of the replicated state.
    #[error("limit reached: at most {max} {what}")]
    LimitReached {
        /// The things of which there would be too many.
        what: Arc<str>,
        /// The bound.
        max: u64,
    },
    /// Live tasks take as much memory as they may.
    #[error(
        "the queue is full: live tasks take {bytes} of {bytes_max} bytes, and these would add {wanted}"
    )]
    QueueFull {
        /// Memory that live tasks take.
        bytes: u64,
        /// Memory that the rejected tasks would add.
        wanted: u64,
        /// Memory that live tasks may take.
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
        /// The start that asks to be registered.
        start: StartNumber,
        /// The later one that was accepted before.
        current: StartNumber,
    },
    /// A later registration of the same worker process has been accepted.
    #[error("registration {sequence} comes late: {current} was accepted before")]
    LateRegistration {
        /// The registration's number.
        sequence: u64,
        /// The later one that was accepted before.
        current: u64,
    },
    /// The command is malformed; a correct master does not propose it.
    #[error("invalid command: {detail}")]
    Invalid {
        /// The fault.
        detail: Arc<str>,
    },
    /// The cluster has not reached the command's level.
    #[error("this needs feature level {needed}, and the cluster has level {level}")]
    BelowLevel {
        /// Level that the command needs.
        needed: Level,
        /// Level of the cluster.
        level: Level,
    },
    /// The settings have changed since the proposer has seen them.
    #[error(
        "the settings have changed: they were to be those of index {base}, and {}",
        current.map_or_else(|| "there are none".to_owned(), |at| format!("are those of index {at}"))
    )]
    SettingsChanged {
        /// Index of the change that the proposer has seen last.
        base: LogIndex,
        /// Index of the last change.
        current: Option<LogIndex>,
    },
    /// A setting breaks a rule.
    #[error("{}: {detail}", key.path())]
    InvalidSetting {
        /// The setting.
        key: SettingKey,
        /// The rule.
        detail: Arc<str>,
    },
    /// No user has such a token.
    #[error("no user has a token '{token}'")]
    NoUserToken {
        /// Its public part.
        token: Arc<str>,
    },
    /// A user has a token of that id.
    #[error("a user has a token '{token}' already")]
    UserTokenExists {
        /// Its public part.
        token: Arc<str>,
    },
    /// Nobody has given the cluster an issuer.
    #[error("the cluster issues no certificates: it has adopted no issuer")]
    NoIssuer,
    /// The cluster has adopted another issuer meanwhile.
    #[error("the cluster has another issuer of certificates now")]
    OtherIssuer,
    /// The certificate that was shown was revoked.
    #[error("the certificate of {holder} was revoked")]
    RevokedCertificate {
        /// Its holder.
        holder: Arc<str>,
    },
    /// Somebody else holds the name.
    #[error(
        "the name {holder} is taken: its holder has a certificate or has registered; forget it if it \
         will not come back"
    )]
    BoundName {
        /// The name.
        holder: Arc<str>,
    },
    /// The worker is connected.
    #[error("worker '{worker}' is active: stop it, or force this")]
    ActiveWorker {
        /// Its name.
        worker: Arc<str>,
    },
    /// No such orphaned result, or not any more.
    #[error("there is no orphaned result {orphan}")]
    UnknownOrphan {
        /// Its id.
        orphan: OrphanId,
    },
    /// The authority is being changed.
    #[error("a change of the authority is under way: finish or abort it first")]
    RotationUnderWay,
    /// The authority is not being changed, or in another change than the proposer has seen.
    #[error("no such change of the authority is under way")]
    NoRotation,
    /// Both authorities are needed still.
    #[error("the new authority issues nothing yet: not everybody trusts it")]
    RotationTooEarly,
    /// The task cannot run again.
    #[error("task {task} cannot be retried: {detail}")]
    NotRetryable {
        /// The task.
        task: TaskId,
        /// The reason.
        detail: Arc<str>,
    },
    /// Another finished task was retried after the proposer had read this one. It may be the same task.
    #[error("another task was retried at the same moment: ask again")]
    RetriedMeanwhile,
    /// A time of a submitted task is not allowed at this time.
    #[error("task {position} of the submission: {field} {detail}")]
    Untimely {
        /// Position of the task in its submission, from 0.
        position: u32,
        /// The field.
        field: Arc<str>,
        /// The fault.
        detail: Arc<str>,
    },
    /// There is no such queue.
    #[error("there is no queue '{queue}'")]
    UnknownQueue {
        /// Its name.
        queue: Arc<str>,
    },
    /// A task names a queue that does not exist.
    #[error("a task names the queue '{queue}', which does not exist")]
    NoSuchQueue {
        /// Name of the queue.
        queue: Arc<str>,
    },
    /// Somebody has changed the settings of the queue meanwhile.
    #[error("the settings of queue '{queue}' have changed since: read them again")]
    QueueChanged {
        /// Its name.
        queue: Arc<str>,
    },
    /// The queue cannot be deleted while something needs it.
    #[error("queue '{queue}' is in use: {users}")]
    QueueInUse {
        /// Its name.
        queue: Arc<str>,
        /// Users of it.
        users: Arc<str>,
    },
    /// The queue starts no task, or not this one, for now.
    #[error("queue '{queue}' {hold}")]
    HeldBack {
        /// Its name.
        queue: Arc<str>,
        /// The reason.
        hold: Hold,
    },
    /// There is no such schedule.
    #[error("there is no schedule '{schedule}'")]
    UnknownSchedule {
        /// Its name.
        schedule: Arc<str>,
    },
    /// There is a schedule of that name.
    #[error("a schedule '{schedule}' exists already")]
    ScheduleExists {
        /// Its name.
        schedule: Arc<str>,
    },
    /// The last run of the schedule is not over, and it does not allow two at once.
    #[error("the last run of schedule '{schedule}', task {task}, is not over")]
    ScheduleBusy {
        /// Its name.
        schedule: Arc<str>,
        /// Task of the run.
        task: TaskId,
    },
    /// The first run of a schedule would have been due before the schedule was there.
    #[error("the first run of the schedule is due already: ask again")]
    NotAhead {
        /// Log time of the command.
        now: Timestamp,
    },
    /// A task that a command waits for has ended, and the proposer has not seen that yet.
    #[error("task {task} has ended at the same moment: ask again")]
    DependencyEnded {
        /// The task that has ended.
        task: TaskId,
    },
    /// A task of a submission waits for one that there never was.
    #[error("there is no task {task} to wait for")]
    UnknownDependency {
        /// The task that is waited for.
        task: TaskId,
    },
}

impl From<&SettingFault> for Rejection {
    fn from(fault: &SettingFault) -> Self {
        Self::InvalidSetting { key: fault.key, detail: fault.detail.into() }
    }
}

impl Rejection {
    /// Returns the name of its kind, which never changes.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::StaleTerm { .. } => "stale-term",
            Self::UnknownWorker { .. } => "unknown-worker",
            Self::InvalidToken { .. } => "invalid-token",
            Self::TokenExists { .. } => "token-exists",
            Self::NoMassLoss => "no-mass-loss",
            Self::ClosedWorker { .. } => "closed-worker",
            Self::UnhealthyWorker { .. } => "unhealthy-worker",
            Self::NotLive { .. } => "not-live",
            Self::NotQueued { .. } => "not-queued",
            Self::InactiveWorker { .. } => "inactive-worker",
            Self::ConstraintViolated { .. } => "constraint-violated",
            Self::Oversubscribed { .. } => "oversubscribed",
            Self::IdempotencyConflict => "idempotency-conflict",
            Self::LimitReached { .. } => "limit-reached",
            Self::QueueFull { .. } => "queue-full",
            Self::NameInUse { .. } => "name-in-use",
            Self::LateStart { .. } => "late-start",
            Self::LateRegistration { .. } => "late-registration",
            Self::Invalid { .. } => "invalid",
            Self::BelowLevel { .. } => "below-level",
            Self::SettingsChanged { .. } => "settings-changed",
            Self::InvalidSetting { .. } => "invalid-setting",
            Self::NoUserToken { .. } => "no-user-token",
            Self::UserTokenExists { .. } => "user-token-exists",
            Self::NoIssuer => "no-issuer",
            Self::OtherIssuer => "other-issuer",
            Self::RevokedCertificate { .. } => "revoked-certificate",
            Self::BoundName { .. } => "bound-name",
            Self::ActiveWorker { .. } => "active-worker",
            Self::UnknownOrphan { .. } => "unknown-orphan",
            Self::RotationUnderWay => "rotation-under-way",
            Self::NoRotation => "no-rotation",
            Self::RotationTooEarly => "rotation-too-early",
            Self::NotRetryable { .. } => "not-retryable",
            Self::RetriedMeanwhile => "retried-meanwhile",
            Self::Untimely { .. } => "untimely",
            Self::UnknownQueue { .. } => "unknown-queue",
            Self::NoSuchQueue { .. } => "no-such-queue",
            Self::QueueChanged { .. } => "queue-changed",
            Self::QueueInUse { .. } => "queue-in-use",
            Self::HeldBack { .. } => "held-back",
            Self::UnknownSchedule { .. } => "unknown-schedule",
            Self::ScheduleExists { .. } => "schedule-exists",
            Self::ScheduleBusy { .. } => "schedule-busy",
            Self::NotAhead { .. } => "not-ahead",
            Self::DependencyEnded { .. } => "dependency-ended",
            Self::UnknownDependency { .. } => "unknown-dependency",
        }
    }

    pub(crate) fn limit(what: &str, max: usize) -> Self {
        Self::LimitReached { what: what.into(), max: u64::try_from(max).unwrap_or(u64::MAX) }
    }

    pub(crate) fn too_long(what: &str, max: Duration) -> Self {
        Self::invalid(&format!("{what} at most {} years", max.as_secs() / (365 * 24 * 60 * 60)))
    }

    pub(crate) fn invalid(detail: &str) -> Self {
        Self::Invalid { detail: detail.into() }
    }
}
