//! The one thread that writes the log: it takes all that is waiting, writes it as one batch, syncs
//! once, and tells everybody.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use cluster_state::LogIndex;
use openraft::storage::IOFlushed;
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use super::disk::{Disk, Held, put_identity};
use super::shared::{Shared, Synced};
use super::tail::{Era, next_index};
use super::{LogOptions, StateDurability};
use crate::codec;
use crate::error::StorageError;
use crate::guard::{Guard, Witness};
use crate::identity::Identity;
use crate::keys::{LogRecord, NumberKey};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Operations that share a sync. More would make the first of them wait for no gain: the sync's
/// cost is spread thin long before.
const GROUP_OPS_MAX: usize = 4096;

type Done = oneshot::Sender<Result<(), StorageError>>;

/// What the flusher is asked to do, in the order in which it was asked.
pub(super) enum Op {
    Append { entries: Vec<Entry>, era: Era, bytes: usize, callback: IOFlushed<TypeConfig> },
    Vote { vote: Vote, done: Done },
    Identity { identity: Identity, done: Done },
    Truncate { after: Option<LogId> },
    Purge { upto: LogId },
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append { .. } => "Append",
            Self::Vote { .. } => "Vote",
            Self::Identity { .. } => "Identity",
            Self::Truncate { .. } => "Truncate",
            Self::Purge { .. } => "Purge",
        })
    }
}

/// Whom to tell once a batch is synced.
enum Waiting {
    Append { next: u64, era: Era, bytes: usize, callback: IOFlushed<TypeConfig> },
    Done(Done),
}

/// A batch that grows, and what it will have changed once it is written.
struct Group {
    batch: WriteBatch,
    held: Held,
    waiting: Vec<Waiting>,
    entries: u64,
    guard: GuardNeed,
}

/// Whether the guard must be written before anybody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GuardNeed {
    AtLeisure,
    First,
}

pub(super) struct Flusher {
    disk: Arc<Disk>,
    shared: Arc<Shared>,
    /// What RocksDB holds, synced or about to be.
    held: Held,
    guard: Guard,
    state: Arc<dyn StateDurability>,
    options: LogOptions,
    /// A purge that waits for the state to be durable.
    purge: Option<LogId>,
    unguarded_entries: u64,
    guarded_at: Instant,
    /// Reused for encoding.
    buffer: Vec<u8>,
}

impl Flusher {
    pub(super) fn new(
        disk: Arc<Disk>,
        shared: Arc<Shared>,
        held: Held,
        guard: Guard,
        state: Arc<dyn StateDurability>,
        options: LogOptions,
    ) -> Self {
        Self {
            disk,
            shared,
            held,
            guard,
            state,
            options,
            purge: None,
            unguarded_entries: 0,
            guarded_at: Instant::now(),
            buffer: Vec::new(),
        }
    }

