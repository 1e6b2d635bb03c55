//! Turns changes into one write to RocksDB.

use std::collections::HashSet;

use cluster_state::{Change, LogIndex, Task, TaskId, Timestamp};
use rocksdb::{ColumnFamily, DB, WriteBatch};
use serde::Serialize;

use crate::codec;
use crate::error::StorageError;
use crate::keys::{FinishKey, NumberKey, StateRecord, Table};
use crate::rocks;
use crate::types::{LogId, StoredMembership};

/// Column families of the state instance.
pub(crate) struct Tables<'db> {
    pub(crate) records: &'db ColumnFamily,
    pub(crate) leaders: &'db ColumnFamily,
    pub(crate) workers: &'db ColumnFamily,
    pub(crate) tasks: &'db ColumnFamily,
    pub(crate) history: &'db ColumnFamily,
    pub(crate) history_by_finish: &'db ColumnFamily,
    pub(crate) idempotency: &'db ColumnFamily,
    pub(crate) departed: &'db ColumnFamily,
    pub(crate) tokens: &'db ColumnFamily,
}

impl<'db> Tables<'db> {
    pub(crate) fn of(database: &'db DB) -> Result<Self, StorageError> {
        let table = |table: Table| rocks::table(database, table.name());
        Ok(Self {
            records: table(Table::Records)?,
            leaders: table(Table::Leaders)?,
            workers: table(Table::Workers)?,
            tasks: table(Table::Tasks)?,
            history: table(Table::History)?,
            history_by_finish: table(Table::HistoryByFinish)?,
            idempotency: table(Table::Idempotency)?,
            departed: table(Table::Departed)?,
            tokens: table(Table::Tokens)?,
        })
    }
}

/// A write that grows.
pub(crate) struct Batch<'db> {
    database: &'db DB,
    tables: Tables<'db>,
    batch: WriteBatch,
    /// Reused for encoding.
    buffer: Vec<u8>,
}

impl<'db> Batch<'db> {
    pub(crate) fn new(database: &'db DB) -> Result<Self, StorageError> {
        let (batch, buffer) = (WriteBatch::default(), Vec::with_capacity(512));
        Ok(Self { database, tables: Tables::of(database)?, batch, buffer })
    }

    pub(crate) fn put_applied(&mut self, applied: LogId) -> Result<(), StorageError> {
        let value = codec::encode_json(&applied)?;
        self.batch.put_cf(self.tables.records, StateRecord::Applied.key(), value);
        Ok(())
    }

    pub(crate) fn put_membership(
        &mut self,
        membership: &StoredMembership,
    ) -> Result<(), StorageError> {
        let value = codec::encode_json(membership)?;
        self.batch.put_cf(self.tables.records, StateRecord::Membership.key(), value);
        Ok(())
    }

    /// Adds changes in order. Of several changes to one record only the last is written.
    pub(crate) fn put_changes(
        &mut self,
        changes: &[(LogIndex, Change)],
    ) -> Result<(), StorageError> {
        let is_last = last_of_each_record(changes);
        for ((_, change), is_last) in changes.iter().zip(is_last) {
            if is_last {
                self.put_change(change)?;
            }
        }
        Ok(())
    }

