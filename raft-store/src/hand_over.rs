//! Hands leadership over: chooses the successor, suspends the leader's lease, and tells voters whom
//! to believe.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::Term;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::acks::Acks;
use crate::log_node::NodeId;
use crate::membership;
use crate::raft::Raft;

/// Time to wait for a successor's answer when an operator asks for a hand-over. A master that has
/// just started is dialed again within this time, and a busy machine stands still for less.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Time for which a voter waits for the word of a hand-over: the successor may be told a moment
/// earlier.
const TOLD_WITHIN: Duration = Duration::from_millis(100);

/// Leases for which a successor may use its nomination: one to catch up, one to be elected.
const VALID_FOR_LEASES: u32 = 2;

/// Leases for which a leader that hands over counts no answers. The voters are told within one, and
/// may elect the successor for as long as they then believe it.
const WITHOUT_LEASE_FOR_LEASES: u32 = VALID_FOR_LEASES + 2;

/// Successor that a leader has named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    /// Term of the leader.
    term: u64,
    successor: NodeId,
    at: Instant,
}

/// The pending hand-over, as its leader announced it. Its successor asks for votes before the
/// leader's lease is over; a candidate that only claims to be named must wait for the lease like
/// any other.
#[derive(Debug)]
pub(crate) struct Naming {
    named: watch::Sender<Option<Named>>,
    valid_for: Duration,
}

impl Naming {
    pub(crate) fn new(lease: Duration) -> Self {
        let valid_for = lease.saturating_mul(VALID_FOR_LEASES);
        Self { named: watch::Sender::new(None), valid_for }
    }

    /// Records that the leader of `term` hands over to `successor`.
    pub(crate) fn on_named(&self, term: u64, successor: NodeId) {
        self.named.send_replace(Some(Named { term, successor, at: Instant::now() }));
    }

    /// Tells whether the candidate for `term` is the successor that the leader of the term before
    /// has named. Waits a moment for the leader's word.
    pub(crate) async fn names(&self, candidate: NodeId, term: u64) -> bool {
        let mut named = self.named.subscribe();
        let is_meant = |named: &Option<Named>| {
            named.is_some_and(|named| {
                named.successor == candidate
                    && named.term.checked_add(1) == Some(term)
                    && named.at.elapsed() <= self.valid_for
            })
        };
        let told = named.wait_for(is_meant);
        matches!(tokio::time::timeout(TOLD_WITHIN, told).await, Ok(Ok(_)))
    }
}

/// Hands leadership over; clones share it.
#[derive(Clone)]
pub(crate) struct HandOver {
    pub(crate) raft: Raft,
    pub(crate) acks: Arc<Acks>,
    pub(crate) naming: Arc<Naming>,
    pub(crate) lease: Duration,
}

impl HandOver {
    /// Tells whether a member has answered this leader of `term` within the lease.
    pub(crate) fn is_answering(&self, member: NodeId, term: Term) -> bool {
        let within = Instant::now().checked_sub(self.lease);
        within.is_some_and(|from| self.acks.has_answered_since(member, term.0, from))
    }

    /// Waits a moment for a member to answer, and tells whether it did.
    pub(crate) async fn answers(&self, member: NodeId, term: Term) -> bool {
        let answered = self.acks.until(|| self.is_answering(member, term));
        tokio::time::timeout(ANSWERS_WITHIN, answered).await.is_ok()
    }

    /// Waits a moment for the best successor.
    pub(crate) async fn successor(&self, term: Term) -> Option<NodeId> {
        let found = self.acks.until(|| self.best_successor(term).is_some());
        // When the time is over, the check below finds no successor either.
        drop(tokio::time::timeout(ANSWERS_WITHIN, found).await);
        self.best_successor(term)
    }

    /// Returns the voter with the longest log of those that answer.
    pub(crate) fn best_successor(&self, term: Term) -> Option<NodeId> {
        membership::best_successor(&self.raft, |id| self.is_answering(id, term))
    }

    /// Hands over to the best successor, if there is one.
    pub(crate) async fn to_the_best(&self, term: Term) {
        match self.best_successor(term) {
            Some(to) => self.to(to, term).await,
            None => tracing::warn!("no other master answers: continuing to lead"),
        }
    }

    /// Gives up the lease of `term` and names the successor, which then asks for votes.
    pub(crate) async fn to(&self, successor: NodeId, term: Term) {
        let until = Instant::now() + self.lease.saturating_mul(WITHOUT_LEASE_FOR_LEASES);
        self.acks.revoke(term.0, until);
        self.naming.on_named(term.0, successor);
        // Callers that learn that Raft has ended handle it.
        self.raft.trigger().transfer_leader(successor).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(400);

    #[tokio::test(start_paused = true)]
    async fn only_the_named_successor_is_named_and_not_for_long() {
        let hand_over = Naming::new(LEASE);
        assert!(!hand_over.names(NodeId(2), 6).await);

        hand_over.on_named(5, NodeId(2));
        assert!(hand_over.names(NodeId(2), 6).await);
        assert!(!hand_over.names(NodeId(3), 6).await);
        assert!(!hand_over.names(NodeId(2), 7).await);
        assert!(!hand_over.names(NodeId(2), 5).await);

        tokio::time::advance(LEASE * 2).await;
        assert!(!hand_over.names(NodeId(2), 6).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_may_be_told_before_the_voters() {
        let hand_over = Naming::new(LEASE);
        let (is_named, ()) = tokio::join!(hand_over.names(NodeId(2), 6), async {
            tokio::time::advance(TOLD_WITHIN / 2).await;
            hand_over.on_named(5, NodeId(2));
        });
        assert!(is_named);
    }
}
