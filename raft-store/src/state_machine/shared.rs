//! State that the state machine, its readers and the snapshots share.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use cluster_state::{Change, Key, Level, LogIndex, MasterId, Record, State, Task, TaskId};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use tokio::sync::{broadcast, watch};

use super::feed::{AppliedBatch, FEED_BATCHES_MAX, Published};
use crate::calls::{Call, Calls};
use crate::error::StorageError;
use crate::identity::DirectoryLock;
use crate::log_store::StateDurability;
use crate::member_news::{Departures, MemberNews};
use crate::rocks;
use crate::snapshot::Snapshots;
use crate::state_db::{Restored, StateDb};
use crate::types::{AppliedAt, LogId, next_index};

/// The state and its position, which change with each applied entry.
pub(super) struct Memory {
    pub(super) state: State,
    /// Position of `state`.
    pub(super) applied: AppliedAt,
    /// Tasks that the last batch finished: they have left `state` and may not have reached RocksDB.
    /// A reader who looks here in between finds each finished task in one of the two.
    pub(super) finished: BTreeMap<TaskId, Arc<Task>>,
    pub(super) database: Arc<StateDb>,
}

impl Memory {
    /// Records that all entries up to `last` are applied.
    pub(super) fn on_applied(&mut self, last: LogId) {
        let applied = AppliedAt::from(Some(last));
        assert!(
            self.applied == AppliedAt::default() || self.applied < applied,
            "the applied index only grows: {applied:?} follows {:?}",
            self.applied
        );
        self.applied = applied;
    }

    pub(super) fn keep_finished(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(Record::Task(task)) if task.state.is_terminal() => {
                    self.finished.insert(task.id, Arc::clone(task));
                }
                // It may have ended in the same batch.
                Change::Put(Record::Task(task)) if task.retries() > 0 => {
                    self.finished.remove(&task.id);
                }
                Change::Delete(Key::Task(id)) => {
                    self.finished.remove(id);
                }
                Change::Put(_) | Change::Delete(_) => {}
            }
        }
    }
}

