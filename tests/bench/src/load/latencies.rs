//! Exact quantiles of measured times. Pure.

use std::time::Duration;

/// Measured times, each kept to the microsecond: four bytes a call are cheaper than an answer that
/// is off by a bucket's width.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
    is_sorted: bool,
}

impl Latencies {
    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        self.is_sorted = false;
    }

    /// Adds all of another's.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.micros.extend_from_slice(&other.micros);
        self.is_sorted = false;
    }

    /// Returns the number of samples.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.micros.len()).unwrap_or(u64::MAX)
    }

    /// Returns the least time that so many of a thousand did not exceed; zero when nothing was
    /// measured.
    pub(crate) fn per_mille(&mut self, share: u16) -> Duration {
        if !self.is_sorted {
            self.micros.sort_unstable();
            self.is_sorted = true;
        }
        let rank = (self.micros.len() * usize::from(share.min(1_000))).div_ceil(1_000);
        let micros = self.micros.get(rank.saturating_sub(1)).copied().unwrap_or(0);
        Duration::from_micros(u64::from(micros))
    }

    /// Returns the median.
    pub(crate) fn median(&mut self) -> Duration {
        self.per_mille(500)
    }

    /// Returns the longest.
    pub(crate) fn longest(&mut self) -> Duration {
        self.per_mille(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact() {
        let mut latencies = Latencies::default();
        for millis in (1..=100).rev() {
            latencies.record(Duration::from_millis(millis));
        }
        assert_eq!(latencies.median(), Duration::from_millis(50));
        assert_eq!(latencies.per_mille(990), Duration::from_millis(99));
        assert_eq!(latencies.longest(), Duration::from_millis(100));
        assert_eq!(latencies.per_mille(0), Duration::from_millis(1));
    }

    #[test]
    fn what_is_added_later_counts_too() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.median(), Duration::ZERO);
        latencies.record(Duration::from_secs(2));
        assert_eq!(latencies.longest(), Duration::from_secs(2));
        let mut others = Latencies::default();
        others.record(Duration::from_secs(1));
        latencies.merge(&others);
        assert_eq!((latencies.count(), latencies.median()), (2, Duration::from_secs(1)));
    }
}
