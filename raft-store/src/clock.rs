//! The wall clock, read only to stamp commands.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use cluster_state::Timestamp;
use tokio::time::Instant;

use crate::sync::lock;

/// Tells the time that commands are stamped with; clones share it.
///
/// It follows the wall clock, but never goes back, and runs on from log time where that is ahead:
/// after a leader whose clock was wrong, timers wait as long as they should and not until the
/// right clocks have caught up.
#[derive(Debug, Clone)]
pub struct Clock {
    last: Arc<Mutex<(Timestamp, Instant)>>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { last: Arc::new(Mutex::new((wall_clock(), Instant::now()))) }
    }
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let mut last = lock(&self.last);
        let (stamped, at) = *last;
        let now = Instant::now();
        let stamp = wall_clock().max(stamped.after(now.saturating_duration_since(at)));
        // Only whole milliseconds are used up, or frequent calls would stop the clock.
        if stamp > stamped {
            *last = (stamp, now);
        }
        stamp
    }

    /// Makes sure that the clock is not behind log time.
    pub fn observe(&self, log_time: Timestamp) {
        let mut last = lock(&self.last);
        if log_time > last.0 {
            *last = (log_time, Instant::now());
        }
    }
}

fn wall_clock() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_on_from_a_time_that_is_ahead() {
        let clock = Clock::default();
        let ahead = clock.now().after(Duration::from_secs(3_600));
        clock.observe(ahead);
        assert_eq!(clock.now(), ahead);

        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(clock.now(), ahead.after(Duration::from_millis(250)));
    }
}
