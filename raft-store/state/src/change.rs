//! Changes of records, which are stored, published and put into snapshots.

use std::sync::Arc;

use crate::{
    AuditRecord, Cascade, Departed, HolderId, HolderRecord, IdempotencyRecord, IssuerRecord, Job,
    JobId, JoinToken, LeaderRecord, LogIndex, MassLoss, Meta, Orphan, OrphanId, Queue, QueueName,
    Schedule, ScheduleName, SettingsRecord, Task, TaskId, Term, TokenId, UserToken, Worker,
    WorkerId,
};

/// A change of one record. Changes alone rebuild the state: see [`crate::State::follow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The record has a new value.
    Put(Record),
    /// The record was removed.
    Delete(Key),
}

/// A record of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Counters, log time, the newest term and the level.
    Meta(Meta),
    /// A term of leadership.
    Leader(LeaderRecord),
    /// A registered worker.
    Worker(Arc<Worker>),
    /// A task. A terminal one leaves memory and stays on disk.
    Task(Arc<Task>),
    /// An idempotency key in use.
    IdempotencyKey(IdempotencyRecord),
    /// An unregistered worker that may still run something.
    Departed(Departed),
    /// A join token.
    Token(JoinToken),
    /// The mass loss that is not over.
    MassLoss(MassLoss),
    /// The settings of the cluster.
    Settings(Arc<SettingsRecord>),
    /// A user's token.
    UserToken(UserToken),
    /// The end of an attempt that the restored state did not know.
    Orphan(Arc<Orphan>),
    /// An order in the trail.
    Audit(Arc<AuditRecord>),
    /// The issuer of certificates that the cluster has adopted.
    Issuer(IssuerRecord),
    /// A holder of certificates.
    Holder(HolderRecord),
    /// An order about many tasks.
    Job(Arc<Job>),
    /// A schedule.
    Schedule(Arc<Schedule>),
    /// A named queue.
    Queue(Arc<Queue>),
    /// A task that has ended without success, and whose dependents are not all aborted yet.
    Cascade(Cascade),
}

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// See [`Record::Meta`].
    Meta,
    /// See [`Record::Leader`].
    Leader(Term),
    /// See [`Record::Worker`].
    Worker(WorkerId),
    /// See [`Record::Task`]. Deleted when a finished task is forgotten.
    Task(TaskId),
    /// See [`Record::IdempotencyKey`].
    IdempotencyKey(Arc<str>),
    /// See [`Record::Departed`].
    Departed(WorkerId),
    /// See [`Record::Token`].
    Token(TokenId),
    /// See [`Record::MassLoss`].
    MassLoss,
    /// See [`Record::Settings`]. Never deleted.
    Settings,
    /// See [`Record::UserToken`].
    UserToken(TokenId),
    /// See [`Record::Orphan`].
    Orphan(OrphanId),
    /// See [`Record::Audit`].
    Audit(LogIndex),
    /// See [`Record::Issuer`]. Never deleted.
    Issuer,
    /// See [`Record::Holder`].
    Holder(HolderId),
    /// See [`Record::Job`].
    Job(JobId),
    /// See [`Record::Schedule`].
    Schedule(ScheduleName),
    /// See [`Record::Queue`].
    Queue(QueueName),
    /// See [`Record::Cascade`].
    Cascade(TaskId),
}

impl Record {
    /// Returns the record's name.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Meta(_) => Key::Meta,
            Self::Leader(leader) => Key::Leader(leader.term),
            Self::Worker(worker) => Key::Worker(worker.id.clone()),
            Self::Task(task) => Key::Task(task.id),
            Self::IdempotencyKey(record) => Key::IdempotencyKey(Arc::clone(&record.key)),
            Self::Departed(departed) => Key::Departed(departed.worker.id.clone()),
            Self::Token(token) => Key::Token(token.id.clone()),
            Self::MassLoss(_) => Key::MassLoss,
            Self::Settings(_) => Key::Settings,
            Self::UserToken(token) => Key::UserToken(token.id.clone()),
            Self::Orphan(orphan) => Key::Orphan(orphan.id),
            Self::Audit(record) => Key::Audit(record.index),
            Self::Issuer(_) => Key::Issuer,
            Self::Holder(holder) => Key::Holder(holder.id.clone()),
            Self::Job(job) => Key::Job(job.id),
            Self::Schedule(schedule) => Key::Schedule(schedule.name.clone()),
            Self::Queue(queue) => Key::Queue(queue.name.clone()),
            Self::Cascade(cascade) => Key::Cascade(cascade.task),
        }
    }
}

impl Change {
    /// Returns the name of the record that has changed.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Put(record) => record.key(),
            Self::Delete(key) => key.clone(),
        }
    }
}
