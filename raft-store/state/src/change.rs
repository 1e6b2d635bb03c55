//! New values of records: what is stored, published and snapshotted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Departed, IdempotencyRecord, JoinToken, LeaderRecord, MassLoss, Meta, Task, TaskId, TokenId,
    Worker, WorkerId,
};

/// The new value of one record. Changes alone rebuild the state: see [`crate::State::restore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Counters, log time and the newest term.
    Meta(Meta),
    /// A term of leadership began.
    Leader(LeaderRecord),
    /// A worker was added or changed.
    Worker(Arc<Worker>),
    /// A worker was taken off the registry.
    WorkerRemoved(WorkerId),
    /// A task was added or changed. A terminal one leaves memory and stays on disk.
    Task(Arc<Task>),
    /// A finished task is to be deleted from disk.
    TaskForgotten(TaskId),
    /// An idempotency key was used.
    IdempotencyKey(IdempotencyRecord),
    /// An idempotency key has expired.
    IdempotencyKeyExpired(Arc<str>),
    /// A worker was taken off the registry and is to be told.
    Departed(Departed),
    /// It runs nothing any more, or is back on the registry.
    DepartedForgotten(WorkerId),
    /// A join token was created.
    Token(JoinToken),
    /// A join token was revoked.
    TokenRevoked(TokenId),
    /// A mass loss was raised or acknowledged.
    MassLoss(MassLoss),
    /// The mass loss is over.
    MassLossOver,
}
