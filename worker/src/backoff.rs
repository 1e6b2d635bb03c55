//! Computes the pause before the next try: doubling, capped and jittered.

use std::time::Duration;

/// Doublings beyond this would exceed any cap in use.
const DOUBLINGS_MAX: u32 = 16;

/// The pauses of one series of failures.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Starts at `base` and never exceeds `cap`.
    #[must_use]
    pub(crate) const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Returns the pause after one more failure: between half of the full pause and all of it, by
    /// `random`.
    pub(crate) fn on_failed(&mut self, random: u32) -> Duration {
        let full = self.base.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        let half = full / 2;
        half + half.saturating_mul(random % 1024) / 1024
    }

    /// Resets the series: the next failure is the first one.
    pub(crate) const fn on_succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(200);
    const CAP: Duration = Duration::from_secs(5);

    #[test]
    fn pauses_double_up_to_the_cap() {
        let mut backoff = Backoff::new(BASE, CAP);

        let pauses = (0..7).map(|_| backoff.on_failed(0).as_millis()).collect::<Vec<_>>();

        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_500, 2_500]);
    }

    #[test]
    fn jitter_stays_within_the_upper_half() {
        for random in [0, 1, 511, 1_023, u32::MAX] {
            let pause = Backoff::new(BASE, CAP).on_failed(random);
            assert!(pause >= BASE / 2 && pause <= BASE, "{random} gave {pause:?}");
        }
    }

    #[test]
    fn success_starts_over_and_endless_failure_does_not_overflow() {
        let mut backoff = Backoff::new(BASE, CAP);
        for _ in 0..100 {
            assert!(backoff.on_failed(u32::MAX) <= CAP);
        }

        backoff.on_succeeded();

        assert_eq!(backoff.on_failed(0), BASE / 2);
    }
}
