//! The Raft log: in memory at its end, in RocksDB as a whole, synced by one thread for all.
//!
//! **Invariant:** nothing is reported as stored before it is synced. Only the flusher writes.

mod disk;
mod flusher;
mod shared;
mod tail;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use cluster_state::{ClusterId, LogIndex};
use futures_util::{Stream, StreamExt, stream};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use self::disk::Disk;
pub(crate) use self::disk::{Held, put_identity};
use self::flusher::{Flusher, Op};
pub use self::shared::{LogStats, SyncObserver, Synced};
use self::shared::{Plan, Shared};
use self::tail::{Tail, entry_bytes};
use crate::error::StorageError;
use crate::fatal::Fatal;
use crate::guard::Guard;
use crate::identity::{DirectoryLock, Identity, KnownIdentity};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Entries handed to one replication request, in bytes: large enough to fill a fast link, small
/// enough that a slow one does not hold up what follows.
const REPLICATION_BYTES_MAX: usize = 2 << 20;

/// Entries read at a time for applying, in bytes.
const APPLY_BYTES_MAX: usize = 4 << 20;

/// How much the log store may keep, and how often it writes its guard.
#[derive(Clone)]
pub struct LogOptions {
    /// Bytes of entries kept in memory; what is not yet synced is kept in any case.
    pub cache_bytes_max: usize,
    /// Synced entries after which the guard is written, if not for another reason before.
    pub guard_entries: u64,
    /// Time after which it is written.
    pub guard_interval: Duration,
    /// Told of each sync, for metrics.
    pub observer: Option<SyncObserver>,
}

impl Default for LogOptions {
    /// 32 MiB hold some seconds of full load, more than a healthy follower lags behind. What the
    /// guard does not cover yet a lost log could lose unseen, so it follows within a second.
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

/// What the state has on disk for sure: the log is purged only below it.
pub(crate) trait StateDurability: Send + Sync {
    /// The last applied entry that would survive a crash.
    fn durable_index(&self) -> Option<LogIndex>;

    /// Makes all that is applied durable.
    fn flush(&self) -> Result<(), StorageError>;
}

/// The log as openraft uses it; clones share it. The last one to be dropped syncs and closes it.
#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    disk: Arc<Disk>,
    /// Bounded by [`Shared::admit`], which makes callers wait; empty only while dropped.
    ops: Option<Sender<Op>>,
    flusher: Option<JoinHandle<()>>,
    /// Released after RocksDB is closed.
    _lock: Arc<DirectoryLock>,
}

/// What the log store shares with the rest of the node's storage.
pub(crate) struct Links {
    pub(crate) state: Arc<dyn StateDurability>,
    pub(crate) identity: KnownIdentity,
    pub(crate) fatal: Fatal,
    pub(crate) lock: Arc<DirectoryLock>,
}

impl Drop for Inner {
    /// Waits for the flusher: RocksDB must be closed before the process's static destructors run.
    fn drop(&mut self) {
        drop(self.ops.take());
        if let Some(flusher) = self.flusher.take()
            && flusher.join().is_err()
        {
            self.shared.fatal.raise("the log flusher panicked");
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
        let Links { state, identity, fatal, lock } = links;
        let disk = Arc::new(Disk::new(database));
        let tail = Tail::new(&held, options.cache_bytes_max);
        let shared = Arc::new(Shared::new(tail, identity, fatal));
        let (ops, queue) = mpsc::channel();
        let flusher =
            Flusher::new(Arc::clone(&disk), Arc::clone(&shared), held, guard, state, options);
        let flusher = std::thread::Builder::new()
            .name("log-flusher".to_owned())
            .spawn(move || flusher.run(&queue))?;
        let (ops, flusher) = (Some(ops), Some(flusher));
        Ok(Self(Arc::new(Inner { shared, disk, ops, flusher, _lock: lock })))
    }

    /// How long the write and sync under way has taken; zero when there is none.
    #[must_use]
    pub fn fsync_age(&self) -> Duration {
        self.0.shared.fsync_age()
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.0.shared.stats()
    }

    /// Whose log it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.0.shared.identity.get()
    }

