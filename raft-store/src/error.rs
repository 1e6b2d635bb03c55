//! Errors of a master's storage and of its start.

use std::io;
use std::path::PathBuf;

use cluster_state::{ClusterId, Level, MasterId};
use proto::channel::InvalidAddress;

use crate::codec::CodecError;

/// Advice for a master whose data cannot be used. It keeps its name: its new log is sent everything,
/// and has no vote until it has caught up.
const REPLACE: &str = "move the data directory away and start this master again with the same node_id, \
                       one master at a time: the other masters send it everything";

/// Reason that a data directory cannot be used. Nothing on disk has been changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot use data directory {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The path names a file.
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    /// The directory contains other files.
    #[error("{0} is not empty and not a data directory of a master")]
    Foreign(PathBuf),
    /// A restoration or a recovery has not been brought to its end.
    #[error("{0} holds what a restoration or a recovery has left half done: do that again")]
    HalfRestored(PathBuf),
    /// Another process uses it.
    #[error("data directory {0} is locked by another process")]
    Locked(PathBuf),
    /// A newer release has written it.
    #[error("data directory {path} has format {found}, this binary knows formats up to {known}")]
    NewerFormat {
        path: PathBuf,
        /// Version of the directory.
        found: u32,
        /// Newest version that this program knows.
        known: u32,
    },
    /// The format file is malformed.
    #[error("{0} is damaged: it does not name a format")]
    FormatUnreadable(PathBuf),
    /// It belongs to another master.
    #[error("data directory belongs to master {found}, not to master {expected}")]
    WrongMaster {
        /// Owner of the directory.
        found: MasterId,
        /// Configured name of this master.
        expected: MasterId,
    },
    /// It belongs to another cluster.
    #[error("data directory belongs to cluster {found}, not to cluster {expected}")]
    WrongCluster {
        /// Cluster of the directory.
        found: ClusterId,
        /// Cluster of this master.
        expected: ClusterId,
    },
    /// The file that names the database in use is malformed.
    #[error("{0} is damaged: it does not name a database")]
    PointerUnreadable(PathBuf),
    /// A file that must exist is missing.
    #[error("{missing} is missing from a data directory that was in use: {}", REPLACE)]
    Missing { missing: PathBuf },
    /// The guard file cannot be read.
    #[error("the guard file is damaged")]
    Guard(#[source] GuardError),
    /// The log has lost content that was on disk.
    #[error(
        "the log is behind its guard: {what} was {guarded}, now it is {found}, so what was \
         acknowledged may be lost here: {}",
        REPLACE
    )]
    LogBehindGuard {
        /// Value that went back.
        what: &'static str,
        /// Value in the guard file.
        guarded: String,
        /// Value in the log.
        found: String,
    },
    /// The log no longer holds the entries from which the state would have to be rebuilt.
    #[error(
        "the state is behind the log: applied up to {applied}, but the log is purged up to \
         {purged}: {}",
        REPLACE
    )]
    StateBehindLog {
        /// Last applied entry of the state.
        applied: u64,
        /// Last purged entry of the log.
        purged: u64,
    },
    /// RocksDB found its files damaged.
    #[error("{path} is damaged: {}", REPLACE)]
    Damaged {
        path: PathBuf,
        #[source]
        source: rocksdb::Error,
    },
    /// RocksDB could not open its files for another reason.
    #[error("cannot open {path}")]
    Database {
        path: PathBuf,
        #[source]
        source: rocksdb::Error,
    },
    /// The stored data could not be read.
    #[error("cannot read {path}")]
    Storage {
        path: PathBuf,
        #[source]
        source: StorageError,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn storage(path: impl Into<PathBuf>) -> impl FnOnce(StorageError) -> Self {
        let path = path.into();
        move |source| Self::Storage { path, source }
    }
}

/// Reason that a guard file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// Neither slot has a valid checksum.
    #[error("neither of its two records is intact")]
    NoIntactSlot,
    /// The checksum is right but the record is not of a known kind.
    #[error("its record is unreadable")]
    Codec(#[from] CodecError),
}

/// Reason that a read or write of an open store failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// RocksDB failed.
    #[error("database failure")]
    Database(#[from] rocksdb::Error),
    /// A record cannot be decoded.
    #[error("unreadable record")]
    Codec(#[from] CodecError),
    /// A file operation failed.
    #[error("file operation failed")]
    Io(#[from] io::Error),
    /// A column family that every store has is missing.
    #[error("column family '{0}' is missing")]
    NoTable(&'static str),
    /// A newer release has written an entry of the log.
    #[error(
        "log entry {index} needs feature level {found}, and this release knows levels up to {known}: \
         start a release that knows level {found}"
    )]
    NewerEntry {
        index: u64,
        /// Level that it needs.
        found: Level,
        /// Highest level that this program knows.
        known: Level,
    },
    /// The state is of a cluster with a newer level.
    #[error(
        "the cluster has feature level {found}, and this release knows levels up to {known}: \
         start a release that knows level {found}"
    )]
    NewerState {
        /// Level of the cluster.
        found: Level,
        /// Highest level that this program knows.
        known: Level,
    },
    /// The log has a gap.
    #[error("log entry {0} is missing")]
    NoEntry(u64),
    /// A truncation would drop committed entries.
    #[error(
        "the log was to be cut from entry {from} on, but is committed up to entry {committed} here: \
         the leader is not of this cluster's history, and nothing was cut"
    )]
    CutsCommitted {
        /// First entry that would be dropped.
        from: u64,
        /// Last entry that is committed or applied.
        committed: u64,
    },
    /// Entries to apply do not follow the applied ones.
    #[error("entry {found} of term {term} was to be applied after entry {applied}")]
    ApplyOrder {
        /// Last applied entry.
        applied: u64,
        /// Entry that was to follow.
        found: u64,
        /// Term of that entry.
        term: u64,
    },
    /// An earlier failure has made the store unusable.
    #[error("the store has failed before: {0}")]
    Failed(String),
    /// A second cluster id for a directory that has one.
    #[error("this node belongs to cluster {current}, not to cluster {asked}")]
    ClusterIdSet {
        /// Cluster of this master.
        current: ClusterId,
        /// Cluster that the caller named.
        asked: ClusterId,
    },
    /// A snapshot does not match its description.
    #[error("the snapshot does not hold what its description says")]
    SnapshotMismatch,
    /// A database cannot be opened.
    #[error("a snapshot cannot be opened")]
    Open(#[source] Box<OpenError>),
    /// Work on another thread ended without an answer.
    #[error("storage thread ended early")]
    ThreadEnded,
}

impl From<OpenError> for StorageError {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> Self {
        Self::other(error)
    }
}

/// Reason that a master could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// An entry of the log cannot be applied.
    #[error("cannot apply the log")]
    Apply(#[from] StorageError),
    /// A member's address is unusable.
    #[error("initial_cluster: {0}")]
    Address(#[from] InvalidAddress),
    /// The timing is invalid for Raft.
    #[error("raft: {0}")]
    Config(String),
    /// Raft could not start or bootstrap.
    #[error("cannot start replication: {0}")]
    Raft(String),
}
