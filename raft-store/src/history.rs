//! Reads finished tasks, which are on disk only.

use std::sync::Arc;

use cluster_state::{Task, TaskId, Timestamp};
use proto::limits::{BATCH_BYTES, ByteBudget};
use rocksdb::{DB, Direction, IteratorMode, ReadOptions};

use crate::codec;
use crate::error::StorageError;
use crate::keys::{FinishKey, NumberKey, Table};
use crate::rocks;

/// Returns the record of a finished task.
pub(crate) fn task(database: &DB, id: TaskId) -> Result<Option<Arc<Task>>, StorageError> {
    let history = rocks::table(database, Table::History.name())?;
    let record = database.get_pinned_cf(history, id.key())?;
    Ok(record.map(|bytes| codec::decode(&bytes)).transpose()?)
}

/// Some of the finished tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedTasks {
    /// Newest first.
    pub tasks: Vec<Arc<Task>>,
    /// True if there are none below them.
    pub is_complete: bool,
}

/// Returns up to `limit` finished tasks with ids below `cursor`, newest first, and no more of them
/// than one answer holds.
pub(crate) fn tasks_below(
    database: &DB,
    cursor: Option<TaskId>,
    limit: usize,
) -> Result<FinishedTasks, StorageError> {
    let history = rocks::table(database, Table::History.name())?;
    let mut options = ReadOptions::default();
    if let Some(cursor) = cursor {
        options.set_iterate_upper_bound(cursor.key());
    }
    let mut budget = ByteBudget::new(BATCH_BYTES);
    let mut tasks = Vec::new();
    for row in database.iterator_cf_opt(history, options, IteratorMode::End) {
        let (_, record) = row?;
        if tasks.len() == limit || !budget.admits(record.len()) {
            return Ok(FinishedTasks { tasks, is_complete: false });
        }
        tasks.push(codec::decode(&record)?);
    }
    Ok(FinishedTasks { tasks, is_complete: true })
}

/// Returns up to `limit` tasks that finished before `before`, in the order in which they finished.
pub(crate) fn finished_before(
    database: &DB,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<TaskId>, StorageError> {
    let by_finish = rocks::table(database, Table::HistoryByFinish.name())?;
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(FinishKey { at: before, task: TaskId(0) }.key());
    let start = FinishKey { at: Timestamp(0), task: TaskId(0) }.key();
    let mode = IteratorMode::From(&start, Direction::Forward);
    let rows = database.iterator_cf_opt(by_finish, options, mode).take(limit);
    rows.map(|row| Ok(FinishKey::from_key(&row?.0)?.task)).collect()
}

/// Estimates the number of finished tasks.
pub(crate) fn len_estimate(database: &DB) -> Result<u64, StorageError> {
    let history = rocks::table(database, Table::History.name())?;
    let keys = database.property_int_value_cf(history, "rocksdb.estimate-num-keys")?;
    Ok(keys.unwrap_or(0))
}
