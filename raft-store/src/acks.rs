//! Records when each peer last confirmed this leader, counted from the send of the answered
//! request.
//!
//! openraft credits an answer to every request whose entries it covers, so also to one that was
//! sent after the peer had answered. A leader that was frozen would credit an answer from before
//! its sleep to a request from after it. The lease must not: here each answer confirms the request
//! that it answers, and no other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::log_node::NodeId;

/// Latest confirmation of each peer.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    latest: Mutex<Latest>,
    confirmed: Notify,
}

#[derive(Debug, Default)]
struct Latest {
    by_peer: BTreeMap<NodeId, Request>,
    /// The oldest request that confirms anything, if its term is that of a hand-over.
    count_from: Option<Request>,
}

/// Term and earliest time of sending of a leader's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    term: u64,
    sent_at: Instant,
}

impl Acks {
    /// Returns the age of the latest request of `term` that a quorum of each configuration has
    /// answered, by the time it was sent; none if there is no such request. The leader itself needs
    /// no asking.
    pub(crate) fn quorum_age(
        &self,
        me: NodeId,
        term: u64,
        configurations: &[BTreeSet<NodeId>],
        now: Instant,
    ) -> Option<Duration> {
        let Latest { by_peer, count_from } = &*self.latest.lock();
        let count_from = count_from.filter(|from| from.term == term);
        let counts =
            |ack: &&Request| ack.term == term && count_from.is_none_or(|from| **ack >= from);

        let age_of = |voter: &NodeId| {
            if *voter == me {
                return Some(Duration::ZERO);
            }
            let ack = by_peer.get(voter).filter(counts)?;
            Some(now.saturating_duration_since(ack.sent_at))
        };
        let age_in = |voters: &BTreeSet<NodeId>| {
            let mut ages = voters.iter().filter_map(age_of).collect::<Vec<_>>();
            ages.sort_unstable();
            ages.get(voters.len() / 2).copied()
        };

        configurations
            .iter()
            .map(age_in)
            .try_fold(Duration::ZERO, |oldest, age| Some(oldest.max(age?)))
    }

    /// Returns true if the peer has answered a request of `term` that was sent since `from`.
    pub(crate) fn has_answered_since(&self, peer: NodeId, term: u64, from: Instant) -> bool {
        let latest = self.latest.lock();
        latest.by_peer.get(&peer).is_some_and(|ack| ack.term == term && ack.sent_at >= from)
    }

    /// Suspends the lease of `term` until then: during a hand-over, voters may elect the successor
    /// although they obey this leader. They may do so for the next term only, so a leader of that
    /// term or a later one has its lease.
    pub(crate) fn revoke(&self, term: u64, until: Instant) {
        let mut latest = self.latest.lock();
        latest.count_from = latest.count_from.max(Some(Request { term, sent_at: until }));
    }

    /// Waits until the claim holds after an answer of some peer.
    pub(crate) async fn until(&self, claim: impl Fn() -> bool) {
        loop {
            // Registered before the check, so that an answer in between is not missed.
            let mut news = std::pin::pin!(self.confirmed.notified());
            news.as_mut().enable();
            if claim() {
                return;
            }
            news.await;
        }
    }

    fn on_confirmed(&self, peer: NodeId, request: Request) {
        let mut latest = self.latest.lock();
        let ack = latest.by_peer.entry(peer).or_insert(request);
        *ack = request.max(*ack);
        drop(latest);
        self.confirmed.notify_waiters();
    }
}

/// Requests of one stream that are not answered yet. Answers come in their order, one each.
#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    acks: Arc<Acks>,
    peer: NodeId,
    requests: Arc<Mutex<VecDeque<Request>>>,
}

impl Unanswered {
    pub(crate) fn new(acks: Arc<Acks>, peer: NodeId) -> Self {
        Self { acks, peer, requests: Arc::default() }
    }

    /// Records a request that is about to be sent.
    pub(crate) fn on_request(&self, term: u64, now: Instant) {
        self.requests.lock().push_back(Request { term, sent_at: now });
    }