    /// Works until all senders are gone, then leaves everything synced.
    pub(super) fn run(mut self, queue: &Receiver<Op>) {
        let mut ops = VecDeque::new();
        loop {
            match queue.recv_timeout(self.options.guard_interval) {
                Ok(op) => ops.push_back(op),
                Err(RecvTimeoutError::Timeout) => self.at_leisure(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            ops.extend(queue.try_iter().take(GROUP_OPS_MAX));
            self.work(&mut ops);
        }
        self.at_leisure();
    }

    fn work(&mut self, ops: &mut VecDeque<Op>) {
        while !ops.is_empty() {
            if self.group(ops).is_err() {
                self.refuse(ops.drain(..));
            }
        }
        if self.unguarded_entries >= self.options.guard_entries
            || self.guarded_at.elapsed() >= self.options.guard_interval
        {
            self.write_guard_if_behind();
        }
    }

    /// Writes and syncs one batch: all that waits, or what comes before a truncation.
    fn group(&mut self, ops: &mut VecDeque<Op>) -> Result<(), StorageError> {
        let mut group = Group {
            batch: WriteBatch::default(),
            held: self.held.clone(),
            waiting: Vec::new(),
            entries: 0,
            guard: GuardNeed::AtLeisure,
        };
        let built = self.build(ops, &mut group);
        let written = built.and_then(|()| self.write(&mut group));
        // Before anybody hears of it: nobody may try again.
        let written = written.inspect_err(|error| self.fail(error));
        self.tell(group, &written);
        written
    }

    fn build(&mut self, ops: &mut VecDeque<Op>, group: &mut Group) -> Result<(), StorageError> {
        self.shared.check()?;
        while let Some(op) = ops.pop_front() {
            match op {
                Op::Append { entries, era, bytes, callback } => {
                    let next = next_index(entries.last().map(|entry| entry.log_id));
                    group.waiting.push(Waiting::Append { next, era, bytes, callback });
                    self.put_entries(&entries, group)?;
                }
                Op::Vote { vote, done } => {
                    group.waiting.push(Waiting::Done(done));
                    let value = codec::encode_json(&vote)?;
                    group.batch.put_cf(self.disk.records()?, LogRecord::Vote.key(), value);
                    group.held.vote = Some(vote);
                    group.guard = GuardNeed::First;
                }
                Op::Identity { identity, done } => {
                    group.waiting.push(Waiting::Done(done));
                    put_identity(&mut group.batch, self.disk.records()?, &identity)?;
                    group.held.identity = identity;
                    group.guard = GuardNeed::First;
                }
                Op::Truncate { after } if group.batch.is_empty() => {
                    self.shared.release(0);
                    self.truncate(after, group)?;
                }
                truncate @ Op::Truncate { .. } => {
                    // What came before must be on disk before the guard is lowered for this.
                    ops.push_front(truncate);
                    break;
                }
                Op::Purge { upto } => {
                    self.shared.release(0);
                    self.purge = self.purge.max(Some(upto));
                }
            }
        }
        self.put_purge(group)
    }

    fn put_entries(&mut self, entries: &[Entry], group: &mut Group) -> Result<(), StorageError> {
        let table = self.disk.entries()?;
        for entry in entries {
            self.buffer.clear();
            codec::encode_entry(entry, &mut self.buffer)?;
            group.batch.put_cf(table, LogIndex(entry.log_id.index).key(), &self.buffer);
            group.held.last = Some(entry.log_id);
            group.entries = group.entries.saturating_add(1);
        }
        Ok(())
    }

    fn truncate(&mut self, after: Option<LogId>, group: &mut Group) -> Result<(), StorageError> {
        if next_index(after) >= next_index(group.held.last) {
            return Ok(());
        }
        group.held.last = after.max(group.held.purged);
        let lowered = group.held.witness();
        if lowered.last < self.guard.witness().last {
            self.write_guard(Witness { last: lowered.last, ..*self.guard.witness() })?;
        }
        let from = LogIndex(next_index(after)).key();
        group.batch.delete_range_cf(self.disk.entries()?, from, LogIndex(u64::MAX).key());
        Ok(())
    }

    /// Adds a purge if the state would survive without what it deletes. Otherwise it waits: a
    /// purge that comes late only costs space.
    fn put_purge(&mut self, group: &mut Group) -> Result<(), StorageError> {
        let Some(upto) = self.purge else { return Ok(()) };
        let is_durable = |state: &dyn StateDurability| {
            state.durable_index().is_some_and(|durable| durable.0 >= upto.index)
        };
        if !is_durable(&*self.state) {
            self.state.flush()?;
        }
        // A purge beyond the end follows the installation of a snapshot: nothing can be lost, and
        // what is appended next must not leave a gap.
        let passes_the_end = group.held.last.is_none_or(|last| last.index < upto.index);
        if !is_durable(&*self.state) && !passes_the_end {
            return Ok(());
        }
        self.purge = None;
        if group.held.purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        let from = LogIndex(next_index(group.held.purged)).key();
        let to = LogIndex(upto.index.saturating_add(1)).key();
        group.batch.delete_range_cf(self.disk.entries()?, from, to);
        let value = codec::encode_json(&upto)?;
        group.batch.put_cf(self.disk.records()?, LogRecord::Purged.key(), value);
        group.held.purged = Some(upto);
        group.held.last = group.held.last.max(Some(upto));
        Ok(())
    }

    /// Adds what is known to be committed, unless that is ahead of what the log will hold.
    fn put_committed(&self, group: &mut Group) -> Result<(), StorageError> {
        let committed = self.shared.committed();
        if committed == group.held.committed || committed > group.held.last {
            return Ok(());
        }
        let table = self.disk.records()?;
        match committed {
            Some(id) => {
                let value = codec::encode_json(&id)?;
                group.batch.put_cf(table, LogRecord::Committed.key(), value);
            }
            None => group.batch.delete_cf(table, LogRecord::Committed.key()),
        }
        group.held.committed = committed;
        Ok(())
    }

    fn write(&mut self, group: &mut Group) -> Result<(), StorageError> {
        self.put_committed(group)?;
        if group.batch.is_empty() {
            return Ok(());
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let batch = std::mem::take(&mut group.batch);
        let (result, duration) =
            self.shared.watch_sync(|| self.disk.database().write_opt(batch, &options));
        result?;
        self.held = group.held.clone();
        self.unguarded_entries = self.unguarded_entries.saturating_add(group.entries);

        let synced = Synced { duration, entries: group.entries };
        self.shared.count_sync(synced);
        if let Some(observer) = &self.options.observer {
            observer(synced);
        }
        match group.guard {
            GuardNeed::AtLeisure => {}
            GuardNeed::First => {
                self.write_guard(self.held.witness())?;
                self.shared.set_vote(self.held.vote);
                self.shared.identity.set(self.held.identity);
            }
        }
        Ok(())
    }

    fn tell(&self, group: Group, written: &Result<(), StorageError>) {
        let result = || match written {
            Ok(()) => Ok(()),
            Err(error) => Err(StorageError::Failed(describe(error))),
        };
        for waiting in group.waiting {
            match waiting {
                Waiting::Append { next, era, bytes, callback } => {
                    if written.is_ok() {
                        self.shared.on_written(next, era);
                    }
                    self.shared.release(bytes);
                    callback.io_completed(result().map_err(Into::into));
                }
                Waiting::Done(done) => {
                    self.shared.release(0);
                    // Who asked may have been cancelled; what was written stays.
                    done.send(result()).ok();
                }
            }
        }
    }

    fn write_guard(&mut self, witness: Witness) -> Result<(), StorageError> {
        let guard = &mut self.guard;
        let (result, _) = self.shared.watch_sync(|| guard.write(witness));
        self.unguarded_entries = 0;
        self.guarded_at = Instant::now();
        result
    }

    fn write_guard_if_behind(&mut self) {
        if self.shared.check().is_err() || *self.guard.witness() == self.held.witness() {
            return;
        }
        if let Err(error) = self.write_guard(self.held.witness()) {
            self.fail(&error);
        }
    }

    /// Answers what comes after a failure.
    fn refuse(&self, ops: impl Iterator<Item = Op>) {
        let refused =
            || StorageError::Failed(self.shared.fatal.reason().unwrap_or_default().to_string());
        for op in ops {
            match op {
                Op::Append { bytes, callback, .. } => {
                    self.shared.release(bytes);
                    callback.io_completed(Err(refused().into()));
                }
                Op::Vote { done, .. } | Op::Identity { done, .. } => {
                    self.shared.release(0);
                    done.send(Err(refused())).ok();
                }
                Op::Truncate { .. } | Op::Purge { .. } => self.shared.release(0),
            }
        }
    }

    /// With nothing else to do: writes what only saves time at the next start, and the guard.
    fn at_leisure(&mut self) {
        if self.shared.check().is_err() {
            return;
        }
        if self.group(&mut VecDeque::new()).is_ok() {
            self.write_guard_if_behind();
        }
    }

    /// After a failed write or sync nobody knows what is on disk: nothing may be tried again.
    fn fail(&self, error: &StorageError) {
        self.shared.fatal.raise(&describe(error));
    }
}

/// The error with its causes, for those that get it as text.
fn describe(error: &StorageError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
