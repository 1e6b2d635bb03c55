//! The log instance of RocksDB: loads its content and reads entries.

use cluster_state::LogIndex;
use openraft::EntryPayload;
use proto::limits::ByteBudget;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, ReadOptions, WriteBatch};
use serde::de::DeserializeOwned;

use super::entries::{Part, end_of, entry_bytes};
use super::volume::{Block, Volume};
use crate::codec;
use crate::error::StorageError;
use crate::guard::Witness;
use crate::identity::Identity;
use crate::keys::{LogRecord, LogTable, NumberKey};
use crate::rocks;
use crate::types::{LogId, StoredMembership, Vote, next_index};

/// Content of the log besides its entries.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) identity: Identity,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) last: Option<LogId>,
    /// Index of the first entry, or of the next one if there is none.
    pub(crate) begin: u64,
}

impl Held {
    /// Returns the content of an empty log.
    pub(crate) const fn empty(identity: Identity) -> Self {
        Self { identity, vote: None, committed: None, purged: None, last: None, begin: 0 }
    }

    /// Loads the content; none when the log does not even name its owner.
    pub(crate) fn load(database: &DB) -> Result<Option<Self>, StorageError> {
        let records = rocks::table(database, LogTable::Records.name())?;
        let Some(identity) = database.get_cf(records, LogRecord::Identity.key())? else {
            return Ok(None);
        };

        let purged = json(database, LogRecord::Purged)?;
        let end = entry_at(database, IteratorMode::End)?;
        let last = end_of(end, purged);
        let begin = entry_at(database, IteratorMode::Start)?;
        let begin = begin.map_or_else(|| next_index(last), |first| first.index);
        if purged.is_some() && begin != next_index(purged) {
            return Err(StorageError::NoEntry(next_index(purged)));
        }

        // The committed index is not synced by itself. If it is ahead of the log, it means the
        // log's end: every entry before a committed entry is committed too.
        let committed = json::<LogId>(database, LogRecord::Committed)?
            .map(|committed| last.filter(|last| last.index < committed.index).unwrap_or(committed));

        Ok(Some(Self {
            identity: codec::decode(&identity)?,
            vote: json(database, LogRecord::Vote)?,
            committed: committed.filter(|_| last.is_some()),
            purged,
            last,
            begin,
        }))
    }

    /// Reads every entry, and returns the memberships among them.
    pub(crate) fn read_all(&self, database: &DB) -> Result<Vec<StoredMembership>, StorageError> {
        let entries = rocks::table(database, LogTable::Entries.name())?;
        let start = LogIndex(self.begin).key();
        let mode = IteratorMode::From(&start, Direction::Forward);
        let (mut expected, mut memberships) = (self.begin, Vec::new());
        for row in database.iterator_cf(entries, mode) {
            let (key, value) = row?;
            let entry = codec::decode_entry(LogIndex::from_key(&key)?, &value)?;
            if entry.log_id.index != expected {
                return Err(StorageError::NoEntry(expected));
            }
            expected = expected.saturating_add(1);
            if let EntryPayload::Membership(membership) = entry.payload {
                memberships.push(StoredMembership::new(Some(entry.log_id), membership));
            }
        }
        Ok(memberships)
    }

    pub(crate) fn witness(&self) -> Witness {
        Witness::new(self.identity, self.vote.as_ref(), self.last, self.purged)
    }
}

fn json<T: DeserializeOwned>(database: &DB, record: LogRecord) -> Result<Option<T>, StorageError> {
    let records = rocks::table(database, LogTable::Records.name())?;
    let bytes = database.get_cf(records, record.key())?;
    Ok(bytes.map(|bytes| codec::decode_json(&bytes)).transpose()?)
}

/// Returns the first or the last entry.
fn entry_at(database: &DB, end: IteratorMode<'_>) -> Result<Option<LogId>, StorageError> {
    let entries = rocks::table(database, LogTable::Entries.name())?;
    let Some(row) = database.iterator_cf(entries, end).next() else { return Ok(None) };
    let (key, value) = row?;
    Ok(Some(codec::decode_entry(LogIndex::from_key(&key)?, &value)?.log_id))
}

/// The open log instance.
#[derive(Debug)]
pub(super) struct Disk {
    database: DB,
}

impl Disk {
    pub(super) const fn new(database: DB) -> Self {
        Self { database }
    }

    pub(super) const fn database(&self) -> &DB {
        &self.database
    }

    pub(super) fn entries(&self) -> Result<&ColumnFamily, StorageError> {
        rocks::table(&self.database, LogTable::Entries.name())
    }

    pub(super) fn records(&self) -> Result<&ColumnFamily, StorageError> {
        rocks::table(&self.database, LogTable::Records.name())
    }

    pub(super) fn blocks(&self) -> Result<&ColumnFamily, StorageError> {
        rocks::table(&self.database, LogTable::Blocks.name())
    }

    /// Counts the sizes of the entries: those after the last full block are read.
    pub(super) fn volume(&self, held: &Held) -> Result<Volume, StorageError> {
        let mut volume = Volume::default();
        let mut next = held.begin;
        for row in self.database.iterator_cf(self.blocks()?, IteratorMode::Start) {
            let block = codec::decode::<Block>(&row?.1)?;
            next = next.max(block.last.saturating_add(1));
            volume.restore(block);
        }
        if let Some(purged) = held.purged {
            volume.purge(purged.index);
        }

        let start = LogIndex(next).key();
        let mode = IteratorMode::From(&start, Direction::Forward);
        for row in self.database.iterator_cf(self.entries()?, mode) {
            let (key, value) = row?;
            volume.append(LogIndex::from_key(&key)?.0, bytes_on_disk(&value));
        }
        Ok(volume)
    }

    /// Reads consecutive entries from `from` until before `to`, until a gap, or up to the budget.
    /// Also returns the rest of the budget.
    pub(super) fn read(
        &self,
        from: u64,
        to: u64,
        mut budget: ByteBudget,
    ) -> Result<(Part, ByteBudget), StorageError> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(LogIndex(to).key());
        let start = LogIndex(from).key();
        let mode = IteratorMode::From(&start, Direction::Forward);

        let mut part = Part { entries: Vec::new(), is_cut: false };
        let mut expected = from;
        for row in self.database.iterator_cf_opt(self.entries()?, options, mode) {
            let (key, value) = row?;
            let entry = codec::decode_entry(LogIndex::from_key(&key)?, &value)?;
            if entry.log_id.index != expected {
                break;
            }
            if !budget.admits(entry_bytes(&entry)) {
                part.is_cut = true;
                break;
            }
            expected = expected.saturating_add(1);
            part.entries.push(entry);
        }

        Ok((part, budget))
    }
}

/// Returns the bytes of an encoded entry on disk, with its key.
pub(super) fn bytes_on_disk(encoded: &[u8]) -> u64 {
    let bytes = encoded.len().saturating_add(size_of::<LogIndex>());
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Adds the record that names the owner of the log.
pub(crate) fn put_identity(
    batch: &mut WriteBatch,
    records: &ColumnFamily,
    identity: &Identity,
) -> Result<(), StorageError> {
    batch.put_cf(records, LogRecord::Identity.key(), codec::encode(identity, identity.level())?);
    Ok(())
}
