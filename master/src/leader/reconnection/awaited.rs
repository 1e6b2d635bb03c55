//! Workers that have answered and have yet to register. Pure: time comes in as an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::WorkerId;
use tokio::time::Instant;

/// The workers that are waited for.
#[derive(Debug)]
pub(super) struct Awaited {
    patience: Duration,
    by_worker: BTreeMap<WorkerId, Reached>,
}

/// A worker that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// Where it did.
    pub(super) address: String,
    /// How many attempts it has answered since.
    pub(super) attempts: u32,
    until: Instant,
}

/// Workers that are not waited for any longer.
type Settled = Vec<(WorkerId, Reached)>;

impl Awaited {
    /// Waits for nobody yet.
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, by_worker: BTreeMap::new() }
    }

    /// A worker answered; one that has answered before is not waited for any longer for that.
    pub(super) fn on_reached(&mut self, worker: &WorkerId, address: &str, now: Instant) {
        let reached = self.by_worker.entry(worker.clone()).or_insert_with(|| Reached {
            address: address.to_owned(),
            attempts: 0,
            until: now + self.patience,
        });
        reached.attempts = reached.attempts.saturating_add(1);
    }

    /// Takes out the workers of which `has_come` says so, and those that were waited for long
    /// enough: first come those that came.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        has_come: impl Fn(&WorkerId) -> bool,
    ) -> (Settled, Settled) {
        let came = self.by_worker.extract_if(.., |worker, _| has_come(worker)).collect();
        let late = self.by_worker.extract_if(.., |_, reached| reached.until <= now).collect();
        (came, late)
    }

    /// When the first one has been waited for long enough.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.by_worker.values().map(|reached| reached.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_waited_for_from_its_first_answer_on() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let worker = |name: &str| name.parse::<WorkerId>().unwrap();
        let mut awaited = Awaited::new(Duration::from_secs(10));
        awaited.on_reached(&worker("mute"), "a:1", now);
        awaited.on_reached(&worker("mute"), "a:1", later(5));
        awaited.on_reached(&worker("prompt"), "b:1", later(5));
        assert_eq!(awaited.next_end(), Some(later(10)));

        let (came, late) = awaited.settle(later(9), |one| one.as_str() == "prompt");
        assert_eq!((came[0].0.as_str(), came[0].1.attempts), ("prompt", 1));
        assert_eq!(late, []);
        let (came, late) = awaited.settle(later(10), |_| false);
        assert_eq!((late[0].0.as_str(), late[0].1.attempts), ("mute", 2));
        assert_eq!((came, awaited.next_end()), (Vec::new(), None));
    }
}
