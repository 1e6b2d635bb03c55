//! Worker names that a second worker claims.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{State, WorkerId};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

/// Contested names kept: anybody can claim any name.
const RIVALS_MAX: usize = 1_000;

/// A rival that was silent for this time has given up: it is several times its pause.
const RIVAL_GONE_AFTER: Duration = Duration::from_secs(120);

/// The contested names, with the time of the last claim.
#[derive(Debug, Default)]
pub(crate) struct Rivals(Mutex<BTreeMap<WorkerId, Instant>>);

impl Rivals {
    /// Returns the contested names in the state, as if each rival had claimed its name at `now`.
    #[must_use]
    pub(crate) fn inherited(state: &State, now: Instant) -> Self {
        let contested = state.workers().filter(|worker| worker.rival.is_some());
        let known = contested.take(RIVALS_MAX).map(|worker| (worker.id.clone(), now));
        Self(Mutex::new(known.collect()))
    }

    /// Notes a claim. Returns whether it is the first one in a while.
    pub(crate) fn on_claim(&self, worker: &WorkerId, now: Instant) -> bool {
        let mut known = self.known();
        if let Some(last) = known.get_mut(worker) {
            *last = now;
            return false;
        }
        known.len() < RIVALS_MAX && known.insert(worker.clone(), now).is_none()
    }

    /// Returns the names whose rivals have given up by `now`.
    #[must_use]
    pub(crate) fn given_up(&self, now: Instant) -> Vec<WorkerId> {
        let is_over = |last: &Instant| now.saturating_duration_since(*last) >= RIVAL_GONE_AFTER;
        let known = self.known();
        known.iter().filter(|(_, last)| is_over(last)).map(|(worker, _)| worker.clone()).collect()
    }

    /// Forgets a name that is not contested any more: its next claim is news again.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.known().remove(worker);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Instant>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> WorkerId {
        name.parse().unwrap()
    }

    #[test]
    fn a_rival_is_news_once_until_it_gives_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let rivals = Rivals::default();
        assert!(rivals.on_claim(&id("w1"), start) && !rivals.on_claim(&id("w1"), at(100)));

        assert_eq!(rivals.given_up(at(219)), []);
        assert_eq!(rivals.given_up(at(220)), [id("w1")]);
        rivals.forget(&id("w1"));
        assert!(rivals.on_claim(&id("w1"), at(221)));
    }

    #[test]
    fn their_number_is_bounded() {
        let rivals = Rivals::default();
        for number in 0..RIVALS_MAX {
            assert!(rivals.on_claim(&id(&format!("w{number}")), Instant::now()));
        }
        assert!(!rivals.on_claim(&id("one-more"), Instant::now()));
    }
}
