//! Recently settled attempts: an order that was in flight when one of them was settled must not
//! start it again.
//!
//! Such an order was sent before the leader knew of the end, so it arrives within the timeout of a
//! call. It may lie unread for as long as this process is frozen. So an attempt is remembered until
//! the leader has answered heartbeats for several times that timeout: each answer shows that the
//! process is awake and reads incoming messages.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cluster_state::AttemptRef;
use tokio::time::Instant;

/// Number of generations that are remembered.
const GENERATIONS: usize = 6;
/// Minimum duration of a generation: the time that a leader gives one call.
const GENERATION_MIN: Duration = Duration::from_secs(5);

/// Way in which an attempt left the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settlement {
    /// The leader has its result, or knows that it is lost.
    Confirmed,
    /// It was stopped, or cancelled before it came; its end was not reported.
    Stopped,
}

/// Settled attempts, the latest generation first.
#[derive(Debug, Default)]
pub(super) struct Settled {
    generations: VecDeque<BTreeMap<AttemptRef, Settlement>>,
    /// Time at which the latest generation began.
    begun_at: Option<Instant>,
}

impl Settled {
    pub(super) fn get(&self, attempt: AttemptRef) -> Option<Settlement> {
        self.generations.iter().find_map(|settled| settled.get(&attempt).copied())
    }

    pub(super) fn put(&mut self, attempt: AttemptRef, settlement: Settlement) {
        if self.generations.is_empty() {
            self.generations.push_front(BTreeMap::new());
        }
        if let Some(latest) = self.generations.front_mut() {
            latest.insert(attempt, settlement);
        }
    }

    /// Takes in an answered heartbeat.
    pub(super) fn on_heartbeat_answered(&mut self, now: Instant) {
        let is_young = |begun_at: Instant| now.duration_since(begun_at) < GENERATION_MIN;
        if self.begun_at.is_some_and(is_young) {
            return;
        }
        self.begun_at = Some(now);
        self.generations.push_front(BTreeMap::new());
        self.generations.truncate(GENERATIONS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::attempt_ref;

    const A: AttemptRef = attempt_ref(1, 1);

    #[test]
    fn an_attempt_is_remembered_through_several_heartbeats() {
        let start = Instant::now();
        let mut settled = Settled::default();
        settled.on_heartbeat_answered(start);
        settled.put(A, Settlement::Confirmed);
        for second in 1..30 {
            settled.on_heartbeat_answered(start + Duration::from_secs(second));
            assert_eq!(settled.get(A), Some(Settlement::Confirmed), "after {second} s");
        }

        settled.on_heartbeat_answered(start + Duration::from_secs(30));
        assert_eq!(settled.get(A), None);
        assert!(settled.generations.len() <= GENERATIONS);
    }

    #[test]
    fn a_freeze_makes_nobody_forget() {
        let start = Instant::now();
        let mut settled = Settled::default();
        settled.put(A, Settlement::Stopped);
        settled.on_heartbeat_answered(start);
        settled.on_heartbeat_answered(start + Duration::from_secs(3_600));
        assert_eq!(settled.get(A), Some(Settlement::Stopped));
    }
}
