//! The Raft log: its end in memory, all of it in RocksDB, synced by one thread for everybody.
//!
//! **Invariant:** nothing is reported as stored before it is synced. Only the flusher writes.

mod disk;
mod entries;
mod flusher;
mod group;
mod reading;
mod shared;
mod tail;
#[cfg(test)]
mod tests;
mod volume;

use std::fmt;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use cluster_state::{ClusterId, LogIndex};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use tokio::sync::oneshot;

use self::disk::Disk;
pub(crate) use self::disk::{Held, put_identity};
use self::entries::entry_bytes;
use self::flusher::Flusher;
use self::group::Op;
use self::shared::Shared;
pub use self::shared::{LogStats, SyncObserver, Synced};
use self::tail::Tail;
#[cfg(test)]
pub(crate) use self::volume::Block;
pub(crate) use self::volume::Volume;
use crate::calls::Calls;
use crate::error::StorageError;
use crate::guard::Guard;
use crate::identity::{DirectoryLock, Identity, KnownIdentity};
use crate::types::{Entry, LogId, TypeConfig, Vote, next_index};

/// Bounds of the log store, and the pace of its guard.
#[derive(Clone)]
pub struct LogOptions {
    /// Bytes of entries kept in memory; unsynced entries are always kept.
    pub cache_bytes_max: usize,
    /// Number of synced entries after which the guard is written, if it was not written before for
    /// another reason.
    pub guard_entries: u64,
    /// Time after which the guard is written.
    pub guard_interval: Duration,
    /// Observer of syncs, for metrics.
    pub observer: Option<SyncObserver>,
}

impl Default for LogOptions {
    /// 32 MiB hold some seconds of full load, more than a healthy follower lags behind. A lost log
    /// could lose unnoticed what the guard does not cover yet, so the guard follows within a
    /// second.
    fn default() -> Self {
        Self {
            cache_bytes_max: 32 << 20,
            guard_entries: 4096,
            guard_interval: Duration::from_secs(1),
            observer: None,
        }
    }
}

impl Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions")
            .field("cache_bytes_max", &self.cache_bytes_max)
            .field("guard_entries", &self.guard_entries)
            .field("guard_interval", &self.guard_interval)
            .finish_non_exhaustive()
    }
}

/// Progress of the state: the log is cut only beyond the applied index, and purged only below the
/// index that is surely on disk.
pub(crate) trait StateDurability: Send + Sync {
    /// Returns the last applied entry.
    fn applied_index(&self) -> Option<LogIndex>;

    /// Returns the last applied entry that would survive a crash.
    fn durable_index(&self) -> Option<LogIndex>;

    /// Makes everything that is applied durable.
    fn flush(&self) -> Result<(), StorageError>;
}

/// The log as openraft uses it; clones share it. Dropping the last one syncs and closes it.
#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    disk: Arc<Disk>,
    state: Arc<dyn StateDurability>,
    /// Bounded by [`Shared::admit`], which makes callers wait; absent only while dropped.
    ops: Option<Sender<Op>>,
    flusher: Option<JoinHandle<()>>,
    /// Released after RocksDB is closed.
    _lock: Arc<DirectoryLock>,
}

/// Parts that the log store shares with the rest of the node's storage.
pub(crate) struct Links {
    pub(crate) state: Arc<dyn StateDurability>,
    pub(crate) identity: KnownIdentity,
    pub(crate) calls: Calls,
    pub(crate) lock: Arc<DirectoryLock>,
}

impl Drop for Inner {
    /// Waits for the flusher: RocksDB must be closed before the process's static destructors run.
    fn drop(&mut self) {
        drop(self.ops.take());
        if let Some(flusher) = self.flusher.take()
            && flusher.join().is_err()
        {
            self.shared.calls.fatal().raise("the log flusher panicked");
        }
    }
}

impl Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore").finish_non_exhaustive()
    }
}

impl LogStore {
    pub(crate) fn start(
        database: rocksdb::DB,
        held: Held,
        guard: Guard,
        links: Links,
        options: LogOptions,
    ) -> Result<Self, StorageError> {
        let Links { state, identity, calls, lock } = links;
        let disk = Arc::new(Disk::new(database));
        let tail = Tail::new(&held, options.cache_bytes_max);
        let volume = disk.volume(&held)?;
        let shared = Arc::new(Shared::new(tail, volume, identity, calls));
        let (ops, queue) = mpsc::channel();
        let flusher = Flusher::new(
            Arc::clone(&disk),
            Arc::clone(&shared),
            held,
            guard,
            Arc::clone(&state),
            options,
        );
        let flusher = std::thread::Builder::new()
            .name("log-flusher".to_owned())
            .spawn(move || flusher.run(&queue))?;
        let (ops, flusher) = (Some(ops), Some(flusher));
        Ok(Self(Arc::new(Inner { shared, disk, state, ops, flusher, _lock: lock })))
    }

