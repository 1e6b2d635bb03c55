//! The replicated state of the cluster, and the pure function that every master applies to it.
//!
//! **Invariant:** nothing here reads a clock, does I/O, draws randomness or depends on hash order,
//! so that all masters reach the same state, replies and rejections from the same log.

mod apply;
mod audit;
mod backlog;
mod capacity;
mod certificate;
mod change;
mod cluster;
mod command;
mod constraint;
mod dependencies;
mod fingerprint;
mod fnv;
mod footprint;
mod generation;
mod growth;
mod health;
mod ids;
mod index;
mod invariants;
mod job;
mod lease;
mod level;
mod limits;
mod orphan;
mod payload;
mod queue;
mod rejection;
mod reply;
mod resources;
mod rotation;
mod schedule;
mod secret;
mod settings;
mod state;
mod task;
mod text_map;
mod time;
mod treap;
mod user;
mod worker;

pub use audit::{Actor, AuditAction, AuditOutcome, AuditRecord};
pub use backlog::{AGEING_STEP, Candidates, Head, Moment, Rank, Since};
pub use capacity::{Plan, Preference};
pub use certificate::{
    HolderId, HolderRecord, IssuedCertificate, IssuerRecord, Serial, ShownCertificate,
};
pub use change::{Change, Key, Record};
pub use cluster::{Generation, JoinToken, LeaderRecord, MassLoss, Meta};
pub use command::{
    AdoptIssuer, AdvanceJob, AdvanceSchedules, AssignAhead, AssignTasks, Assignment, BeginRotation,
    BeginTerm, CancelTask, ChangeHealth, Command, ConnectWorker, CreateToken, CreateUserToken,
    DeleteQueue, DeleteSchedule, DisconnectWorkers, DropOrphans, EndMassLoss, FinishAttempts,
    FinishedAttempt, ForgetDeparted, ForgetWorker, Grounds, HealthChange, HealthFinding,
    HoldAttempts, IdempotencyKey, IssueCertificate, JobStep, KnownSchedule, LabelWorker, Link,
    NoteOrder, NoteRival, Ordered, OrphanSelection, PauseQueue, PauseSchedule, Proposal,
    PruneTrail, PutQueue, PutSchedule, RaiseLevel, RaiseMassLoss, RegisterWorker, RequeueAttempts,
    RequeueScope, RetryBatch, RetryTask, RevokeCertificates, RevokeToken, RevokeUserToken,
    RotateAuthority, RotationStep, RunSchedule, ScheduleStep, SchedulingOrder, SeedSettings,
    SetScheduling, SetSettings, StartAttempts, StartJob, SubmitGraph, SubmitTasks, TaskGraph, Tick,
    UnregisterWorker,
};
pub use constraint::{Constraint, ConstraintOp};
pub use fingerprint::Fingerprint;
pub use fnv::Fnv1a;
pub use footprint::Footprint;
pub use health::{Health, Probation, Suspension, SuspensionCause, Trouble};
pub use ids::{
    AttemptNumber, AttemptRef, ClusterId, DataId, Epoch, Incarnation, InvalidId, JobId, LogIndex,
    MasterId, OrphanId, StartNumber, TaskId, Term, TokenId, WorkerId,
};
pub use index::{ClassQueue, QueueLoad, TaskCounts, WorkerLoad};
pub use invariants::Violation;
pub use job::{Job, JobAction, JobEnd};
pub use lease::LeaseTimes;
pub use level::Level;
pub use limits::Limits;
pub use orphan::{Orphan, OrphanEnd};
pub use payload::Payload;
pub use queue::{ConcurrencyKey, Hold, Queue, QueueName, QueueSettings, Rate, Used};
pub use rejection::Rejection;
pub use reply::{AttemptVerdict, FinishVerdict, IdempotencyRecord, Registered, Reply, Resume};
pub use resources::{Resources, Shortage};
pub use rotation::{AuthorityRecord, RootRecord, Rotation, RotationPhase};
pub use schedule::{
    Overlap, RunCounts, RunOutcome, Schedule, ScheduleName, SchedulePlan, ScheduledRun,
};
pub use secret::{SecretMap, SecretText};
pub use settings::{
    AuditSettings, AutopilotSettings, Backoff, LimitSettings, ReconnectSettings, RetentionSettings,
    SchedulerSettings, SettingFault, SettingKey, SettingOrigin, SettingSource, Settings,
    SettingsRecord, Strategy, UpgradeSettings, WorkerSettings,
};
pub use state::{Applied, State};
pub use task::{
    Ahead, Attempt, AttemptOutcome, AttemptOutcomeKind, AttemptReport, AttemptUsage, Cascade,
    Class, Course, Dependency, DependencyKind, ExitCodes, KnownEnds, LabelSelector, LossReason,
    OnDisconnect, RetryPolicy, StopReason, Task, TaskEnd, TaskFilter, TaskReason, TaskResult,
    TaskSpec, TaskState, TaskStateKind, Timing, UnknownState, When,
};
pub use text_map::TextMap;
pub use time::{Timestamp, millis};
pub use user::{Role, Scope, UnknownRole, UserName, UserToken};
pub use worker::{
    AddressSource, Departed, DisconnectReason, Process, Rival, Scheduling, Specs, WhatChanged,
    Worker, WorkerEvent, WorkerEventKind, WorkerReason, WorkerState, WorkerStatus,
};
