//! Intervals and patience of the reconnection monitor.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::Worker;

use crate::leader::attempts_schedule::Backoff;

/// Keys under `reconnect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconnectConfig {
    /// Whether inactive workers are gone to unasked.
    pub enabled: bool,
    /// Between two attempts at one worker.
    pub interval: Duration,
    /// Longest time of one attempt.
    pub attempt_timeout: Duration,
    /// How long a worker that has answered may take to register.
    pub registration_timeout: Duration,
    /// Attempts under way at once.
    pub max_parallel: usize,
    /// True if the interval grows for a worker that is not reached again and again.
    pub backoff: Backoff,
    /// The interval for workers whose label `priority` has that value.
    pub intervals_by_priority: BTreeMap<String, Duration>,
}

impl ReconnectConfig {
    /// The label that says which interval a worker has.
    const PRIORITY_LABEL: &str = "priority";

    pub(super) fn interval_of(&self, worker: &Worker) -> Duration {
        let reported = worker.specs.as_ref().map(|specs| &specs.labels);
        let labels = std::iter::once(&worker.labels).chain(reported);
        let priority = labels.filter_map(|labels| labels.get(Self::PRIORITY_LABEL)).next();
        let by_priority = priority.and_then(|value| self.intervals_by_priority.get(value));
        by_priority.copied().unwrap_or(self.interval)
    }
}
