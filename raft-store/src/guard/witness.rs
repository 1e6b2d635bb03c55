//! Evidence of a log's content, and the check of a log against it.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::error::OpenError;
use crate::identity::{Identity, IdentityAtFirst};
use crate::types::{LogId, NodeId, Vote};

/// A position in the log. Of two positions the one with the greater index is further: a purge may
/// replace a long tail that was never committed by a shorter history of an older term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) index: u64,
    pub(crate) term: u64,
}

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Self { index: id.index, term: id.leader_id.term }
    }
}

/// A vote as the guard remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GuardedVote {
    pub(crate) term: u64,
    pub(crate) node: NodeId,
    /// True if a quorum granted the vote.
    pub(crate) is_committed: bool,
}

impl From<&Vote> for GuardedVote {
    fn from(vote: &Vote) -> Self {
        let Vote { leader_id, committed } = *vote;
        Self { term: leader_id.term, node: leader_id.voted_for, is_committed: committed }
    }
}

impl PartialOrd for GuardedVote {
    /// Compares in Raft's order: the term first, then whether a quorum granted it, whichever node
    /// it is for. Two votes for different nodes that are equal in both have no order: no node may
    /// give the second.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let rank = |vote: &Self| (vote.term, vote.is_committed);
        let is_comparable = rank(self) != rank(other) || self.node == other.node;
        is_comparable.then(|| rank(self).cmp(&rank(other)))
    }
}

/// Content that the log is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Witness {
    /// Identity of the log.
    pub(crate) identity: Identity,
    pub(crate) vote: Option<GuardedVote>,
    /// Last synced entry.
    pub(crate) last: Option<Position>,
    /// Last purged entry.
    pub(crate) purged: Option<Position>,
}

/// [`Witness`] as level 1 has it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct WitnessAtFirst {
    identity: IdentityAtFirst,
    vote: Option<GuardedVote>,
    last: Option<Position>,
    purged: Option<Position>,
}

impl From<WitnessAtFirst> for Witness {
    fn from(WitnessAtFirst { identity, vote, last, purged }: WitnessAtFirst) -> Self {
        Self { identity: identity.into(), vote, last, purged }
    }
}

impl From<Witness> for WitnessAtFirst {
    fn from(Witness { identity, vote, last, purged }: Witness) -> Self {
        Self { identity: identity.into(), vote, last, purged }
    }
}

impl Witness {
    pub(crate) fn new(
        identity: Identity,
        vote: Option<&Vote>,
        last: Option<LogId>,
        purged: Option<LogId>,
    ) -> Self {
        let (last, purged) = (last.map(Position::from), purged.map(Position::from));
        Self { identity, vote: vote.map(GuardedVote::from), last, purged }
    }

    /// Refuses a log that holds less than this.
    pub(crate) fn check(&self, found: &Self) -> Result<(), OpenError> {
        let went_back = |what, guarded: String, found: String| {
            Err(OpenError::LogBehindGuard { what, guarded, found })
        };
        if found.identity.node != self.identity.node {
            let name = |id: Identity| id.node.to_string();
            return went_back("the identity", name(self.identity), name(found.identity));
        }
        if self.identity.cluster.is_some() && found.identity.cluster != self.identity.cluster {
            let name = |id: Identity| id.cluster.map_or_else(|| "none".into(), |c| c.to_string());
            return went_back("the cluster id", name(self.identity), name(found.identity));
        }
        if !is_kept(self.vote, found.vote) {
            return went_back("the vote", show_vote(self.vote), show_vote(found.vote));
        }
        if !is_kept(self.last, found.last) {
            return went_back("the last entry", show(self.last), show(found.last));
        }
        if !is_kept(self.purged, found.purged) {
            return went_back("the purge point", show(self.purged), show(found.purged));
        }
        Ok(())
    }
}

/// Returns true if the found value is at least the guarded one.
fn is_kept<T: PartialOrd + Copy>(guarded: Option<T>, found: Option<T>) -> bool {
    matches!(found.partial_cmp(&guarded), Some(Ordering::Equal | Ordering::Greater))
}

fn show(position: Option<Position>) -> String {
    let show = |Position { index, term }| format!("{index} of term {term}");
    position.map_or_else(|| "none".into(), show)
}

