//! Commands: everything that can be done to the replicated state.

mod audit;
mod certificates;
mod cluster;
mod graph;
mod jobs;
mod orphans;
mod queues;
mod schedules;
mod settings;
mod tasks;
mod users;
mod workers;

pub use self::audit::{NoteOrder, Ordered, PruneTrail};
pub use self::certificates::{
    AdoptIssuer, BeginRotation, ForgetWorker, Grounds, IssueCertificate, RevokeCertificates,
    RotateAuthority, RotationStep,
};
pub use self::cluster::{
    BeginTerm, CreateToken, EndMassLoss, RaiseLevel, RaiseMassLoss, RevokeToken, Tick,
};
pub use self::graph::{Link, SubmitGraph, TaskGraph};
pub use self::jobs::{AdvanceJob, JobStep, RetryBatch, StartJob};
pub use self::orphans::{DropOrphans, OrphanSelection};
pub use self::queues::{DeleteQueue, PauseQueue, PutQueue};
pub use self::schedules::{
    AdvanceSchedules, DeleteSchedule, KnownSchedule, PauseSchedule, PutSchedule, RunSchedule,
    ScheduleStep,
};
pub use self::settings::{SeedSettings, SetSettings};
pub use self::tasks::{
    AssignAhead, AssignTasks, Assignment, CancelTask, FinishAttempts, FinishedAttempt,
    HoldAttempts, IdempotencyKey, RequeueAttempts, RequeueScope, RetryTask, StartAttempts,
    SubmitTasks,
};
pub use self::users::{CreateUserToken, RevokeUserToken};
pub use self::workers::{
    ChangeHealth, ConnectWorker, DisconnectWorkers, ForgetDeparted, HealthChange, HealthFinding,
    LabelWorker, NoteRival, RegisterWorker, SchedulingOrder, SetScheduling, UnregisterWorker,
};
use crate::{
    Ahead, AuditRecord, Dependency, Generation, IssuerRecord, Job, Level, Queue, Schedule,
    Settings, Timestamp, Timing, UserToken,
};

/// A command with the leader's stamp of time: the content of a log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Time at which the leader proposed it.
    pub proposed_at: Timestamp,
    /// The command.
    pub command: Command,
}

/// A mutation of the state, in a log entry of its own. Commands that come in great numbers carry a
/// list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Open a leader's term: from here on, commands of older terms are refused.
    BeginTerm(BeginTerm),
    /// Register a worker, or change the address and labels that the command names.
    RegisterWorker(RegisterWorker),
    /// Remove a worker from the registry. Its tasks are requeued by [`Command::ForgetDeparted`].
    UnregisterWorker(UnregisterWorker),
    /// Open a worker's session with the leader: reconcile what it reports with the state.
    ConnectWorker(ConnectWorker),
    /// Mark workers that fell silent or said goodbye as inactive.
    DisconnectWorkers(DisconnectWorkers),
    /// Accept tasks, all or none.
    SubmitTasks(SubmitTasks),
    /// Accept tasks of which some wait for others, all or none.
    SubmitGraph(SubmitGraph),
    /// Place queued tasks on workers.
    AssignTasks(AssignTasks),
    /// Give queued tasks to workers ahead of the room for them.
    AssignAhead(AssignAhead),
    /// Record that attempts wait at their worker.
    HoldAttempts(HoldAttempts),
    /// Mark the attempts that workers confirmed as running.
    StartAttempts(StartAttempts),
    /// Record how attempts ended.
    FinishAttempts(FinishAttempts),
    /// Cancel a task on a user's behalf.
    CancelTask(CancelTask),
    /// Have a finished task run again on a user's behalf.
    RetryTask(RetryTask),
    /// Requeue the tasks of workers whose leases ended.
    RequeueAttempts(RequeueAttempts),
    /// Fire due timers.
    Tick(Tick),
    /// Cordon, uncordon or drain a worker.
    SetScheduling(SetScheduling),
    /// Change some of the operator's labels of a worker.
    LabelWorker(LabelWorker),
    /// Forget departed workers that run nothing any more, and requeue their tasks.
    ForgetDeparted(ForgetDeparted),
    /// Let workers that present a token register themselves.
    CreateToken(CreateToken),
    /// Revoke a join token.
    RevokeToken(RevokeToken),
    /// Raise the mass-loss alarm: too many workers fell silent at once.
    RaiseMassLoss(RaiseMassLoss),
    /// Acknowledge the mass-loss alarm: tasks of lost workers are requeued at once from now on.
    AcknowledgeMassLoss,
    /// Clear the mass-loss alarm.
    EndMassLoss(EndMassLoss),
    /// Note that another worker wants the name of a registered worker, or has given up.
    NoteRival(NoteRival),
    /// Record that workers cannot be called or cannot start programs, or can again.
    ChangeHealth(ChangeHealth),
    /// Raise the cluster's feature level.
    RaiseLevel(RaiseLevel),
    /// Make the configuration of the leader that of a cluster that has no settings yet.
    SeedSettings(SeedSettings),
    /// Change settings of the cluster.
    SetSettings(SetSettings),
    /// Let a user call with a token.
    CreateUserToken(CreateUserToken),
    /// Revoke a user's token.
    RevokeUserToken(RevokeUserToken),
    /// Drop orphaned results that an operator has seen.
    DropOrphans(DropOrphans),
    /// Carry out an order, and put on record who gave it.
    Ordered(Ordered),
    /// Put on record an order that is carried out outside of the replicated state. Itself ordered.
    NoteOrder(NoteOrder),
    /// Forget old records of the trail.
    PruneTrail(PruneTrail),
    /// Adopt an issuer of certificates.
    AdoptIssuer(AdoptIssuer),
    /// Record that a holder is issued a certificate.
    IssueCertificate(IssueCertificate),
    /// Revoke all certificates that a holder has.
    RevokeCertificates(RevokeCertificates),
    /// Remove a worker from the registry, revoke its certificates and free its name.
    ForgetWorker(ForgetWorker),
    /// Take one step of a change of the authority.
    RotateAuthority(RotateAuthority),
    /// Cancel, or have run again, all tasks that a filter selects.
    StartJob(StartJob),
    /// Take one step of a job.
    AdvanceJob(AdvanceJob),
    /// Create or replace a schedule.
    PutSchedule(PutSchedule),
    /// Delete a schedule.
    DeleteSchedule(DeleteSchedule),
    /// Pause or resume a schedule.
    PauseSchedule(PauseSchedule),
    /// Start a run of a schedule on a user's behalf.
    RunSchedule(RunSchedule),
    /// Decide about the runs of schedules that are due, and submit the tasks of those that start.
    AdvanceSchedules(AdvanceSchedules),
    /// Create a queue, or change its settings.
    PutQueue(PutQueue),
    /// Pause or resume a queue.
    PauseQueue(PauseQueue),
    /// Delete a queue that is empty.
    DeleteQueue(DeleteQueue),
}

