//! The times that a worker is granted, which every leader judges it by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The time limits that a worker lives under. They stand in its record from its registration on, so
/// that a leader with another configuration waits for what was granted, and not for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTimes {
    /// Between two heartbeats of the worker.
    pub heartbeat_interval: Duration,
    /// Silence after which the worker is inactive.
    pub heartbeat_timeout: Duration,
    /// Silence after which the worker ends its attempts by itself.
    pub lease: Duration,
}

impl LeaseTimes {
    /// Silence after which the leader gives the worker's attempts to others: later than the worker
    /// ends them, by a margin for its kill to take effect.
    #[must_use]
    pub fn requeue_after(&self) -> Duration {
        with_margin(self.lease)
    }

    /// Silence after which the leader gives attempts to others whose tasks asked not to wait: the
    /// worker ends them at the heartbeat timeout, counted from the send of the last heartbeat that
    /// was acknowledged, which is earlier than the leader counts from.
    #[must_use]
    pub fn requeue_eager_after(&self) -> Duration {
        with_margin(self.heartbeat_timeout)
    }

    /// Whether a worker that was granted these times may run something longer than under `other`.
    #[must_use]
    pub fn outlast(&self, other: &Self) -> bool {
        self.lease > other.lease || self.heartbeat_timeout > other.heartbeat_timeout
    }
}

/// Time for processes to be gone that a worker kills at the end of `limit`.
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
