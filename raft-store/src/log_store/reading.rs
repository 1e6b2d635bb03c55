//! Reads the log: old entries from RocksDB, new ones from memory, never with a gap.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use openraft::{OptionalSend, RaftLogReader};
use proto::limits::{BATCH_BYTES, ByteBudget};

use super::LogStore;
use super::entries::Part;
use super::shared::Plan;
use crate::calls::Call;
use crate::error::StorageError;
use crate::types::{Entry, TypeConfig, Vote, next_index};

/// Maximum bytes of entries in one replication request: large enough to fill a fast link, small
/// enough that a slow link does not delay later requests. A larger entry travels alone.
pub(super) const REPLICATION_BYTES_MAX: usize = 2 << 20;

/// Maximum bytes of entries read at a time for applying.
const APPLY_BYTES_MAX: usize = 4 << 20;

const _: () = assert!(REPLICATION_BYTES_MAX <= BATCH_BYTES, "a message must hold a whole request");

impl LogStore {
    /// Reads consecutive entries from the first that the log has of `start..end`, up to
    /// `bytes_max`, but at least one.
    async fn read(
        &self,
        start: u64,
        end: u64,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let mut budget = ByteBudget::new(bytes_max);
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = start;

        loop {
            let (from, to, mut part) = match self.0.shared.plan(next, end, &mut budget) {
                Plan::Nothing => break,
                Plan::Cached { from, to, part } => (from, to, part),
                Plan::Stored { from, to } => {
                    (from, to, self.read_stored(from, to, &mut budget).await?)
                }
            };

            // Purged during this read: the entries before it are complete.
            if from != next && !entries.is_empty() {
                break;
            }

            next = part.entries.last().map_or(from, |last| last.log_id.index.saturating_add(1));
            entries.append(&mut part.entries);
            if part.is_cut || next >= end {
                break;
            }
            if next < to && !self.0.shared.is_purged(next) {
                return Err(StorageError::NoEntry(next));
            }
        }
        Ok(entries)
    }

    async fn read_stored(
        &self,
        from: u64,
        to: u64,
        budget: &mut ByteBudget,
    ) -> Result<Part, StorageError> {
        let (disk, left) = (Arc::clone(&self.0.disk), *budget);
        let read =
            self.0.shared.calls.run_blocking(Call::LogRead, move || disk.read(from, to, left));
        let (part, left) = read.await?;
        *budget = left;
        Ok(part)
    }

    /// Reads for replication. If the log begins later, it returns nothing: openraft takes that for
    /// nothing new, and sends a snapshot once it has heard of the purge.
    async fn read_for_peer(&self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let entries = self.read(start, end, REPLICATION_BYTES_MAX).await?;
        let begins_at = entries.first().map(|first| first.log_id.index);
        match begins_at {
            Some(first) if first == start => Ok(entries),
            Some(_) | None if self.0.shared.is_purged(start) => Ok(Vec::new()),
            Some(_) | None => Err(StorageError::NoEntry(start)),
        }
    }

    /// Reads a part for applying: it begins at `next`, because an omitted entry would count as
    /// applied.
    async fn read_for_applying(&self, next: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let entries = self.read(next, end, APPLY_BYTES_MAX).await?;
        if entries.first().is_none_or(|first| first.log_id.index != next) {
            return Err(StorageError::NoEntry(next));
        }
        Ok(entries)
    }
}

/// Returns the half-open range of indexes that `range` means.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = bounds(&range);
        let read = self.read(start, end, usize::MAX).await;
        read.map_err(|error| self.fail(error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.0.shared.vote())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        if start >= end {
            return Ok(Vec::new());
        }
        let read = self.read_for_peer(start, end).await;
        read.map_err(|error| self.fail(error))
    }

    /// Streamed in parts, so that a node far behind does not hold its whole log in memory to apply
    /// it.
    async fn entries_stream<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend {
        let (start, end) = bounds(&range);
        // Entries beyond the log's end do not exist; all before it must.
        let end = end.min(next_index(self.0.shared.log_state().last_log_id));
        let parts = stream::unfold((self.clone(), start), move |(log, next)| async move {
            if next >= end {
                return None;
            }
            let (part, next) = match log.read_for_applying(next, end).await {
                Ok(part) => {
                    let next = next_index(part.last().map(|last| last.log_id));
                    (part.into_iter().map(Ok).collect::<Vec<_>>(), next)
                }
                Err(error) => (vec![Err(log.fail(error))], end),
            };
            Some((stream::iter(part), (log, next)))
        });
        Box::pin(parts.flatten())
    }
}
