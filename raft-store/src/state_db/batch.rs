//! Turns changes into one write to RocksDB.

use std::collections::HashSet;

use cluster_state::{Change, Key, Level, LogIndex, Record, Task, TaskId, Timestamp};
use foldhash::fast::RandomState;
use rocksdb::{ColumnFamily, DB, WriteBatch};

use crate::codec::{self, Versioned};
use crate::error::StorageError;
use crate::keys::{
    FinishKey, NumberKey, StateRecord, Table, audit_key, cascade_key, holder_key, job_key,
    orphan_key, queue_key, schedule_key, user_token_key,
};
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
    /// The cluster's level: how records are written.
    level: Level,
    /// Reused for encoding.
    buffer: Vec<u8>,
}

impl<'db> Batch<'db> {
    pub(crate) fn new(database: &'db DB, level: Level) -> Result<Self, StorageError> {
        let (batch, buffer) = (WriteBatch::default(), Vec::with_capacity(512));
        Ok(Self { database, tables: Tables::of(database)?, batch, level, buffer })
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
            Change::Put(record) => self.put_record(record),
            Change::Delete(key) => self.delete_record(key),
        }
    }

    fn put_record(&mut self, record: &Record) -> Result<(), StorageError> {
        match record {
            Record::Meta(meta) => self.put(self.tables.records, StateRecord::Meta.key(), meta),
            Record::Leader(leader) => self.put(self.tables.leaders, leader.term.key(), leader),
            Record::Worker(worker) => self.put(self.tables.workers, worker.id.as_str(), worker),
            Record::Task(task) => self.put_task(task),
            Record::IdempotencyKey(key) => self.put(self.tables.idempotency, &*key.key, key),
            Record::Departed(one) => self.put(self.tables.departed, one.worker.id.as_str(), one),
            Record::Token(token) => self.put(self.tables.tokens, token.id.as_str(), token),
            Record::MassLoss(one) => {
                self.put(self.tables.records, StateRecord::MassLoss.key(), one)
            }
            Record::Settings(one) => {
                self.put(self.tables.records, StateRecord::Settings.key(), one)
            }
            Record::UserToken(token) => {
                self.put(self.tables.records, user_token_key(&token.id), token)
            }
            Record::Issuer(one) => self.put(self.tables.records, StateRecord::Issuer.key(), one),
            Record::Holder(holder) => self.put(self.tables.records, holder_key(&holder.id), holder),
            Record::Schedule(schedule) => {
                self.put(self.tables.records, schedule_key(&schedule.name), &**schedule)
            }
            Record::Queue(queue) => self.put(self.tables.records, queue_key(&queue.name), &**queue),
            Record::Cascade(one) => self.put(self.tables.records, cascade_key(one.task), one),
            Record::Orphan(orphan) => {
                self.put(self.tables.records, orphan_key(orphan.id), &**orphan)
            }
            Record::Audit(record) => {
                self.put(self.tables.records, audit_key(record.index), &**record)
            }
            Record::Job(job) => self.put(self.tables.records, job_key(job.id), &**job),
        }
    }

    fn delete_record(&mut self, key: &Key) -> Result<(), StorageError> {
        match key {
            Key::Worker(id) => self.delete(self.tables.workers, id.as_str()),
            Key::Task(id) => self.forget(*id),
            Key::IdempotencyKey(key) => self.delete(self.tables.idempotency, &**key),
            Key::Departed(id) => self.delete(self.tables.departed, id.as_str()),
            Key::Token(id) => self.delete(self.tables.tokens, id.as_str()),
            Key::MassLoss => self.delete(self.tables.records, StateRecord::MassLoss.key()),
            Key::Cascade(task) => self.delete(self.tables.records, cascade_key(*task)),
            Key::Orphan(id) => self.delete(self.tables.records, orphan_key(*id)),
            Key::Audit(index) => self.delete(self.tables.records, audit_key(*index)),
            Key::Job(id) => self.delete(self.tables.records, job_key(*id)),
            Key::Issuer => self.delete(self.tables.records, StateRecord::Issuer.key()),
            Key::Holder(id) => self.delete(self.tables.records, holder_key(id)),
            Key::Schedule(name) => self.delete(self.tables.records, schedule_key(name)),
            Key::Queue(name) => self.delete(self.tables.records, queue_key(name)),
            Key::Settings => self.delete(self.tables.records, StateRecord::Settings.key()),
            Key::UserToken(id) => self.delete(self.tables.records, user_token_key(id)),
            Key::Meta => self.delete(self.tables.records, StateRecord::Meta.key()),
            Key::Leader(term) => self.delete(self.tables.leaders, term.key()),
        }
    }

    fn put_task(&mut self, task: &Task) -> Result<(), StorageError> {
        // Only such a task may have ended before.
        if task.retries() > 0 {
            self.forget_end(task.id)?;
        }
        if task.state.is_terminal() {
            return self.put_finished(task);
        }
        self.put(self.tables.tasks, task.id.key(), task)
    }

    fn put_finished(&mut self, task: &Task) -> Result<(), StorageError> {
        self.delete(self.tables.tasks, task.id.key())?;
        self.put(self.tables.history, task.id.key(), task)?;
        self.batch.put_cf(self.tables.history_by_finish, finish_key(task).key(), []);
        Ok(())
    }

    /// Forgets a task.
    fn forget(&mut self, id: TaskId) -> Result<(), StorageError> {
        self.forget_end(id)?;
        // The task may have finished in this very batch, which then holds nothing else about it.
        self.delete(self.tables.tasks, id.key())
    }

    /// Forgets how a task has ended. Only this reads: it is rare, and only the old record tells the
    /// time of the end.
    fn forget_end(&mut self, id: TaskId) -> Result<(), StorageError> {
        if let Some(bytes) = self.database.get_pinned_cf(self.tables.history, id.key())? {
            let key = finish_key(&codec::decode::<Task>(&bytes)?);
            self.delete(self.tables.history_by_finish, key.key())?;
            self.delete(self.tables.history, id.key())?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        table: &ColumnFamily,
        key: impl AsRef<[u8]>,
        value: &impl Versioned,
    ) -> Result<(), StorageError> {
        self.buffer.clear();
        codec::encode_into(value, self.level, &mut self.buffer)?;
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
    // One look per change of the whole cluster: SipHash showed in profiles.
    let mut seen = HashSet::with_capacity_and_hasher(changes.len(), RandomState::default());
    let later_first = changes.iter().rev();
    let mut is_last = later_first.map(|(_, change)| seen.insert(change.key())).collect::<Vec<_>>();
    is_last.reverse();
    is_last
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use cluster_state::{
        AttemptNumber, AttemptRef, Class, Course, Epoch, OnDisconnect, Orphan, OrphanEnd, OrphanId,
        Resources, TaskSpec, TaskState, TextMap,
    };

    use super::super::{Restored, StateDb};
    use super::*;
    use crate::history;

    fn task(state: TaskState, finished_at: Option<u64>, retries: u32) -> Task {
        let class = Class {
            priority: 50,
            resources: Resources::default(),
            constraints: Vec::new(),
            worker: None,
            ..Class::default()
        };
        let spec = TaskSpec {
            name: None,
            command: vec!["true".to_owned()],
            env: TextMap::default(),
            working_dir: None,
            stdin: None,
            class: Arc::new(class),
            max_attempts: 3,
            retry_backoff: Duration::ZERO,
            run_timeout: None,
            on_disconnect: OnDisconnect::Keep,
            labels: TextMap::default(),
            secret_env: cluster_state::SecretMap::default(),
            timing: None,
        };
        let course = Course { retries, ..Course::default() };
        Task {
            id: TaskId(7),
            spec: Arc::new(spec),
            state,
            reason: None,
            submitted_at: Timestamp(1),
            finished_at: finished_at.map(Timestamp),
            failures: 0,
            losses: 0,
            attempts: Vec::new(),
            index: LogIndex(1),
            course: (retries > 0).then(|| Box::new(course)),
            ahead: None,
        }
    }

    #[test]
    fn a_retried_task_is_in_one_place_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateDb::open(dir.path().join("db")).unwrap();
        let database = store.database();
        let write = |tasks: &[Task]| {
            let put = |task: &Task| (LogIndex(1), Change::Put(Record::Task(task.clone().into())));
            let mut batch = Batch::new(database, Level::NEWEST).unwrap();
            batch.put_changes(&tasks.iter().map(put).collect::<Vec<_>>()).unwrap();
            batch.write().unwrap();
        };
        let places = || {
            let live = Restored::load(database).unwrap().state.task(TaskId(7)).is_some();
            let ended = history::task(database, TaskId(7)).unwrap().is_some();
            let before = |at| history::finished_before(database, Timestamp(at), 9).unwrap().len();
            (live, ended, before(11), before(31))
        };

        write(&[task(TaskState::Failed, Some(10), 0)]);
        assert_eq!(places(), (false, true, 1, 1));
        write(&[task(TaskState::Queued, None, 1)]);
        assert_eq!(places(), (true, false, 0, 0));
        write(&[task(TaskState::Cancelled, Some(20), 1)]);
        assert_eq!(places(), (false, true, 0, 1));
        // Retried, and ended again, within one batch.
        write(&[task(TaskState::Queued, None, 2), task(TaskState::Failed, Some(30), 2)]);
        assert_eq!(places(), (false, true, 0, 1));
        write(&[task(TaskState::Queued, None, 3)]);
        write(&[task(TaskState::Failed, Some(40), 3), task(TaskState::Queued, None, 4)]);
        assert_eq!(places(), (true, false, 0, 0));
    }

    #[test]
    fn orphaned_results_are_read_back_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let store = StateDb::open(dir.path().join("db")).unwrap();
        let attempt = AttemptRef { task: TaskId(7), attempt: AttemptNumber(1) };
        let orphan = |id| Orphan {
            id: OrphanId(id),
            worker: format!("w{id}").parse().unwrap(),
            epoch: Epoch(1),
            attempt,
            end: OrphanEnd::Stopped,
            reported_at: Timestamp(5),
            generation: 1,
            index: LogIndex(1),
        };
        let put = |id| (LogIndex(1), Change::Put(Record::Orphan(orphan(id).into())));
        let dropped = (LogIndex(2), Change::Delete(Key::Orphan(OrphanId(2))));
        let mut batch = Batch::new(store.database(), Level::NEWEST).unwrap();
        batch.put_changes(&[put(300), put(2), put(1), dropped]).unwrap();
        batch.write().unwrap();
        let state = Restored::load(store.database()).unwrap().state;
        let found = state.orphans().map(|orphan| Orphan::clone(orphan)).collect::<Vec<_>>();
        assert_eq!(found, [orphan(1), orphan(300)]);
    }
}
