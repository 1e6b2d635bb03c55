//! Decides when a snapshot is due, which entries may go, and which followers they are no longer
//! kept for. Pure.

use crate::log_node::NodeId;
use crate::log_store::Volume;

/// An amount of log. The limit that is reached first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogExtent {
    pub entries: u64,
    /// Bytes of the entries.
    pub bytes: u64,
}

/// Bounds of a master's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Amount after which a snapshot is made.
    pub snapshot_every: LogExtent,
    /// Amount kept behind a snapshot, for followers that lag a little.
    pub kept: LogExtent,
    /// Bytes that are kept for a follower that lags further, while it is sent the log or a
    /// snapshot.
    pub held_bytes: u64,
}

/// Minimum bytes that a purge frees while more is held for a follower: each purge leaves a
/// tombstone in RocksDB that reads have to pass.
const PURGE_BYTES_MIN: u64 = 64 << 20;

/// Last entries that a master has applied, covered by a snapshot, and purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Positions {
    pub(super) applied: Option<u64>,
    pub(super) snapshot: Option<u64>,
    pub(super) purged: Option<u64>,
}

/// Position of a master among the members, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) rank: u64,
    pub(super) of: u64,
}

/// Another member, as the leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) peer: NodeId,
    /// First entry that it lacks once it has the snapshot that it is being sent. A new leader does
    /// not know yet.
    pub(super) next: Option<u64>,
    /// True if it is sent the log or a snapshot, or was a moment ago.
    pub(super) is_served: bool,
}

/// Part of the log to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Last entry to purge.
    pub(super) upto: Option<u64>,
    /// Followers that must be sent a snapshot, because the entries that they lack are removed.
    pub(super) left_behind: Vec<NodeId>,
}

/// Returns true if a snapshot is due. Members take turns at evenly spaced places in the log, so
/// that never a quorum of them makes one at the same entry: it costs the disk a flush.
pub(super) fn is_snapshot_due(
    at: &Positions,
    volume: &Volume,
    bounds: &LogBounds,
    turn: Turn,
) -> bool {
    let next = |last: Option<u64>| last.map_or(0, |last| last.saturating_add(1));
    let (from, to) = (next(at.snapshot), next(at.applied));
    let Some(entries) = to.checked_sub(from).filter(|entries| *entries > 0) else { return false };
    let bytes = volume.bytes_from(from).saturating_sub(volume.bytes_from(to));

    // By halves, so that members that count from different entries mostly agree.
    let takes_too_much = |spacing: u64| {
        let by_bytes = u128::from(bounds.snapshot_every.bytes) * u128::from(entries);
        u128::from(bytes) * u128::from(spacing) > by_bytes
    };
    let mut spacing = bounds.snapshot_every.entries.max(1);
    while spacing > 1 && takes_too_much(spacing) {
        spacing /= 2;
    }
    let ahead = u128::from(spacing) * u128::from(turn.rank) / u128::from(turn.of.max(1));
    let turns_until = |index: u64| (u128::from(index) + ahead) / u128::from(spacing);
    turns_until(to) > turns_until(from)
}

/// Chooses the entries to remove: those that a snapshot covers, except for those that are kept, and
/// those that are held for served followers within the bound.
pub(super) fn cut(
    at: &Positions,
    volume: &Volume,
    bounds: &LogBounds,
    followers: &[Follower],
) -> Cut {
    let Some(snapshot) = at.snapshot else { return Cut::default() };
    let by_entries = snapshot.saturating_add(1).saturating_sub(bounds.kept.entries);
    let kept_from = by_entries.max(volume.first_within(snapshot, bounds.kept.bytes));
    let begin = at.purged.map_or(0, |purged| purged.saturating_add(1));

    let (mut held_from, mut left_behind) = (None::<u64>, Vec::new());
    for Follower { peer, next, is_served } in followers {
        let next = next.unwrap_or(begin);
        let is_in_bound = next >= begin && volume.bytes_from(next) <= bounds.held_bytes;
        if next >= kept_from.max(begin) {
            continue;
        }
        if *is_served && is_in_bound {
            held_from = Some(held_from.map_or(next, |from| from.min(next)));
        } else {
            left_behind.push(*peer);
        }
    }
    let from = held_from.map_or(kept_from, |held_from| held_from.min(kept_from));

    let freed = volume.bytes_from(begin).saturating_sub(volume.bytes_from(from));
    let is_worth_it = held_from.is_none() || !left_behind.is_empty() || freed >= PURGE_BYTES_MIN;
    let upto = from.checked_sub(1).filter(|_| from > begin && is_worth_it);
    Cut { upto, left_behind }
}

#[cfg(test)]
mod tests;