    fn put_change(&mut self, change: &Change) -> Result<(), StorageError> {
        match change {
            Change::Meta(meta) => self.put(self.tables.records, StateRecord::Meta.key(), meta),
            Change::Leader(record) => self.put(self.tables.leaders, record.term.key(), record),
            Change::Worker(worker) => self.put(self.tables.workers, worker.id.as_str(), worker),
            Change::WorkerRemoved(id) => self.delete(self.tables.workers, id.as_str()),
            Change::Task(task) if task.state.is_terminal() => self.put_finished(task),
            Change::Task(task) => self.put(self.tables.tasks, task.id.key(), task),
            Change::TaskForgotten(id) => self.forget(*id),
            Change::IdempotencyKey(record) => {
                self.put(self.tables.idempotency, &*record.key, record)
            }
            Change::IdempotencyKeyExpired(key) => self.delete(self.tables.idempotency, &**key),
            Change::Departed(one) => self.put(self.tables.departed, one.worker.id.as_str(), one),
            Change::DepartedForgotten(id) => self.delete(self.tables.departed, id.as_str()),
            Change::Token(token) => self.put(self.tables.tokens, token.id.as_str(), token),
            Change::TokenRevoked(id) => self.delete(self.tables.tokens, id.as_str()),
            Change::MassLoss(one) => {
                self.put(self.tables.records, StateRecord::MassLoss.key(), one)
            }
            Change::MassLossOver => self.delete(self.tables.records, StateRecord::MassLoss.key()),
        }
    }

    fn put_finished(&mut self, task: &Task) -> Result<(), StorageError> {
        self.delete(self.tables.tasks, task.id.key())?;
        self.put(self.tables.history, task.id.key(), task)?;
        self.batch.put_cf(self.tables.history_by_finish, finish_key(task).key(), []);
        Ok(())
    }

    /// Forgets a task. It is the only change that reads: retention is rare, and only the old record
    /// tells the task's end.
    fn forget(&mut self, id: TaskId) -> Result<(), StorageError> {
        if let Some(bytes) = self.database.get_pinned_cf(self.tables.history, id.key())? {
            let key = finish_key(&codec::decode(&bytes)?);
            self.delete(self.tables.history_by_finish, key.key())?;
        }
        // The task may have finished in this very batch, which then holds nothing else about it.
        self.delete(self.tables.tasks, id.key())?;
        self.delete(self.tables.history, id.key())
    }

    fn put(
        &mut self,
        table: &ColumnFamily,
        key: impl AsRef<[u8]>,
        value: &impl Serialize,
    ) -> Result<(), StorageError> {
        self.buffer.clear();
        codec::encode_into(value, &mut self.buffer)?;
        self.batch.put_cf(table, key, &self.buffer);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "one shape for all arms of `put_change`")]
    fn delete(&mut self, table: &ColumnFamily, key: impl AsRef<[u8]>) -> Result<(), StorageError> {
        self.batch.delete_cf(table, key);
        Ok(())
    }

    pub(crate) fn write(self) -> Result<(), StorageError> {
        Ok(self.database.write_without_wal(self.batch)?)
    }
}

fn finish_key(task: &Task) -> FinishKey {
    // A terminal task always has an end; without one it would be the first to be forgotten.
    FinishKey { at: task.finished_at.unwrap_or(Timestamp(0)), task: task.id }
}

/// Returns, for each change, whether no later one is about the same record.
fn last_of_each_record(changes: &[(LogIndex, Change)]) -> Vec<bool> {
    let mut tasks = HashSet::new();
    let mut workers = HashSet::new();
    let mut keys = HashSet::new();
    let mut is_meta_seen = false;
    let mut is_last = changes
        .iter()
        .rev()
        .map(|(_, change)| match change {
            Change::Meta(_) => !std::mem::replace(&mut is_meta_seen, true),
            Change::Task(task) => tasks.insert(task.id),
            Change::TaskForgotten(id) => tasks.insert(*id),
            Change::Worker(worker) => workers.insert(worker.id.as_str()),
            Change::WorkerRemoved(id) => workers.insert(id.as_str()),
            Change::IdempotencyKey(record) => keys.insert(&*record.key),
            Change::IdempotencyKeyExpired(key) => keys.insert(&**key),
            // There are few of these, and written in order they end up right.
            Change::Leader(_)
            | Change::Departed(_)
            | Change::DepartedForgotten(_)
            | Change::Token(_)
            | Change::TokenRevoked(_)
            | Change::MassLoss(_)
            | Change::MassLossOver => true,
        })
        .collect::<Vec<_>>();
    is_last.reverse();
    is_last
}