thread_local! {
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

pub(crate) struct Shared {
    memory: RwLock<Memory>,
    /// Position that is applied and stored; never ahead of what a reader of `memory` sees.
    pub(super) applied: watch::Sender<AppliedAt>,
    pub(super) feed: broadcast::Sender<Published>,
    left: Mutex<Departures>,
    /// Level of the cluster, for those who cannot wait for `memory`.
    level: AtomicU8,
    /// Next index to be stored.
    stored: AtomicU64,
    /// Next index to be made durable.
    durable: AtomicU64,
    root: PathBuf,
    pub(crate) snapshots: Snapshots,
    pub(crate) calls: Calls,
    /// Released after RocksDB is closed.
    _lock: Arc<DirectoryLock>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        root: PathBuf,
        database: Arc<StateDb>,
        restored: Restored,
        calls: Calls,
        lock: Arc<DirectoryLock>,
    ) -> Self {
        let applied = AppliedAt::from(restored.applied);
        let next = next_index(restored.applied);
        let finished = BTreeMap::new();
        let level = AtomicU8::new(restored.state.meta().level.0);
        let memory = Memory { state: restored.state, applied, finished, database };
        Self {
            memory: RwLock::new(memory),
            applied: watch::Sender::new(applied),
            feed: broadcast::Sender::new(FEED_BATCHES_MAX),
            left: Mutex::default(),
            level,
            stored: AtomicU64::new(next),
            durable: AtomicU64::new(next),
            root,
            snapshots: Snapshots::default(),
            calls,
            _lock: lock,
        }
    }

    /// Returns the directory of the state's databases and snapshots.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the database in use.
    pub(crate) fn database(&self) -> Arc<StateDb> {
        self.with_memory(|memory| Arc::clone(&memory.database))
    }

    /// Returns the feature level of the cluster, as far as this master has applied the log.
    pub(super) fn level(&self) -> Level {
        Level(self.level.load(Ordering::Acquire))
    }

    /// Notes the level that the state has now.
    pub(super) fn on_level(&self, level: Level) {
        let before = self.level.swap(level.0, Ordering::AcqRel);
        assert!(before <= level.0, "the level never falls: {level} follows {before}");
    }

    /// Reads the memory, which must not be read again from within: if applying begins to wait in
    /// between, it waits for the first read, and the second waits for it.
    pub(super) fn with_memory<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        assert!(!IS_READING.replace(true), "the state is read within a read of the state");
        let seen = read(&self.memory.read());
        IS_READING.set(false);
        seen
    }

    /// Takes the lock for applying a batch of entries.
    pub(super) fn begin(&self) -> RwLockWriteGuard<'_, Memory> {
        let mut memory = self.memory.write();
        // The batch before has been stored in the meantime.
        memory.finished.clear();
        memory
    }

    /// Records who has left or come, before anybody is told that the change is done.
    pub(super) fn on_members(&self, news: &[MemberNews]) {
        let mut left = self.left.lock();
        news.iter().for_each(|news| left.on_news(news));
    }

    /// Returns true if a master of that name has left since this process began to apply the log.
    pub(super) fn has_left(&self, name: MasterId) -> bool {
        self.left.lock().contains(name)
    }

    pub(super) fn on_stored(&self, last: LogId) {
        let before = self.stored.swap(next_index(Some(last)), Ordering::AcqRel);
        assert!(
            before <= last.index,
            "the stored index only grows: entry {} follows entry {before} and those before it",
            last.index
        );
        self.applied.send_replace(AppliedAt::from(Some(last)));
    }

    /// Publishes a batch to watchers, if there are any.
    pub(super) fn publish(
        &self,
        (first, last): (LogId, LogId),
        changes: Vec<(LogIndex, Change)>,
        members: Vec<(LogIndex, MemberNews)>,
    ) {
        if self.feed.receiver_count() == 0 {
            return;
        }
        let (index_from, index_to) = (LogIndex(first.index), LogIndex(last.index));
        let batch = AppliedBatch { index_from, index_to, changes, members };
        // Fails when the last subscriber has just left.
        self.feed.send(Published::Applied(Arc::new(batch))).ok();
    }

    /// Replaces the state by that of an installed snapshot, which is durable, and returns the old
    /// one: dropping a million tasks takes time, and nobody should wait for it.
    pub(super) fn replace(&self, database: Arc<StateDb>, restored: Restored) -> State {
        let applied = AppliedAt::from(restored.applied);
        let next = next_index(restored.applied);
        self.on_level(restored.state.meta().level);
        let old = {
            let mut memory = self.memory.write();
            memory.applied = applied;
            memory.finished.clear();
            memory.database = database;
            std::mem::replace(&mut memory.state, restored.state)
        };
        self.stored.store(next, Ordering::Release);
        self.on_durable(restored.applied);
        self.applied.send_replace(applied);
        self.feed.send(Published::Installed(applied)).ok();
        old
    }

    /// Records that everything up to `applied` would survive a crash.
    pub(crate) fn on_durable(&self, applied: Option<LogId>) {
        self.durable.fetch_max(next_index(applied), Ordering::AcqRel);
    }
}

impl StateDurability for Shared {
    fn applied_index(&self) -> Option<LogIndex> {
        self.stored.load(Ordering::Acquire).checked_sub(1).map(LogIndex)
    }

    fn durable_index(&self) -> Option<LogIndex> {
        self.durable.load(Ordering::Acquire).checked_sub(1).map(LogIndex)
    }

    fn flush(&self) -> Result<(), StorageError> {
        // Read before the flush begins: entries that are stored while it runs need not be part of
        // it.
        let stored = self.stored.load(Ordering::Acquire);
        if self.durable.load(Ordering::Acquire) >= stored {
            return Ok(());
        }
        let database = self.database();
        self.calls.run(Call::StateFlush, || rocks::flush_state(database.database()))?;
        self.durable.fetch_max(stored, Ordering::AcqRel);
        Ok(())
    }
}
