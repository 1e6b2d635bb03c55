//! Workers that want a name which another one has: told once, shown while they go on, and forgotten
//! when they have given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{Command, Rejection, State, WorkerId};
use parking_lot::{Mutex, MutexGuard};
use raft_store::ProposeError;
use tokio::time::Instant;

use super::sessions::Lead;

/// Contested names that are remembered: anybody can claim any name.
const RIVALS_MAX: usize = 1_000;

/// A rival that has not asked for so long has given up: several times as long as it pauses.
const RIVAL_GONE_AFTER: Duration = Duration::from_secs(120);

/// The names that were claimed lately, and when last.
#[derive(Debug, Default)]
pub(crate) struct Rivals(Mutex<BTreeMap<WorkerId, Instant>>);

impl Rivals {
    /// Takes up what the state knows, as if each rival had asked at `now`.
    #[must_use]
    pub(crate) fn inherited(state: &State, now: Instant) -> Self {
        let contested = state.workers().filter(|worker| worker.rival.is_some());
        let known = contested.take(RIVALS_MAX).map(|worker| (worker.id.clone(), now));
        Self(Mutex::new(known.collect()))
    }

    /// Notes a claim. Returns whether it is the first in a while.
    pub(crate) fn on_claim(&self, worker: &WorkerId, now: Instant) -> bool {
        let mut known = self.known();
        if let Some(last) = known.get_mut(worker) {
            *last = now;
            return false;
        }
        known.len() < RIVALS_MAX && known.insert(worker.clone(), now).is_none()
    }

    /// The names whose rivals have given up by `now`.
    #[must_use]
    pub(crate) fn given_up(&self, now: Instant) -> Vec<WorkerId> {
        let is_over = |last: &Instant| now.saturating_duration_since(*last) >= RIVAL_GONE_AFTER;
        let known = self.known();
        known.iter().filter(|(_, last)| is_over(last)).map(|(worker, _)| worker.clone()).collect()
    }

    /// The name is not contested any more: the next claim is news again.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.known().remove(worker);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Instant>> {
        self.0.lock()
    }
}

impl Lead {
    /// Another worker wants a name that is taken. The log and the history tell it once, the record
    /// as long as it goes on.
    pub(super) fn on_claim_refused(
        self: &Arc<Self>,
        worker: &WorkerId,
        address: &str,
        rejection: &Rejection,
    ) {
        self.metrics.on_stale("duplicate-name", 1);
        if !self.rivals.on_claim(worker, Instant::now()) {
            return;
        }
        tracing::warn!(%worker, address, %rejection, "two workers use one name");
        let lead = Arc::clone(self);
        let (worker, address) = (worker.clone(), address.to_owned());
        self.tasks.spawn(async move {
            if let Err(error) = lead.note_rival(&worker, Some(address)).await {
                tracing::warn!(%worker, %error, "cannot record that two workers use one name");
                lead.rivals.forget(&worker);
            }
        });
    }

    /// Forgets the rivals that have given up.
    pub(super) async fn review_rivals(&self, now: Instant) -> Result<(), ProposeError> {
        for worker in self.rivals.given_up(now) {
            match self.note_rival(&worker, None).await {
                // The name itself is gone.
                Ok(()) | Err(ProposeError::Rejected { .. }) => self.rivals.forget(&worker),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn note_rival(
        &self,
        worker: &WorkerId,
        address: Option<String>,
    ) -> Result<(), ProposeError> {
        let command = Command::NoteRival { term: self.term, worker: worker.clone(), address };
        self.node.propose_as_leader(self.term, &command).await.map(drop)
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
