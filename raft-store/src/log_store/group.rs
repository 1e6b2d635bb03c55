//! Requests to the flusher, and the choice of those that form one batch.

use std::fmt;

use openraft::storage::IOFlushed;
use rocksdb::WriteBatch;
use tokio::sync::oneshot;

use super::disk::Held;
use super::tail::Era;
use crate::error::StorageError;
use crate::identity::Identity;
use crate::types::{Entry, LogId, TypeConfig, Vote};

pub(super) type Done = oneshot::Sender<Result<(), StorageError>>;

/// A request to the flusher; requests are served in order.
pub(super) enum Op {
    Append { entries: Vec<Entry>, era: Era, bytes: usize, callback: IOFlushed<TypeConfig> },
    Vote { vote: Vote, done: Done },
    Identity { identity: Identity, done: Done },
    Truncate { after: Option<LogId>, done: Done },
    Purge { upto: LogId },
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append { .. } => "Append",
            Self::Vote { .. } => "Vote",
            Self::Identity { .. } => "Identity",
            Self::Truncate { .. } => "Truncate",
            Self::Purge { .. } => "Purge",
        })
    }
}

/// Callback to fire once a batch is synced.
pub(super) enum Waiting {
    Append { next: u64, era: Era, bytes: usize, callback: IOFlushed<TypeConfig> },
    Done(Done),
}

/// A growing batch, and the changes that it makes once it is written.
pub(super) struct Group {
    pub(super) batch: WriteBatch,
    pub(super) held: Held,
    pub(super) waiting: Vec<Waiting>,
    pub(super) entries: u64,
    pub(super) guard: GuardNeed,
}

/// Urgency of writing the guard: before callbacks are fired, or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GuardNeed {
    AtLeisure,
    First,
}
