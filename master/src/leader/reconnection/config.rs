//! Settings of the reconnection monitor.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::Worker;

use super::backoff::Backoff;

/// Keys under `reconnect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconnectConfig {
    /// True if the monitor contacts inactive workers without being asked.
    pub enabled: bool,
    /// Time between two contacts of one worker.
    pub interval: Duration,
    /// Longest time of one contact.
    pub attempt_timeout: Duration,
    /// Time in which a worker that has answered must register.
    pub registration_timeout: Duration,
    /// Concurrent contacts.
    pub max_parallel: usize,
    /// Growth of the interval for a worker that is repeatedly not reached.
    pub backoff: Backoff,
    /// Intervals for workers by the value of their label `priority`.
    pub intervals_by_priority: BTreeMap<String, Duration>,
}

impl ReconnectConfig {
    /// Label that chooses the interval of a worker.
    const PRIORITY_LABEL: &str = "priority";

    /// Returns the interval of a worker.
    pub(super) fn interval_of(&self, worker: &Worker) -> Duration {
        let reported = worker.specs.as_ref().map(|specs| &specs.labels);
        let labels = std::iter::once(&worker.labels).chain(reported);
        let priority = labels.filter_map(|labels| labels.get(Self::PRIORITY_LABEL)).next();
        let by_priority = priority.and_then(|value| self.intervals_by_priority.get(value));
        by_priority.copied().unwrap_or(self.interval)
    }
}
