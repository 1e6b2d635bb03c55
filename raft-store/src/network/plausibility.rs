//! Bounds within which a master believes another's message; no correct master exceeds them. They
//! are checked before Raft sees the message, because Raft takes every number for true: it would
//! follow any term, and ends itself over positions that contradict the committed log. Pure.

use openraft::raft::{AppendEntriesRequest, VoteRequest};

use crate::types::{LogId, NodeId, TypeConfig, Vote};

/// Greatest term and greatest index: more than a cluster reaches in its life, and so far from the
/// type's maximum that no later computation overflows.
const NUMBER_MAX: u64 = 1 << 62;

/// Terms by which a message may be ahead of its receiver. Each election adds one, so a master would
/// have to be absent for more than a century of an election each second.
const TERM_LEAD_MAX: u64 = 1 << 32;

/// Greatest term that a master without a membership takes for that of its cluster: each generation
/// begins a billion terms after the one before.
const FIRST_TERM_MAX: u64 = 1 << 50;

/// Reason that a message is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Implausible {
    /// A term or an index that no cluster reaches.
    #[error("{0} is no term or index of a cluster")]
    Number(u64),
    /// A term is too far ahead.
    #[error("term {term} is too far ahead of term {ours}")]
    Term {
        /// Term of the message.
        term: u64,
        /// Newest term known here.
        ours: u64,
    },
    /// The sender does not belong to the cluster.
    #[error("node {0} is not a member of this cluster")]
    NotAMember(NodeId),
    /// The sender claims to be the receiver.
    #[error("node {0} is this master itself")]
    OurOwn(NodeId),
    /// A candidate claims to have been elected already.
    #[error("a candidate's vote is not granted yet")]
    GrantedBeforehand,
    /// A leader says that it was not elected.
    #[error("a leader's vote was granted by a quorum")]
    NotGranted,
    /// A position is in a part of the log that a later leader has written.
    #[error("the log cannot hold an entry of term {entry} in term {vote}")]
    FromLater {
        /// Term that wrote the entry.
        entry: u64,
        /// Term of the message.
        vote: u64,
    },
    /// Entries are not consecutive.
    #[error("entry {0} does not follow the one before it")]
    OutOfOrder(u64),
    /// A position contradicts the committed log.
    #[error("entry {0} contradicts what is committed")]
    Contradiction(u64),
}

/// Knowledge of the receiver when a message arrives.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: NodeId,
    /// Newest term that it has seen.
    pub(crate) term: u64,
    /// Last entry of its log that is certainly committed.
    pub(crate) committed: Option<LogId>,
    /// True if the sender is a member, as far as the receiver knows.
    pub(crate) is_member: bool,
    /// Index of the entry that brought its membership; none while it has none.
    pub(crate) membership_at: Option<u64>,
}

/// Checks a term or an index by itself.
pub(crate) const fn check_number(number: u64) -> Result<(), Implausible> {
    if number > NUMBER_MAX { Err(Implausible::Number(number)) } else { Ok(()) }
}

/// Checks that a term is not too far ahead of one that is known.
pub(crate) const fn check_term(term: u64, ours: u64) -> Result<(), Implausible> {
    if term > ours.saturating_add(TERM_LEAD_MAX) {
        return Err(Implausible::Term { term, ours });
    }
    Ok(())
}

impl Known {
    /// Checks a candidate's request.
    pub(crate) fn check_ballot(&self, ballot: &VoteRequest<TypeConfig>) -> Result<(), Implausible> {
        if ballot.vote.is_committed() {
            return Err(Implausible::GrantedBeforehand);
        }
        self.check_vote(&ballot.vote, ballot.last_log_id.as_ref())?;
        check_written_before(ballot.last_log_id.as_ref(), &ballot.vote)
    }

    /// Checks a leader's request to append, or its heartbeat.
    pub(crate) fn check_append(
        &self,
        request: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<(), Implausible> {
        let last = request.entries.last().map(|entry| &entry.log_id);
        let positions = [last, request.prev_log_id.as_ref(), request.leader_commit.as_ref()];
        let furthest = positions.into_iter().flatten().max_by_key(|id| id.index);
        self.check_leader(&request.vote, furthest)?;
        check_written_before(request.leader_commit.as_ref(), &request.vote)?;

        let mut before = request.prev_log_id;
        self.check_position(before.as_ref(), &request.vote)?;
        for entry in &request.entries {
            let id = entry.log_id;
            let next = before.map_or(0, |before| before.index.saturating_add(1));
            let is_older = before.is_some_and(|before| id.leader_id < before.leader_id);
            if id.index != next || is_older {
                return Err(Implausible::OutOfOrder(id.index));
            }
            self.check_position(Some(&id), &request.vote)?;
            before = Some(id);
        }
        Ok(())
    }

    /// Checks the head of a leader's snapshot, which covers the log up to `last`.
    pub(crate) fn check_snapshot(
        &self,
        vote: &Vote,
        last: Option<&LogId>,
    ) -> Result<(), Implausible> {
        self.check_leader(vote, last)?;
        self.check_position(last, vote)
    }

    /// Checks the vote of a leader, whose log reaches at least as far as `furthest`.
    pub(crate) fn check_leader(
        &self,
        vote: &Vote,
        furthest: Option<&LogId>,
    ) -> Result<(), Implausible> {
        if !vote.is_committed() {
            return Err(Implausible::NotGranted);
        }
        self.check_vote(vote, furthest)
    }

    fn check_vote(&self, vote: &Vote, furthest: Option<&LogId>) -> Result<(), Implausible> {
        let node = vote.leader_id.voted_for;
        if node == self.id {
            return Err(Implausible::OurOwn(node));
        }
        if !self.is_member && !self.may_lack_the_membership_of(furthest) {
            return Err(Implausible::NotAMember(node));
        }
        match self.membership_at {
            Some(_) => check_term(vote.leader_id.term, self.term),
            // It joins, and knows no term of its cluster yet.
            None => check_term(vote.leader_id.term, FIRST_TERM_MAX - TERM_LEAD_MAX),
        }
    }

    /// Returns true if the log that reaches as far as `furthest` may hold a membership that the
    /// receiver has not seen, and that names the sender: masters may have been replaced while the
    /// receiver was away.
    fn may_lack_the_membership_of(&self, furthest: Option<&LogId>) -> bool {
        let (Some(known), Some(furthest)) = (self.membership_at, furthest) else { return false };
        furthest.index > known
    }

    /// Checks a position: a leader has every committed entry, and no others at their indexes.
    fn check_position(&self, id: Option<&LogId>, vote: &Vote) -> Result<(), Implausible> {
        check_written_before(id, vote)?;
        let (Some(id), Some(committed)) = (id, self.committed) else { return Ok(()) };
        let agrees = match id.index.cmp(&committed.index) {
            std::cmp::Ordering::Less => id.leader_id <= committed.leader_id,
            std::cmp::Ordering::Equal => id.leader_id == committed.leader_id,
            std::cmp::Ordering::Greater => id.leader_id >= committed.leader_id,
        };
        if agrees { Ok(()) } else { Err(Implausible::Contradiction(id.index)) }
    }
}

/// Checks that an entry was not written after the vote of the sender.
const fn check_written_before(id: Option<&LogId>, vote: &Vote) -> Result<(), Implausible> {
    let Some(id) = id else { return Ok(()) };
    let (entry, vote) = (id.leader_id.term, vote.leader_id.term);
    if entry > vote { Err(Implausible::FromLater { entry, vote }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
