//! Remembers how far each other log was seen to go, so that one that has gone back is noticed.
//!
//! A copy of a disk that is put back has forgotten what its master acknowledged and whom it voted
//! for, and knows nothing of that. The leaders that it acknowledged to do; they tell the other masters,
//! and all keep it on their disks.
//!
//! **Invariant:** what is remembered is committed, and the log has synced it. So a log that has not gone
//! back holds it for good, however late somebody hears of it.

mod file;

use std::collections::BTreeMap;

use parking_lot::Mutex;

pub(crate) use self::file::SeenFile;
use crate::log_node::NodeId;
use crate::types::LogId;

/// Positions that other logs have acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<BTreeMap<NodeId, Furthest>>);

/// Positions of one log.
#[derive(Debug, Clone, Copy, Default)]
struct Furthest {
    /// Last committed entry that it has acknowledged to any leader, as far as this master knows.
    remembered: Option<LogId>,
    /// Last committed entry that it has acknowledged to this master since its start.
    committed: u64,
    /// Last entry that it has acknowledged to this leader, which only this leader's term proves.
    matched: u64,
    term: u64,
}

/// A log has lost what it has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log of node {node} has gone back: it had entry {had}, and differs at {differs_at} now"
)]
pub(crate) struct WentBack {
    node: NodeId,
    had: u64,
    differs_at: u64,
}

impl Seen {
    /// Records that a log has acknowledged `matched` to the leader of `term`, which had committed
    /// `committed`.
    pub(crate) fn on_matched(
        &self,
        node: NodeId,
        term: u64,
        matched: Option<LogId>,
        committed: Option<LogId>,
    ) {
        let certain = earlier(matched, committed);
        let mut seen = self.0.lock();
        let furthest = seen.entry(node).or_default();
        if furthest.term != term {
            *furthest = Furthest { term, matched: 0, ..*furthest };
        }
        furthest.matched = furthest.matched.max(matched.map_or(0, |id| id.index));
        furthest.committed = furthest.committed.max(certain.map_or(0, |id| id.index));
        furthest.remembered = furthest.remembered.max(certain);
    }

    /// Records that a log has acknowledged a committed entry, to whomever.
    pub(crate) fn learn(&self, node: NodeId, committed: LogId) {
        let mut seen = self.0.lock();
        let furthest = seen.entry(node).or_default();
        furthest.remembered = furthest.remembered.max(Some(committed));
    }

    /// Checks the position at which a log differs from the one of the leader of `term`. Only what it has
    /// acknowledged to this process counts: an empty directory of release 0.2.0 has the number of the log
    /// that it replaces, and is sent everything.
    ///
    /// # Errors
    ///
    /// If it had that entry.
    pub(crate) fn check(&self, node: NodeId, term: u64, conflict: LogId) -> Result<(), WentBack> {
        let differs_at = conflict.index;
        let had = self.0.lock().get(&node).map_or(0, |furthest| {
            let matched = if furthest.term == term { furthest.matched } else { 0 };
            matched.max(furthest.committed)
        });
        if differs_at > had || had == 0 { Ok(()) } else { Err(WentBack { node, had, differs_at }) }
    }

    /// Returns the last committed entry that a log is known to have acknowledged.
    pub(crate) fn of(&self, node: NodeId) -> Option<LogId> {
        self.0.lock().get(&node)?.remembered
    }

    /// Returns the same of each log.
    pub(crate) fn all(&self) -> BTreeMap<NodeId, LogId> {
        let seen = self.0.lock();
        seen.iter().filter_map(|(node, furthest)| Some((*node, furthest.remembered?))).collect()
    }
}

/// Returns the position with the smaller index: of two entries of one log, the earlier one.
pub(crate) fn earlier(one: Option<LogId>, other: Option<LogId>) -> Option<LogId> {
    let (one, other) = (one?, other?);
    Some(if one.index <= other.index { one } else { other })
}

#[cfg(test)]
mod tests {
    use cluster_state::{LogIndex, Term};

    use super::*;
    use crate::types::log_id;

    const NODE: NodeId = NodeId(2);

    fn at(term: u64, index: u64) -> Option<LogId> {
        Some(log_id(Term(term), LogIndex(index)))
    }

    fn differs(seen: &Seen, term: u64, index: u64) -> bool {
        seen.check(NODE, term, log_id(Term(1), LogIndex(index))).is_err()
    }

    #[test]
    fn what_was_committed_may_never_go_back() {
        let seen = Seen::default();
        seen.on_matched(NODE, 5, at(5, 100), at(4, 90));
        assert_eq!(seen.of(NODE), at(4, 90));
        assert!(differs(&seen, 7, 90));
        assert!(!differs(&seen, 7, 91), "another leader may have truncated it");
    }

    #[test]
    fn what_a_leader_was_told_may_not_go_back_in_its_term() {
        let seen = Seen::default();
        seen.on_matched(NODE, 5, at(5, 100), at(4, 90));
        assert!(differs(&seen, 5, 100));
        assert!(!differs(&seen, 5, 101));
    }

    #[test]
    fn nothing_is_known_of_a_log_that_was_never_seen() {
        let seen = Seen::default();
        assert!(!differs(&seen, 5, 0));
        assert_eq!(seen.of(NODE), None);
    }

    #[test]
    fn the_furthest_counts_whoever_has_seen_it() {
        let seen = Seen::default();
        seen.on_matched(NODE, 5, at(5, 100), at(5, 100));
        for (term, index) in [(5, 90), (5, 120), (4, 130)] {
            seen.learn(NODE, log_id(Term(term), LogIndex(index)));
        }
        assert_eq!(
            seen.of(NODE),
            at(5, 120),
            "an entry of a later term comes after all of an earlier"
        );
        assert!(!differs(&seen, 7, 110), "only this process's own sightings end a stream");
        assert_eq!(seen.all().into_keys().collect::<Vec<_>>(), [NODE]);
    }
}
