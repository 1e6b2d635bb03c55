//! Remembers how far each other log was seen to go, so that one that has gone back is noticed.
//!
//! A copy of a disk that is put back has forgotten what its master acknowledged and whom it voted
//! for, and knows nothing of that. The leader that it acknowledged to does.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::log_node::NodeId;
use crate::types::LogId;

/// Positions that other logs have acknowledged to this master.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<BTreeMap<NodeId, Furthest>>);

/// Positions of one log.
#[derive(Debug, Clone, Copy, Default)]
struct Furthest {
    /// Last committed entry that it has acknowledged: no leader truncates it.
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
    pub(crate) fn on_matched(&self, node: NodeId, term: u64, matched: u64, committed: u64) {
        let mut seen = self.0.lock();
        let furthest = seen.entry(node).or_default();
        if furthest.term != term {
            *furthest = Furthest { term, matched: 0, ..*furthest };
        }
        furthest.matched = furthest.matched.max(matched);
        furthest.committed = furthest.committed.max(matched.min(committed));
    }

    /// Checks the position at which a log differs from the one of the leader of `term`.
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

    /// Returns the last committed entry that a log has acknowledged to this master; 0 if none.
    pub(crate) fn committed(&self, node: NodeId) -> u64 {
        self.0.lock().get(&node).map_or(0, |furthest| furthest.committed)
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{LogIndex, Term};

    use super::*;
    use crate::types::log_id;

    const NODE: NodeId = NodeId(2);

    fn differs(seen: &Seen, term: u64, index: u64) -> bool {
        seen.check(NODE, term, log_id(Term(1), LogIndex(index))).is_err()
    }

    #[test]
    fn what_was_committed_may_never_go_back() {
        let seen = Seen::default();
        seen.on_matched(NODE, 5, 100, 90);
        assert_eq!(seen.committed(NODE), 90);
        assert!(differs(&seen, 7, 90));
        assert!(!differs(&seen, 7, 91), "another leader may have truncated it");
    }

    #[test]
    fn what_a_leader_was_told_may_not_go_back_in_its_term() {
        let seen = Seen::default();
        seen.on_matched(NODE, 5, 100, 90);
        assert!(differs(&seen, 5, 100));
        assert!(!differs(&seen, 5, 101));
    }

    #[test]
    fn nothing_is_known_of_a_log_that_was_never_seen() {
        let seen = Seen::default();
        assert!(!differs(&seen, 5, 0));
        assert_eq!(seen.committed(NODE), 0);
    }
}