impl Command {
    /// Returns the command itself, whoever has ordered it.
    #[must_use]
    pub fn itself(&self) -> &Self {
        if let Self::Ordered(ordered) = self { &ordered.command } else { self }
    }

    /// The lowest level of a cluster in which the command may be proposed. Members of a cluster
    /// below it may be unable to read it.
    #[must_use]
    pub fn min_level(&self) -> Level {
        match self {
            Self::SubmitTasks(submission) => submission.min_level(),
            Self::BeginTerm(_)
            | Self::RegisterWorker(_)
            | Self::UnregisterWorker(_)
            | Self::ConnectWorker(_)
            | Self::DisconnectWorkers(_)
            | Self::AssignTasks(_)
            | Self::StartAttempts(_)
            | Self::FinishAttempts(_)
            | Self::CancelTask(_)
            | Self::RequeueAttempts(_)
            | Self::Tick(_)
            | Self::SetScheduling(_)
            | Self::LabelWorker(_)
            | Self::ForgetDeparted(_)
            | Self::CreateToken(_)
            | Self::RevokeToken(_)
            | Self::RaiseMassLoss(_)
            | Self::AcknowledgeMassLoss
            | Self::EndMassLoss(_)
            | Self::NoteRival(_)
            | Self::ChangeHealth(_)
            | Self::RaiseLevel(_) => Level::FIRST,
            Self::RetryTask(_) => Timing::LEVEL,
            Self::StartJob(_) | Self::AdvanceJob(_) => Job::LEVEL,
            Self::AssignAhead(_) | Self::HoldAttempts(_) => Ahead::LEVEL,
            Self::SubmitGraph(_) => Dependency::LEVEL,
            Self::SeedSettings(_) | Self::SetSettings(_) => Settings::LEVEL,
            Self::CreateUserToken(_) | Self::RevokeUserToken(_) => UserToken::LEVEL,
            Self::DropOrphans(_) => Generation::LEVEL,
            Self::NoteOrder(_) | Self::PruneTrail(_) => AuditRecord::LEVEL,
            Self::Ordered(ordered) => AuditRecord::LEVEL.max(ordered.command.min_level()),
            Self::AdoptIssuer(_)
            | Self::IssueCertificate(_)
            | Self::RevokeCertificates(_)
            | Self::ForgetWorker(_)
            | Self::RotateAuthority(_) => IssuerRecord::LEVEL,
            Self::PutSchedule(_)
            | Self::DeleteSchedule(_)
            | Self::PauseSchedule(_)
            | Self::RunSchedule(_)
            | Self::AdvanceSchedules(_) => Schedule::LEVEL,
            Self::PutQueue(_) | Self::PauseQueue(_) | Self::DeleteQueue(_) => Queue::LEVEL,
        }
    }
}
