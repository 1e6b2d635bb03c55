//! The only thread that writes the log: it takes all waiting operations, writes them as one batch,
//! syncs once, and fires all callbacks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;

use cluster_state::{Level, LogIndex};
use rocksdb::{WriteBatch, WriteOptions};

use super::disk::{Disk, Held, bytes_on_disk, put_identity};
use super::entries::end_of;
use super::group::{Group, GuardNeed, Op, Waiting};
use super::shared::{Shared, Synced};
use super::{LogOptions, StateDurability};
use crate::calls::{Call, describe};
use crate::codec;
use crate::error::StorageError;
use crate::guard::{Guard, Witness};
use crate::keys::{LogRecord, NumberKey};
use crate::types::{Entry, LogId, Vote, next_index};

/// Maximum number of operations that share a sync. More would delay the first of them for no gain,
/// because the sync's cost is spread thin before that.
const GROUP_OPS_MAX: usize = 4096;

pub(super) struct Flusher {
    disk: Arc<Disk>,
    shared: Arc<Shared>,
    /// Content of RocksDB, synced or about to be.
    held: Held,
    guard: Guard,
    state: Arc<dyn StateDurability>,
    options: LogOptions,
    /// A purge that waits for the state to be durable.
    purge: Option<LogId>,
    /// Thread that makes the state durable for it: votes and appends do not wait for that.
    state_flush: Option<JoinHandle<()>>,
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
            state_flush: None,
            unguarded_entries: 0,
            guarded_at: Instant::now(),
            buffer: Vec::new(),
        }
    }

    /// Runs until all senders are gone, then leaves everything synced.
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
        self.end_state_flush();
        // Performs the purge that waited for it.
        self.at_leisure();
        self.end_state_flush();
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

    /// Writes and syncs one batch: all waiting operations, or those before a truncation.
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
        // Before any callback. After a failed write or sync the content of the disk is unknown:
        // nothing may be retried.
        let written = written.inspect_err(|error| self.shared.calls.fail(error));
        self.complete(group, &written);
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
                    self.check_vote(&vote, group);
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
                Op::Truncate { after, done } if group.batch.is_empty() => {
                    group.waiting.push(Waiting::Done(done));
                    self.truncate(after, group)?;
                }
                truncate @ Op::Truncate { .. } => {
                    // Earlier operations must be on disk before the guard is lowered for this one.
                    ops.push_front(truncate);
                    break;
                }
                Op::Purge { upto } => {
                    self.shared.release(0);
                    self.purge = end_of(self.purge, Some(upto));
                    self.put_purge(group)?;
                }
            }
        }

        self.put_purge(group)
    }

    fn check_vote(&self, vote: &Vote, group: &Group) {
        let held = Witness { last: None, purged: None, ..group.held.witness() };
        let voted = Witness::new(held.identity, Some(vote), None, None);
        assert!(
            held.check(&voted).is_ok(),
            "a vote never goes back: {vote} follows {:?}",
            group.held.vote
        );
    }

    fn put_entries(&mut self, entries: &[Entry], group: &mut Group) -> Result<(), StorageError> {
        let (table, blocks) = (self.disk.entries()?, self.disk.blocks()?);
        let mut volume = self.shared.volume();
        for entry in entries {
            let (index, last) = (entry.log_id.index, group.held.last);
            assert!(
                last.is_none_or(|last| last.index.checked_add(1) == Some(index)),
                "the log has no gap: entry {} follows {last:?}",
                entry.log_id
            );

            self.buffer.clear();
            codec::encode_entry(entry, &mut self.buffer)?;
            group.batch.put_cf(table, LogIndex(index).key(), &self.buffer);

            if let Some(block) = volume.append(index, bytes_on_disk(&self.buffer)) {
                let key = LogIndex(block.last).key();
                group.batch.put_cf(blocks, key, codec::encode(&block, Level::FIRST)?);
            }

            group.held.last = Some(entry.log_id);
            group.entries = group.entries.saturating_add(1);
        }
        Ok(())
    }

    fn truncate(&mut self, after: Option<LogId>, group: &mut Group) -> Result<(), StorageError> {
        if next_index(after) >= next_index(group.held.last) {
            return Ok(());
        }
        group.held.last = end_of(after, group.held.purged);
        self.lower_guard(group)?;
        self.shared.volume().truncate(next_index(after));
        let (from, to) = (LogIndex(next_index(after)).key(), LogIndex(u64::MAX).key());
        group.batch.delete_range_cf(self.disk.entries()?, from, to);
        group.batch.delete_range_cf(self.disk.blocks()?, from, to);
        Ok(())
    }

    /// Lowers the guard's last entry if the log is about to get shorter.
    fn lower_guard(&mut self, group: &Group) -> Result<(), StorageError> {
        let lowered = group.held.witness().last;
        if lowered < self.guard.witness().last {
            self.write_guard(Witness { last: lowered, ..*self.guard.witness() })?;
        }
        Ok(())
    }

    /// Adds a purge if the state would survive without the purged entries. Otherwise the purge
    /// waits: a late purge only costs space.
    fn put_purge(&mut self, group: &mut Group) -> Result<(), StorageError> {
        let Some(upto) = self.purge else { return Ok(()) };
        // A purge beyond the end follows the installation of a snapshot: nothing can be lost, and
        // the next append must not leave a gap.
        let precedes = |last: LogId| last != upto && end_of(Some(last), Some(upto)) == Some(upto);
        let passes_the_end = group.held.last.is_none_or(precedes);
        if !passes_the_end && self.state.durable_index().is_none_or(|index| index.0 < upto.index) {
            return self.begin_state_flush();
        }

        self.purge = None;
        if next_index(group.held.purged) >= next_index(Some(upto)) {
            return Ok(());
        }

        let from = LogIndex(next_index(group.held.purged)).key();
        let to = LogIndex(upto.index.saturating_add(1)).key();
        self.shared.volume().purge(upto.index);
        group.batch.delete_range_cf(self.disk.entries()?, from, to);
        group.batch.delete_range_cf(self.disk.blocks()?, from, to);
        let value = codec::encode_json(&upto)?;
        group.batch.put_cf(self.disk.records()?, LogRecord::Purged.key(), value);

        group.held.purged = Some(upto);
        group.held.last = end_of(group.held.last, Some(upto));
        self.lower_guard(group)
    }

    /// Begins to make the state durable, unless that has begun.
    fn begin_state_flush(&mut self) -> Result<(), StorageError> {
        if self.state_flush.as_ref().is_some_and(|flush| !flush.is_finished()) {
            return Ok(());
        }
        let state = Arc::clone(&self.state);
        let flush =
            std::thread::Builder::new().name("state-flush".to_owned()).spawn(move || {
                // A failure was raised where it occurred.
                state.flush().ok();
            })?;
        self.state_flush = Some(flush);
        Ok(())
    }

    fn end_state_flush(&mut self) {
        if let Some(flush) = self.state_flush.take() {
            // A panic in it has ended the process.
            flush.join().ok();
        }
    }

    /// Adds the committed index, unless it is ahead of the log's content.
    fn put_committed(&self, group: &mut Group) -> Result<(), StorageError> {
        let committed = self.shared.committed();
        if committed == group.held.committed || next_index(committed) > next_index(group.held.last)
        {
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
        let (result, duration) = self.shared.watch_sync(|| {
            let write = || Ok(self.disk.database().write_opt(batch, &options)?);
            self.shared.calls.run::<_, StorageError>(Call::LogWrite, write)
        });
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

    fn complete(&self, group: Group, written: &Result<(), StorageError>) {
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
                    // The caller may be cancelled; the write stays.
                    done.send(result()).ok();
                }
            }
        }
    }

    fn write_guard(&mut self, witness: Witness) -> Result<(), StorageError> {
        assert!(
            witness.check(&self.held.witness()).is_ok(),
            "the guard is never ahead of the log: {witness:?} of {:?}",
            self.held
        );
        let (guard, calls) = (&mut self.guard, &self.shared.calls);
        let (result, _) =
            self.shared.watch_sync(|| calls.run(Call::GuardWrite, || guard.write(witness)));
        self.unguarded_entries = 0;
        self.guarded_at = Instant::now();
        result
    }

    fn write_guard_if_behind(&mut self) {
        if self.shared.check().is_err() || *self.guard.witness() == self.held.witness() {
            return;
        }
        // A failure was raised where it occurred.
        self.write_guard(self.held.witness()).ok();
    }

    /// Answers operations after a failure.
    fn refuse(&self, ops: impl Iterator<Item = Op>) {
        let refused = || {
            StorageError::Failed(self.shared.calls.fatal().reason().unwrap_or_default().to_string())
        };
        for op in ops {
            match op {
                Op::Append { bytes, callback, .. } => {
                    self.shared.release(bytes);
                    callback.io_completed(Err(refused().into()));
                }
                Op::Vote { done, .. } | Op::Identity { done, .. } | Op::Truncate { done, .. } => {
                    self.shared.release(0);
                    done.send(Err(refused())).ok();
                }
                Op::Purge { .. } => self.shared.release(0),
            }
        }
    }

    /// Writes, while idle, the guard and records that only save time at the next start.
    fn at_leisure(&mut self) {
        if self.shared.check().is_err() {
            return;
        }
        if self.group(&mut VecDeque::new()).is_ok() {
            self.write_guard_if_behind();
        }
    }
}
