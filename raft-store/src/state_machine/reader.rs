//! Reads the applied state: the live part from memory, finished tasks from disk.

use std::sync::Arc;

use cluster_state::{Fnv1a, Level, MasterId, State, Task, TaskId, Timestamp};
use rocksdb::DB;
use tokio::sync::{broadcast, watch};

use super::checkpoint;
use super::feed::Published;
use super::shared::Shared;
use crate::calls::Call;
use crate::codec::{self, CodecError};
use crate::error::StorageError;
use crate::history::{self, FinishedTasks};
use crate::snapshot::SnapshotData;
use crate::types::AppliedAt;

/// A view of the applied state; clones share it.
#[derive(Debug, Clone)]
pub struct StateReader {
    shared: Arc<Shared>,
}

impl StateReader {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the feature level of the cluster, as far as this master has applied the log. Waits
    /// for nothing.
    #[must_use]
    pub fn level(&self) -> Level {
        self.shared.level()
    }

    /// Returns true if a master of that name was a member, and has left, as far as this master remembers
    /// since its start.
    #[must_use]
    pub fn has_left(&self, name: MasterId) -> bool {
        self.shared.has_left(name)
    }

    /// Reads the live state. Applying waits in the meantime, so `read` should copy what it needs
    /// and return.
    ///
    /// # Panics
    ///
    /// If `read` reads the state again.
    pub fn with<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        self.shared.with_memory(|memory| read(&memory.state))
    }

    /// Reads the live state like [`Self::with`], together with its position.
    ///
    /// # Panics
    ///
    /// If `read` reads the state again.
    pub fn with_applied<T>(&self, read: impl FnOnce(&State, AppliedAt) -> T) -> T {
        self.shared.with_memory(|memory| read(&memory.state, memory.applied))
    }

    /// Computes a digest of the live state, as a cluster of its level stores it, with the position of
    /// that state: at one position all masters have the same. Applying waits in the meantime.
    ///
    /// # Errors
    ///
    /// If a record has no encoding of that level.
    pub fn digest(&self) -> Result<(AppliedAt, u64), CodecError> {
        self.with_applied(|state, applied| {
            let mut digest = Fnv1a::default();
            let mut encoded = Vec::new();
            for record in state.records() {
                encoded.clear();
                codec::encode_record(&record, state.meta().level, &mut encoded)?;
                digest.write(encoded.len().to_le_bytes());
                digest.write(encoded.iter().copied());
            }
            Ok((applied, digest.finish()))
        })
    }

    /// Returns the position up to which the log is applied. A later read of the state sees at least
    /// that.
    #[must_use]
    pub fn applied(&self) -> AppliedAt {
        *self.shared.applied.borrow()
    }

    /// Watches the position of [`Self::applied`].
    #[must_use]
    pub fn watch_applied(&self) -> watch::Receiver<AppliedAt> {
        self.shared.applied.subscribe()
    }

    /// Subscribes to entries that are applied from now on. A subscriber that lags is told how much
    /// it has missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Published> {
        self.shared.feed.subscribe()
    }

    /// Returns a task, live or finished.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub async fn task(&self, id: TaskId) -> Result<Option<Arc<Task>>, StorageError> {
        let live = || self.with(|state| state.task(id).cloned());
        if let Some(task) = live() {
            return Ok(Some(task));
        }
        let finished = self.finished_task(id).await?;
        // It may have been retried in between.
        Ok(finished.or_else(live))
    }

    /// Returns a finished task.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub async fn finished_task(&self, id: TaskId) -> Result<Option<Arc<Task>>, StorageError> {
        let fresh = self.shared.with_memory(|memory| memory.finished.get(&id).cloned());
        if fresh.is_some() {
            return Ok(fresh);
        }
        self.read_disk(move |database| history::task(database, id)).await
    }

    /// Returns up to `limit` finished tasks with ids below `cursor`, newest first, and fewer if
    /// they are large. A caller that has read the live tasks before misses none that finishes in
    /// between.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub async fn finished_tasks_below(
        &self,
        cursor: Option<TaskId>,
        limit: usize,
    ) -> Result<FinishedTasks, StorageError> {
        let fresh = self.shared.with_memory(|memory| {
            let below = memory.finished.values().rev();
            let below = below.filter(|task| cursor.is_none_or(|cursor| task.id < cursor));
            // One more than requested shows that there are more.
            below.take(limit.saturating_add(1)).cloned().collect::<Vec<_>>()
        });
        let FinishedTasks { mut tasks, is_complete } =
            self.read_disk(move |database| history::tasks_below(database, cursor, limit)).await?;
        // Below the tasks read from disk there may be more that are older than the recent ones.
        let end = tasks.last().map(|task| task.id).filter(|_| !is_complete);
        tasks.extend(fresh.into_iter().filter(|task| end.is_none_or(|end| task.id > end)));
        tasks.sort_unstable_by_key(|task| std::cmp::Reverse(task.id));
        tasks.dedup_by_key(|task| task.id);
        let is_complete = is_complete && tasks.len() <= limit;
        tasks.truncate(limit);
        Ok(FinishedTasks { tasks, is_complete })
    }

    /// Returns up to `limit` tasks that finished before `before`, for retention.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub async fn expired_history(
        &self,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskId>, StorageError> {
        self.read_disk(move |database| history::finished_before(database, before, limit)).await
    }

    /// Estimates the number of finished tasks on disk.
    ///
    /// # Errors
    ///
    /// If the disk cannot be read.
    pub async fn history_len_estimate(&self) -> Result<u64, StorageError> {
        self.read_disk(history::len_estimate).await
    }

    /// Takes a checkpoint of the state for its own sake: Raft does not hear of it.
    pub(crate) async fn checkpoint(&self) -> Result<SnapshotData, StorageError> {
        let shared = Arc::clone(&self.shared);
        let take = move || checkpoint::take(&shared);
        self.shared.calls.run_blocking(Call::SnapshotTake, take).await
    }

    async fn read_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce(&DB) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let database = self.shared.database();
        let read = move || read(database.database());
        self.shared.calls.run_blocking(Call::HistoryRead, read).await
    }
}
