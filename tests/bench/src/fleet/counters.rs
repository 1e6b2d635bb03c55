//! Counts the sessions and heartbeats of the simulated workers of one process.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::Report;

/// Counts of all workers of the process.
#[derive(Debug, Default)]
pub(super) struct FleetCounters {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    listening: u32,
    /// Sessions by term.
    sessions: BTreeMap<u64, u32>,
    heartbeats: u64,
}

impl FleetCounters {
    pub(super) fn on_listening(&self) {
        self.counts().listening += 1;
        self.changed.notify_one();
    }

    pub(super) fn on_session(&self, term: u64) {
        *self.counts().sessions.entry(term).or_default() += 1;
        self.changed.notify_one();
    }

    pub(super) fn on_session_ended(&self, term: u64) {
        let mut counts = self.counts();
        if let Some(count) = counts.sessions.get_mut(&term) {
            *count = count.saturating_sub(1);
        }
        drop(counts);
        self.changed.notify_one();
    }

    pub(super) fn on_heartbeat(&self) {
        self.counts().heartbeats += 1;
    }

    /// Waits until somebody listens, comes or goes.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn report(&self) -> Report {
        let counts = self.counts();
        let latest = counts.sessions.iter().rev().find(|(_, count)| **count > 0);
        let (term, following) = latest.map_or((0, 0), |(term, count)| (*term, *count));
        let (listening, heartbeats) = (counts.listening, counts.heartbeats);
        Report { listening, term, following, heartbeats }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_the_latest_term_are_those_that_count() {
        let counters = FleetCounters::default();
        assert_eq!(counters.report(), Report::default());
        counters.on_session(2);
        counters.on_session(2);
        counters.on_session(3);
        assert_eq!((counters.report().term, counters.report().following), (3, 1));
        counters.on_session_ended(3);
        assert_eq!((counters.report().term, counters.report().following), (2, 2));
    }
}
