//! Lets a change of the membership wait for its turn while another one is under way.

use std::time::Duration;

use tokio::time::Instant;

/// Time for which a change waits for others to end: longer than each of them takes.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before it is tried again.
const TURN_PAUSE: Duration = Duration::from_millis(50);

/// Patience of one change.
#[derive(Debug)]
pub(super) struct Turn {
    until: Instant,
}

impl Turn {
    pub(super) fn begin() -> Self {
        Self { until: Instant::now() + TURN_TIMEOUT }
    }

    /// Waits before the change is tried again; returns false when it has waited for too long.
    pub(super) async fn may_be_tried_again(&self) -> bool {
        let is_early = Instant::now() < self.until;
        if is_early {
            tokio::time::sleep(TURN_PAUSE).await;
        }
        is_early
    }
}
