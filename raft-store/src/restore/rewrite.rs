//! Turns the state of a backup into the one from which the next generation begins.

use cluster_state::{
    Change, ClusterId, Departed, Generation, LogIndex, Meta, Record, Task, Term, Worker,
};
use rocksdb::DB;

use super::RestoreError;
use crate::codec::Versioned;
use crate::error::StorageError;
use crate::keys::Table;
use crate::rocks;
use crate::snapshot::Manifest;
use crate::state_db::{Batch, Position, rows};
use crate::types::{LogId, StoredMembership, log_id};

/// Terms that are passed over: an election a second for thirty years.
const TERM_GAP: u64 = 1_000_000_000;
/// Log positions that are passed over: a hundred thousand writes a second for a hundred days.
const INDEX_GAP: u64 = 1_000_000_000_000;
/// Number of records that are written at a time.
const BATCH_RECORDS: usize = 10_000;

/// Facts with which a generation begins.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) cluster: ClusterId,
    pub(crate) generation: Generation,
    /// Position of the state, which no entry of the log ever had.
    pub(crate) last: LogId,
    pub(crate) membership: StoredMembership,
}

/// Returns the position from which the log of `generation` goes on.
pub(crate) fn next_position(applied: LogId, meta: &Meta, generation: Generation) -> LogId {
    let generations = generation.after(meta.generation);
    let gap = |gap: u64| gap.saturating_mul(generations);
    let term = applied.leader_id.term.max(meta.term.0).saturating_add(gap(TERM_GAP));
    log_id(Term(term), LogIndex(applied.index.saturating_add(gap(INDEX_GAP))))
}

/// Refuses a state that is not the one that the manifest describes.
pub(super) fn check(database: &DB, manifest: &Manifest) -> Result<(), StorageError> {
    let Position { applied, membership, cluster, .. } = Position::load(database)?;
    let described = &manifest.meta;
    let is_described = applied == described.last_log_id
        && membership == described.last_membership
        && cluster == manifest.cluster;
    if is_described { Ok(()) } else { Err(StorageError::SnapshotMismatch) }
}

/// Rewrites every record that the next generation knows otherwise. `begin` decides what that begins
/// with, given the counters, the position and the cluster of the state.
pub(super) fn rewrite(
    database: &DB,
    begin: impl FnOnce(&Meta, LogId, ClusterId) -> Result<Beginning, RestoreError>,
) -> Result<Beginning, RestoreError> {
    let Position { applied, cluster, meta, .. } = Position::load(database)?;
    let (Some(applied), Some(cluster), Some(meta)) = (applied, cluster, meta) else {
        return Err(RestoreError::Empty);
    };

    let beginning = begin(&meta, applied, cluster)?;
    let next = meta.in_generation(beginning.generation);
    let mut rewriter = Rewriter { database, before: meta, next, changes: Vec::new() };
    rewriter.take(&Record::Meta(meta))?;
    rewriter.take_all(Table::Workers, |worker: Worker| Record::Worker(worker.into()))?;
    rewriter.take_all(Table::Departed, |departed: Departed| Record::Departed(departed))?;
    rewriter.take_all(Table::Tasks, |task: Task| Record::Task(task.into()))?;
    rewriter.write()?;

    let mut batch = Batch::new(database, next.level)?;
    batch.put_applied(beginning.last)?;
    batch.put_membership(&beginning.membership)?;
    batch.write()?;
    Ok(beginning)
}

/// Writes records as the next generation knows them.
struct Rewriter<'db> {
    database: &'db DB,
    before: Meta,
    next: Meta,
    changes: Vec<(LogIndex, Change)>,
}

impl Rewriter<'_> {
    fn take_all<T: Versioned>(
        &mut self,
        table: Table,
        record: impl Fn(T) -> Record,
    ) -> Result<(), StorageError> {
        let table = rocks::table(self.database, table.name())?;
        for row in rows::<T>(self.database, table) {
            self.take(&record(row?))?;
        }
        Ok(())
    }

    fn take(&mut self, record: &Record) -> Result<(), StorageError> {
        let Some(record) = record.in_generation(self.next.generation, &self.before) else {
            return Ok(());
        };
        self.changes.push((LogIndex(0), Change::Put(record)));
        if self.changes.len() >= BATCH_RECORDS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        let mut batch = Batch::new(self.database, self.next.level)?;
        batch.put_changes(&std::mem::take(&mut self.changes))?;
        batch.write()
    }
}
