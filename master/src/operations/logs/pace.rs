//! The rate at which a reader takes output. Pure, given the time.

use std::time::Duration;

use proto::output::Flow;
use tokio::time::Instant;

/// Bytes over which the rate is measured.
const STRETCH_BYTES: u64 = 512 << 10;
/// Time within which a fast reader takes so many.
const FAST_WITHIN: Duration = Duration::from_millis(500);

/// Measures the rate, stretch by stretch.
#[derive(Debug)]
pub(super) struct Pace {
    begun_at: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) const fn starting(now: Instant) -> Self {
        Self { begun_at: now, bytes: 0 }
    }

    /// Records that the reader has taken so many bytes. At the end of a stretch, returns the flow
    /// for its rate.
    pub(super) fn on_taken(&mut self, bytes: usize, now: Instant) -> Option<Flow> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes < STRETCH_BYTES {
            return None;
        }
        let is_fast = now.saturating_duration_since(self.begun_at) < FAST_WITHIN;
        *self = Self::starting(now);
        Some(if is_fast { Flow::Wide } else { Flow::Narrow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flow_goes_by_the_rate_of_the_last_stretch() {
        let start = Instant::now();
        let half = usize::try_from(STRETCH_BYTES / 2).unwrap();
        let mut pace = Pace::starting(start);
        let at = |millis| start + Duration::from_millis(millis);

        assert_eq!(pace.on_taken(half, at(1)), None);
        assert_eq!(pace.on_taken(half, at(499)), Some(Flow::Wide));
        assert_eq!(pace.on_taken(half, at(500)), None, "another stretch");
        assert_eq!(pace.on_taken(half, at(999)), Some(Flow::Narrow));
        assert_eq!(pace.on_taken(2 * half, at(1_000)), Some(Flow::Wide));
    }
}