    /// Returns the last entry, or the last purged one when there is none after it.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.0.shared.log_state().last_log_id
    }

    /// Returns the age of the current write and sync; zero when there is none.
    #[must_use]
    pub fn fsync_age(&self) -> Duration {
        self.0.shared.fsync_age()
    }

    /// Returns counters since the start.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.0.shared.stats()
    }

    /// Returns the bytes of the entries on disk, before compression.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.shared.volume().bytes()
    }

    /// Inspects the sizes of the entries. The log is not written in the meantime.
    pub(crate) fn with_volume<T>(&self, look: impl FnOnce(&Volume) -> T) -> T {
        look(&self.0.shared.volume())
    }

    /// Returns the owner of the log.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0.shared.identity.get()
    }

    /// Records, durably, to which cluster this node belongs. It never changes afterwards.
    ///
    /// # Errors
    ///
    /// If the node belongs to another cluster, or storage fails.
    pub async fn set_cluster_id(&self, cluster: ClusterId) -> Result<(), StorageError> {
        let identity = self.identity();
        match identity.cluster {
            Some(current) if current == cluster => Ok(()),
            Some(current) => Err(StorageError::ClusterIdSet { current, asked: cluster }),
            None => {
                let identity = Identity { cluster: Some(cluster), ..identity };
                let (done, synced) = oneshot::channel();
                self.hand_over_and_wait(Op::Identity { identity, done }, synced).await
            }
        }
    }

    /// Passes an operation to the flusher, after waiting for room if much is pending.
    async fn hand_over(&self, bytes: usize, op: Op) -> Result<(), StorageError> {
        self.0.shared.check()?;
        self.0.shared.admit(bytes).await?;
        self.send(op)
    }

    /// Passes an operation to the flusher, and waits until it is synced.
    async fn hand_over_and_wait(
        &self,
        op: Op,
        synced: oneshot::Receiver<Result<(), StorageError>>,
    ) -> Result<(), StorageError> {
        self.hand_over(0, op).await?;
        synced.await.map_err(|_| StorageError::ThreadEnded)?
    }

    async fn append_entries(
        &self,
        entries: Vec<Entry>,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), StorageError> {
        let bytes = entries.iter().map(entry_bytes).sum();
        self.0.shared.check()?;
        self.0.shared.admit(bytes).await?;
        let era = self.0.shared.append(&entries)?;
        self.send(Op::Append { entries, era, bytes, callback })
    }

    /// Drops the entries after `last`, durably: openraft may switch to a snapshot next, which must
    /// not reach the disk before. Entries that are applied or committed here are never dropped: a
    /// leader that demands it is not of this cluster's history.
    async fn truncate(&self, last: Option<LogId>) -> Result<(), StorageError> {
        self.0.shared.check()?;
        let from = next_index(last);
        if let Some(applied) = self.0.state.applied_index().filter(|applied| applied.0 >= from) {
            return Err(StorageError::CutsCommitted { from, committed: applied.0 });
        }
        self.0.shared.truncate_after(last)?;
        let (done, synced) = oneshot::channel();
        self.hand_over_and_wait(Op::Truncate { after: last, done }, synced).await
    }

    /// Ends the node for an error: openraft stops at each, and a master without it is useless.
    fn fail(&self, error: StorageError) -> io::Error {
        self.0.shared.calls.fail(&error);
        error.into()
    }

    fn send(&self, op: Op) -> Result<(), StorageError> {
        let ops = self.0.ops.as_ref().ok_or(StorageError::ThreadEnded)?;
        ops.send(op).map_err(|_| StorageError::ThreadEnded)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        Ok(self.0.shared.log_state())
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, synced) = oneshot::channel();
        let saved = self.hand_over_and_wait(Op::Vote { vote: *vote, done }, synced).await;
        saved.map_err(|error| self.fail(error))
    }

    /// Written together with the next write: it saves time at the next start, and no promise
    /// depends on it.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.0.shared.set_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.0.shared.committed())
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().collect();
        let appended = self.append_entries(entries, callback).await;
        appended.map_err(|error| self.fail(error))
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let truncated = self.truncate(last).await;
        truncated.map_err(|error| self.fail(error))
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.0.shared.purge(upto);
        let purged = self.hand_over(0, Op::Purge { upto }).await;
        purged.map_err(|error| self.fail(error))
    }
}
