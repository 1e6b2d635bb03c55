//! Workers that were reached and have yet to register. Pure: time comes in as an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::WorkerId;
use tokio::time::Instant;

/// The registrations that are awaited.
#[derive(Debug)]
pub(super) struct AwaitedRegistrations {
    patience: Duration,
    by_worker: BTreeMap<WorkerId, Reached>,
}

/// A worker that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) address: String,
    /// Contacts that have reached it.
    pub(super) contacts: u32,
    until: Instant,
}

/// Workers that are not awaited any more.
type Ended = Vec<(WorkerId, Reached)>;

impl AwaitedRegistrations {
    /// Awaits no worker yet, and each for `patience`.
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, by_worker: BTreeMap::new() }
    }

    /// Awaits each worker that is reached from now on for `patience`.
    pub(super) const fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Awaits a worker that was reached. Being reached again does not extend its time.
    pub(super) fn on_reached(&mut self, worker: &WorkerId, address: &str, now: Instant) {
        let reached = self.by_worker.entry(worker.clone()).or_insert_with(|| Reached {
            address: address.to_owned(),
            contacts: 0,
            until: now + self.patience,
        });
        reached.contacts = reached.contacts.saturating_add(1);
    }

    /// Removes the workers that have registered, by `has_registered`, and those whose time is over.
    /// Returns both, in this order.
    pub(super) fn take_ended(
        &mut self,
        now: Instant,
        has_registered: impl Fn(&WorkerId) -> bool,
    ) -> (Ended, Ended) {
        let registered =
            self.by_worker.extract_if(.., |worker, _| has_registered(worker)).collect();
        let late = self.by_worker.extract_if(.., |_, reached| reached.until <= now).collect();
        (registered, late)
    }

    /// Returns the end of the first worker's time.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.by_worker.values().map(|reached| reached.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_awaited_from_its_first_answer_on() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let worker = |name: &str| name.parse::<WorkerId>().unwrap();
        let mut awaited = AwaitedRegistrations::new(Duration::from_secs(10));
        awaited.on_reached(&worker("mute"), "a:1", now);
        awaited.on_reached(&worker("mute"), "a:1", later(5));
        awaited.on_reached(&worker("prompt"), "b:1", later(5));
        assert_eq!(awaited.next_end(), Some(later(10)));

        let (registered, late) = awaited.take_ended(later(9), |one| one.as_str() == "prompt");
        assert_eq!((registered[0].0.as_str(), registered[0].1.contacts), ("prompt", 1));
        assert_eq!(late, []);
        let (registered, late) = awaited.take_ended(later(10), |_| false);
        assert_eq!((late[0].0.as_str(), late[0].1.contacts), ("mute", 2));
        assert_eq!((registered, awaited.next_end()), (Vec::new(), None));
    }
}