fn show_vote(vote: Option<GuardedVote>) -> String {
    let show = |GuardedVote { term, node, is_committed }| {
        let verb = if is_committed { "leads" } else { "stands" };
        format!("node {node} {verb} in term {term}")
    };
    vote.map_or_else(|| "none".into(), show)
}

#[cfg(test)]
mod tests {
    use cluster_state::{ClusterId, LogIndex, MasterId, Term};
    use openraft::vote::leader_id_std::LeaderId;

    use super::*;
    use crate::types::log_id;

    fn vote(term: u64, node: u64, committed: bool) -> Vote {
        Vote { leader_id: LeaderId { term, voted_for: NodeId(node) }, committed }
    }

    fn witness() -> Witness {
        Witness {
            identity: Identity { node: NodeId(1), name: MasterId(1), cluster: None },
            vote: Some(GuardedVote::from(&vote(3, 1, true))),
            last: Some(Position { term: 3, index: 7 }),
            purged: Some(Position { term: 1, index: 4 }),
        }
    }

    fn at(term: u64, index: u64) -> Option<Position> {
        Some(Position::from(log_id(Term(term), LogIndex(index))))
    }

    #[test]
    fn votes_have_rafts_order() {
        let nodes = [1, 2].map(|node| [false, true].map(|committed| (node, committed)));
        let votes = (3..5).flat_map(|term| {
            nodes.concat().into_iter().map(move |(node, committed)| vote(term, node, committed))
        });
        let votes = votes.collect::<Vec<_>>();
        assert_eq!(votes.len(), 8);
        for guarded in &votes {
            for found in &votes {
                let order = GuardedVote::from(found).partial_cmp(&GuardedVote::from(guarded));
                assert_eq!(
                    order,
                    PartialOrd::partial_cmp(found, guarded),
                    "{found} after {guarded}"
                );
            }
        }
    }

    #[test]
    fn a_vote_may_go_forward_and_never_change_sides() {
        let cases = [
            // A lost candidacy, and then the first append of the winner, whatever its number.
            ((7, 3, false), (7, 1, true), true),
            ((7, 1, false), (7, 3, true), true),
            ((7, 3, false), (8, 1, false), true),
            ((7, 3, true), (7, 3, true), true),
            // A second vote in a term.
            ((7, 1, false), (7, 3, false), false),
            // Two leaders in a term.
            ((7, 1, true), (7, 3, true), false),
            ((7, 3, true), (7, 3, false), false),
            ((7, 3, true), (7, 4, false), false),
            ((7, 3, false), (6, 3, true), false),
        ];
        for (guarded, found, is_kept) in cases {
            let with = |(term, node, committed)| {
                let vote = GuardedVote::from(&vote(term, node, committed));
                Witness { vote: Some(vote), ..witness() }
            };
            let checked = with(guarded).check(&with(found));
            assert_eq!(checked.is_ok(), is_kept, "{found:?} after {guarded:?}: {checked:?}");
        }
    }

    #[test]
    fn a_log_that_holds_more_passes() {
        let more = [
            Witness { last: at(4, 9), purged: at(3, 6), ..witness() },
            // A snapshot of an older term, further on, replaces a tail that was never committed.
            Witness { last: at(2, 8), purged: at(2, 8), ..witness() },
            Witness { last: at(4, 7), ..witness() },
        ];
        for found in more {
            assert!(witness().check(&found).is_ok(), "{found:?}");
        }
    }

    #[test]
    fn a_log_that_holds_less_is_refused() {
        let whole = witness();
        let named = Identity { cluster: Some(ClusterId(1)), ..whole.identity };
        let named = Witness { identity: named, ..whole };
        let cases = [
            (whole, Witness { last: at(3, 6), ..whole }, "the last entry"),
            (whole, Witness { last: at(4, 6), ..whole }, "the last entry"),
            (whole, Witness { last: at(2, 7), ..whole }, "the last entry"),
            (whole, Witness { last: None, ..whole }, "the last entry"),
            (whole, Witness { vote: None, ..whole }, "the vote"),
            (whole, Witness { purged: None, ..whole }, "the purge point"),
            (whole, Witness { purged: at(2, 3), ..whole }, "the purge point"),
            (named, whole, "the cluster id"),
        ];
        for (guarded, found, what) in cases {
            let error = guarded.check(&found).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the log is behind its guard: {what}")), "{error}");
        }
    }
}