    /// Remembers, durably, to which cluster this node belongs. It never changes afterwards.
    ///
    /// # Errors
    /// If the node belongs to another cluster, or storage fails.
    pub async fn set_cluster_id(&self, cluster: ClusterId) -> Result<(), StorageError> {
        let identity = self.identity();
        match identity.cluster {
            Some(current) if current == cluster => Ok(()),
            Some(current) => Err(StorageError::ClusterIdSet { current, asked: cluster }),
            None => {
                let identity = Identity { cluster: Some(cluster), ..identity };
                let (done, synced) = oneshot::channel();
                self.hand_over(0, Op::Identity { identity, done }).await?;
                synced.await.map_err(|_| StorageError::ThreadEnded)?
            }
        }
    }

    /// Gives an operation to the flusher, after waiting for room if much is under way.
    async fn hand_over(&self, bytes: usize, op: Op) -> Result<(), StorageError> {
        self.0.shared.check()?;
        self.0.shared.admit(bytes).await?;
        self.send(op)
    }

    fn send(&self, op: Op) -> Result<(), StorageError> {
        let ops = self.0.ops.as_ref().ok_or(StorageError::ThreadEnded)?;
        ops.send(op).map_err(|_| StorageError::ThreadEnded)
    }

    /// Reads `start..end`, and stops early once `bytes_max` are reached.
    async fn read(
        &self,
        start: u64,
        end: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        let mut next = start;
        while bytes < bytes_max {
            let mut part = match self.0.shared.plan(next, end, bytes_max - bytes) {
                Plan::Nothing => break,
                Plan::Cached(part) => part,
                Plan::Stored { from, to } => {
                    let disk = Arc::clone(&self.0.disk);
                    let limit = bytes_max - bytes;
                    let read = tokio::task::spawn_blocking(move || disk.read(from, to, limit));
                    let part = read.await.map_err(|_| StorageError::ThreadEnded)??;
                    if part.first().is_none_or(|entry| entry.log_id.index != from) {
                        // Purged between the look at the cache and the read, or lost.
                        if self.0.shared.is_purged(from) && entries.is_empty() {
                            continue;
                        }
                        return Err(StorageError::NoEntry(from));
                    }
                    part
                }
            };
            bytes += part.iter().map(entry_bytes).sum::<usize>();
            next = part.last().map_or(end, |last| last.log_id.index.saturating_add(1));
            if entries.is_empty() {
                entries = part;
            } else {
                entries.append(&mut part);
            }
        }
        Ok(entries)
    }
}

/// The half-open range of indexes that `range` names.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = bounds(&range);
        Ok(self.read(start, end, usize::MAX).await?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.0.shared.vote())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.read(start, end, REPLICATION_BYTES_MAX).await?)
    }

    /// In parts, so that a node far behind does not hold its whole log in memory to apply it.
    async fn entries_stream<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend {
        let (start, end) = bounds(&range);
        let parts = stream::unfold((self.clone(), start), move |(log, next)| async move {
            if next >= end {
                return None;
            }
            let (part, next) = match log.read(next, end, APPLY_BYTES_MAX).await {
                Ok(part) => {
                    let next = part.last()?.log_id.index.saturating_add(1);
                    (part.into_iter().map(Ok).collect::<Vec<_>>(), next)
                }
                Err(error) => (vec![Err(error.into())], end),
            };
            Some((stream::iter(part), (log, next)))
        });
        Box::pin(parts.flatten())
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
        self.hand_over(0, Op::Vote { vote: *vote, done }).await?;
        Ok(synced.await.map_err(|_| StorageError::ThreadEnded)??)
    }

    /// Written with whatever is written next: it saves time at the next start, and no promise
    /// rests on it.
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
        let entries = entries.into_iter().collect::<Vec<_>>();
        let bytes = entries.iter().map(entry_bytes).sum();
        self.0.shared.check()?;
        self.0.shared.admit(bytes).await?;
        let era = self.0.shared.append(&entries)?;
        Ok(self.send(Op::Append { entries, era, bytes, callback })?)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        self.0.shared.truncate_after(last);
        Ok(self.hand_over(0, Op::Truncate { after: last }).await?)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.0.shared.purge(upto);
        Ok(self.hand_over(0, Op::Purge { upto }).await?)
    }
}
