//! How the reconnection monitor goes about it.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::Worker;

use crate::leader::attempts_schedule::Backoff;

/// How the monitor goes about it.
#[derive(Debug, Clone)]
pub(crate) struct ReconnectConfig {
    /// Whether inactive workers are gone to unasked.
    pub(crate) enabled: bool,
    /// Between two attempts at one worker.
    pub(crate) interval: Duration,
    /// For one attempt.
    pub(crate) attempt_timeout: Duration,
    /// How long a worker that has answered may take to register.
    pub(crate) registration_timeout: Duration,
    /// Attempts under way at once.
    pub(crate) max_parallel: usize,
    /// Whether the interval grows while attempts fail.
    pub(crate) backoff: Backoff,
    /// Intervals of workers whose label `priority` has one of these values.
    pub(crate) intervals_by_priority: BTreeMap<String, Duration>,
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
