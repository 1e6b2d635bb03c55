//! Time limits that are granted to a worker, by which every leader judges it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time limits of a worker. They are in its record from its registration on, so that a leader with
/// another configuration waits for what was granted, and not for what it would grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTimes {
    /// Interval between the worker's heartbeats.
    pub heartbeat_interval: Duration,
    /// Silence after which the worker is inactive.
    pub heartbeat_timeout: Duration,
    /// Silence after which the worker ends all its attempts.
    pub lease: Duration,
}

impl LeaseTimes {
    /// Returns the silence after which the leader requeues the worker's tasks: later than the
    /// worker ends them, by a margin for its kill to take effect.
    #[must_use]
    pub fn requeue_after(&self) -> Duration {
        with_margin(self.lease)
    }

    /// Returns the silence after which the leader requeues the tasks that asked not to wait. The
    /// worker ends them at the heartbeat timeout. It counts from when it sent the last acknowledged
    /// heartbeat, which is before the leader received it.
    #[must_use]
    pub fn requeue_eager_after(&self) -> Duration {
        with_margin(self.heartbeat_timeout)
    }

    /// Returns whether a worker that was granted these times may run something longer than under
    /// `other`.
    #[must_use]
    pub fn outlast(&self, other: &Self) -> bool {
        self.lease > other.lease || self.heartbeat_timeout > other.heartbeat_timeout
    }
}

/// Adds to `limit` the time that killed processes may need to be gone.
fn with_margin(limit: Duration) -> Duration {
    let margin = (limit / 10).max(Duration::from_secs(1));
    limit.saturating_add(margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: LeaseTimes = LeaseTimes {
        heartbeat_interval: Duration::from_secs(5),
        heartbeat_timeout: Duration::from_secs(30),
        lease: Duration::from_secs(300),
    };

    #[test]
    fn the_leader_waits_longer_than_the_worker() {
        assert_eq!(TIMES.requeue_after(), Duration::from_secs(330));
        assert_eq!(TIMES.requeue_eager_after(), Duration::from_secs(33));
        let short = LeaseTimes { lease: Duration::from_secs(3), ..TIMES };
        assert_eq!(short.requeue_after(), Duration::from_secs(4));
    }

    #[test]
    fn times_outlast_others_by_either_limit() {
        let other = |timeout, lease| LeaseTimes {
            heartbeat_timeout: Duration::from_secs(timeout),
            lease: Duration::from_secs(lease),
            ..TIMES
        };
        assert!(TIMES.outlast(&other(30, 299)) && TIMES.outlast(&other(29, 300)));
        assert!(!TIMES.outlast(&TIMES) && !TIMES.outlast(&other(31, 301)));
    }
}