    /// Records that the peer has answered the oldest request and obeys this leader.
    pub(crate) fn on_obeyed(&self) {
        if let Some(request) = self.requests.lock().pop_front() {
            self.acks.on_confirmed(self.peer, request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);
    const PEER: NodeId = NodeId(2);
    const TERM: u64 = 7;

    fn voters(numbers: &[u64]) -> BTreeSet<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    fn age(acks: &Acks, now: Instant) -> Option<Duration> {
        acks.quorum_age(ME, TERM, &[voters(&[1, 2, 3])], now)
    }

    #[test]
    fn an_answer_from_before_a_sleep_does_not_confirm_a_request_from_after_it() {
        let acks = Arc::new(Acks::default());
        let before = Instant::now();
        let stream = Unanswered::new(Arc::clone(&acks), PEER);
        stream.on_request(TERM, before);
        let after = before + Duration::from_secs(1);
        stream.on_request(TERM, after);

        stream.on_obeyed();
        assert_eq!(age(&acks, after), Some(Duration::from_secs(1)));
        stream.on_obeyed();
        assert_eq!(age(&acks, after), Some(Duration::ZERO));
    }

    #[test]
    fn a_peer_is_there_if_it_has_answered_in_this_term_and_lately() {
        let acks = Arc::new(Acks::default());
        let start = Instant::now();
        let stream = Unanswered::new(Arc::clone(&acks), PEER);
        stream.on_request(TERM, start);
        assert!(!acks.has_answered_since(PEER, TERM, start));

        stream.on_obeyed();
        assert!(acks.has_answered_since(PEER, TERM, start));
        assert!(!acks.has_answered_since(PEER, TERM, start + Duration::from_millis(1)));
        assert!(!acks.has_answered_since(PEER, TERM + 1, start));
        assert!(!acks.has_answered_since(NodeId(3), TERM, start));
    }

    #[test]
    fn a_quorum_is_as_old_as_its_slowest_member() {
        let acks = Arc::new(Acks::default());
        let start = Instant::now();
        let now = start + Duration::from_secs(9);
        let answered = |peer, second| {
            let stream = Unanswered::new(Arc::clone(&acks), NodeId(peer));
            stream.on_request(TERM, start + Duration::from_secs(second));
            stream.on_obeyed();
        };
        let five = [voters(&[1, 2, 3, 4, 5])];
        answered(2, 8);
        assert_eq!(acks.quorum_age(ME, TERM, &five, now), None);
        answered(3, 5);
        answered(4, 1);
        assert_eq!(acks.quorum_age(ME, TERM, &five, now), Some(Duration::from_secs(4)));
        let joint = [voters(&[1, 2, 3]), voters(&[1, 4, 5])];
        assert_eq!(acks.quorum_age(ME, TERM, &joint, now), Some(Duration::from_secs(8)));
    }

    #[test]
    fn answers_of_another_term_confirm_nothing() {
        let acks = Arc::new(Acks::default());
        let now = Instant::now();
        let stream = Unanswered::new(Arc::clone(&acks), PEER);
        stream.on_request(TERM - 1, now);
        stream.on_obeyed();
        assert_eq!(age(&acks, now), None);
    }

    #[test]
    fn while_leadership_is_handed_over_no_answer_counts() {
        let acks = Arc::new(Acks::default());
        let start = Instant::now();
        let stream = Unanswered::new(Arc::clone(&acks), PEER);
        let answered_at = |second| {
            let sent_at = start + Duration::from_secs(second);
            stream.on_request(TERM, sent_at);
            stream.on_obeyed();
            age(&acks, sent_at)
        };
        assert_eq!(answered_at(0), Some(Duration::ZERO));

        acks.revoke(TERM, start + Duration::from_secs(2));
        assert_eq!(age(&acks, start), None);
        assert_eq!(answered_at(1), None);
        assert_eq!(answered_at(2), Some(Duration::ZERO));
    }

    #[test]
    fn a_leader_that_is_elected_again_after_a_hand_over_has_its_lease_at_once() {
        let acks = Arc::new(Acks::default());
        let start = Instant::now();
        acks.revoke(TERM - 1, start + Duration::from_secs(2));
        let stream = Unanswered::new(Arc::clone(&acks), PEER);
        stream.on_request(TERM, start);
        stream.on_obeyed();
        assert_eq!(age(&acks, start), Some(Duration::ZERO));
    }

    #[test]
    fn a_single_voter_is_a_quorum() {
        let alone = [BTreeSet::from([ME])];
        let age = Acks::default().quorum_age(ME, TERM, &alone, Instant::now());
        assert_eq!(age, Some(Duration::ZERO));
    }
}
