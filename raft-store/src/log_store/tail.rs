//! The part of the log that is in memory: the newest entries, and the log's ends. Pure.

use std::collections::VecDeque;

use proto::limits::ByteBudget;

use super::disk::Held;
use super::entries::{Part, end_of, entry_bytes};
use crate::error::StorageError;
use crate::types::{Entry, LogId, Vote, next_index};

/// Number of truncations: a report about entries appended before one says nothing about those after
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Era(u64);

/// The log as its readers see it: written or not, synced or not.
#[derive(Debug)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    /// Index of the log's first entry, unless it has been purged since.
    begin: u64,
    /// Index of the first cached entry; the next index when none is cached.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    /// Entries below this index are in RocksDB, so that the cache may drop them.
    written: u64,
    era: Era,
    pub(super) last: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
}

impl Tail {
    pub(super) fn new(held: &Held, bytes_max: usize) -> Self {
        let next = next_index(held.last);
        Self {
            entries: VecDeque::new(),
            begin: held.begin,
            first: next,
            bytes: 0,
            bytes_max,
            written: next,
            era: Era(0),
            last: held.last,
            purged: held.purged,
            vote: held.vote,
            committed: held.committed,
        }
    }

    /// Adds entries that follow the last one. An empty log may start anywhere.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<Era, StorageError> {
        for entry in entries {
            let index = entry.log_id.index;
            if self.last.is_some() && index != next_index(self.last) {
                return Err(StorageError::NoEntry(next_index(self.last)));
            }

            let term = entry.log_id.leader_id.term;
            assert!(
                self.last.is_none_or(|last| last.leader_id.term <= term),
                "terms never fall in the log: entry {index} of term {term} follows {:?}",
                self.last
            );

            if self.last.is_none() {
                self.begin = index;
            }
            if self.entries.is_empty() {
                self.first = index;
            }

            self.bytes = self.bytes.saturating_add(entry_bytes(entry));
            self.last = Some(entry.log_id);
            self.entries.push_back(entry.clone());
        }
        Ok(self.era)
    }

    /// Records the committed index.
    pub(super) fn set_committed(&mut self, committed: Option<LogId>) {
        assert!(
            next_index(committed) <= next_index(self.last),
            "committed entries are in the log: {committed:?} is beyond {:?}",
            self.last
        );
        assert!(
            next_index(committed) >= next_index(self.committed),
            "committed entries stay committed: {committed:?} follows {:?}",
            self.committed
        );
        self.committed = committed;
    }

    /// Drops the entries after `last`. A committed entry must not be dropped.
    pub(super) fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), StorageError> {
        let next = next_index(last);
        if next >= next_index(self.last) {
            return Ok(());
        }
        if let Some(committed) = self.committed.filter(|committed| committed.index >= next) {
            return Err(StorageError::CutsCommitted { from: next, committed: committed.index });
        }
        while let Some(entry) = self.entries.pop_back_if(|entry| entry.log_id.index >= next) {
            self.bytes = self.bytes.saturating_sub(entry_bytes(&entry));
        }
        if self.entries.is_empty() {
            self.first = self.first.min(next);
        }
        self.written = self.written.min(next);
        self.era.0 = self.era.0.wrapping_add(1);
        self.last = end_of(last, self.purged);
        Ok(())
    }

    /// Drops the entries before and at `upto`, which may lie beyond the end.
    pub(super) fn purge(&mut self, upto: LogId) {
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return;
        }
        self.purged = Some(upto);
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.log_id.index <= upto.index)
        {
            self.bytes = self.bytes.saturating_sub(entry_bytes(&entry));
        }
        let next = next_index(self.purged);
        self.first = self.first.max(next);
        self.written = self.written.max(next);
        self.last = end_of(self.last, self.purged);
    }

    /// Makes room: the entries of `era` before `next` are in RocksDB.
    pub(super) fn on_written(&mut self, next: u64, era: Era) {
        if era != self.era {
            return;
        }
        self.written = self.written.max(next);
        while self.bytes > self.bytes_max {
            let written = self.written;
            let evicted = self.entries.pop_front_if(|entry| entry.log_id.index < written);
            let Some(entry) = evicted else { return };
            self.bytes = self.bytes.saturating_sub(entry_bytes(&entry));
            self.first = entry.log_id.index.saturating_add(1);
        }
    }

    /// Returns the part of `start..end` that the log has.
    pub(super) fn clamp(&self, start: u64, end: u64) -> (u64, u64) {
        let begin = self.begin.max(next_index(self.purged));
        (start.max(begin), end.min(next_index(self.last)))
    }

    /// Returns the first index that is cached, as are all after it.
    pub(super) const fn first_cached(&self) -> u64 {
        self.first
    }

    /// Copies cached entries, up to the budget.
    pub(super) fn copy(&self, start: u64, end: u64, budget: &mut ByteBudget) -> Part {
        let offset = |index: u64| usize::try_from(index.saturating_sub(self.first)).unwrap_or(0);
        let (from, to) = (offset(start), offset(end));
        let mut entries = Vec::with_capacity(to.saturating_sub(from).min(self.entries.len()));
        for entry in self.entries.iter().take(to).skip(from) {
            if !budget.admits(entry_bytes(entry)) {
                return Part { entries, is_cut: true };
            }
            entries.push(entry.clone());
        }
        Part { entries, is_cut: false }
    }
}
