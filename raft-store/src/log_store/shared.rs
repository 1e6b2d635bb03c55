//! State that the log store's users and its flusher share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openraft::LogState;
use parking_lot::{Mutex, MutexGuard};
use proto::limits::ByteBudget;
use tokio::sync::Semaphore;

use super::entries::Part;
use super::tail::{Era, Tail};
use super::volume::Volume;
use crate::calls::Calls;
use crate::error::StorageError;
use crate::identity::KnownIdentity;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Entries handed over and not yet synced, in KiB: at 64 MiB a caller waits for the disk.
const UNSYNCED_KIB_MAX: u32 = 64 << 10;

/// One sync of the log.
#[derive(Debug, Clone, Copy)]
pub struct Synced {
    /// Duration of the write and sync.
    pub duration: Duration,
    /// Number of entries that it made durable.
    pub entries: u64,
}

/// Called by the flusher after each sync.
pub type SyncObserver = Arc<dyn Fn(Synced) + Send + Sync>;

/// Counters of the log store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Number of syncs.
    pub syncs: u64,
    /// Number of entries that they made durable: divided by the syncs it is the size of a group
    /// commit.
    pub entries: u64,
    /// Time spent in syncs.
    pub sync_time: Duration,
    /// Duration of the last sync.
    pub last_sync: Duration,
}

/// Sources of a range of entries.
#[derive(Debug)]
pub(super) enum Plan {
    /// The log has none of them.
    Nothing,
    /// The entries `from..to` were in memory.
    Cached { from: u64, to: u64, part: Part },
    /// The entries `from..to` are in RocksDB only.
    Stored { from: u64, to: u64 },
}

pub(super) struct Shared {
    tail: Mutex<Tail>,
    /// Sizes of the entries that are written, or about to be.
    volume: Mutex<Volume>,
    pub(super) identity: KnownIdentity,
    stats: Mutex<LogStats>,
    room: Semaphore,
    /// Begin of the current sync, in microseconds since `start` plus one; 0 when there is none.
    sync_began: AtomicU64,
    start: Instant,
    pub(super) calls: Calls,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Returns the permits for `bytes` that are not yet synced. Never more than there are, so that one
/// large append still fits.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(UNSYNCED_KIB_MAX)
}

impl Shared {
    pub(super) fn new(tail: Tail, volume: Volume, identity: KnownIdentity, calls: Calls) -> Self {
        Self {
            tail: Mutex::new(tail),
            volume: Mutex::new(volume),
            identity,
            stats: Mutex::default(),
            room: Semaphore::new(usize::try_from(UNSYNCED_KIB_MAX).unwrap_or(usize::MAX)),
            sync_began: AtomicU64::new(0),
            start: Instant::now(),
            calls,
        }
    }

    /// Refuses everything after a failure.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        self.calls.fatal().reason().map_or(Ok(()), |why| Err(StorageError::Failed(why.to_string())))
    }

    /// Waits until there is room; [`Self::release`] returns it.
    pub(super) async fn admit(&self, bytes: usize) -> Result<(), StorageError> {
        let room = self.room.acquire_many(permits(bytes)).await;
        room.map_err(|_| StorageError::ThreadEnded)?.forget();
        Ok(())
    }

    pub(super) fn release(&self, bytes: usize) {
        self.room.add_permits(usize::try_from(permits(bytes)).unwrap_or(0));
    }

    pub(super) fn append(&self, entries: &[Entry]) -> Result<Era, StorageError> {
        self.tail.lock().append(entries)
    }

    pub(super) fn truncate_after(&self, last: Option<LogId>) -> Result<(), StorageError> {
        self.tail.lock().truncate_after(last)
    }

    pub(super) fn purge(&self, upto: LogId) {
        self.tail.lock().purge(upto);
    }

    pub(super) fn volume(&self) -> MutexGuard<'_, Volume> {
        self.volume.lock()
    }

    pub(super) fn is_purged(&self, index: u64) -> bool {
        self.tail.lock().purged.is_some_and(|purged| index <= purged.index)
    }

    pub(super) fn on_written(&self, next: u64, era: Era) {
        self.tail.lock().on_written(next, era);
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        self.tail.lock().vote
    }

    pub(super) fn set_vote(&self, vote: Option<Vote>) {
        self.tail.lock().vote = vote;
    }

    pub(super) fn committed(&self) -> Option<LogId> {
        self.tail.lock().committed
    }

    pub(super) fn set_committed(&self, committed: Option<LogId>) {
        self.tail.lock().set_committed(committed);
    }

    pub(super) fn log_state(&self) -> LogState<TypeConfig> {
        let tail = self.tail.lock();
        LogState { last_purged_log_id: tail.purged, last_log_id: tail.last }
    }

    pub(super) fn plan(&self, start: u64, end: u64, budget: &mut ByteBudget) -> Plan {
        let tail = self.tail.lock();
        let (from, to) = tail.clamp(start, end);
        if from >= to {
            return Plan::Nothing;
        }
        if from < tail.first_cached() {
            return Plan::Stored { from, to: to.min(tail.first_cached()) };
        }
        Plan::Cached { from, to, part: tail.copy(from, to, budget) }
    }

    /// Runs a sync so that [`Self::fsync_age`] can see it.
    pub(super) fn watch_sync<T>(&self, sync: impl FnOnce() -> T) -> (T, Duration) {
        let began = Instant::now();
        let mark = began.duration_since(self.start).as_micros();
        let mark = u64::try_from(mark).unwrap_or(u64::MAX).saturating_add(1);
        self.sync_began.store(mark, Ordering::Release);
        let result = sync();
        self.sync_began.store(0, Ordering::Release);
        (result, began.elapsed())
    }

    pub(super) fn fsync_age(&self) -> Duration {
        match self.sync_began.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            mark => self.start.elapsed().saturating_sub(Duration::from_micros(mark)),
        }
    }

    pub(super) fn count_sync(&self, synced: Synced) {
        let mut stats = self.stats.lock();
        stats.syncs = stats.syncs.saturating_add(1);
        stats.entries = stats.entries.saturating_add(synced.entries);
        stats.sync_time = stats.sync_time.saturating_add(synced.duration);
        stats.last_sync = synced.duration;
    }

    pub(super) fn stats(&self) -> LogStats {
        *self.stats.lock()
    }
}
