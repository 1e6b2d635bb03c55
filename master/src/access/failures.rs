//! Failed authentications by the address that they come from. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Failures that one address may have within the window.
const FAILURES_MAX: u32 = 20;
/// Window in which they are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Addresses that are remembered; beyond, the oldest is forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// Standing of an address after one more failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The first failure of a while.
    First,
    /// One of a few.
    Few,
    /// One too many.
    TooMany,
}

/// Counts of failures.
#[derive(Debug, Default)]
pub(super) struct Failures {
    counts: BTreeMap<IpAddr, Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    failures: u32,
}

impl Failures {
    /// Returns true if the address, a site as [`super::Origin::site`] returns it, has failed too often of late.
    pub(super) fn is_exhausted(&self, site: IpAddr, now: Instant) -> bool {
        let count = self.counts.get(&site);
        count.is_some_and(|count| !count.is_over(now) && count.failures >= FAILURES_MAX)
    }

    /// Counts a failure.
    pub(super) fn on_failure(&mut self, site: IpAddr, now: Instant) -> Standing {
        if !self.counts.contains_key(&site) {
            self.make_room(now);
        }
        let count = self.counts.entry(site).or_insert(Count { since: now, failures: 0 });
        if count.is_over(now) {
            *count = Count { since: now, failures: 0 };
        }
        count.failures = count.failures.saturating_add(1);
        match count.failures {
            0 | 1 => Standing::First,
            2..=FAILURES_MAX => Standing::Few,
            _ => Standing::TooMany,
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.counts.len() < ADDRESSES_MAX {
            return;
        }
        self.counts.retain(|_, count| !count.is_over(now));
        if self.counts.len() < ADDRESSES_MAX {
            return;
        }
        let oldest = self.counts.iter().min_by_key(|(_, count)| count.since).map(|(ip, _)| *ip);
        oldest.and_then(|oldest| self.counts.remove(&oldest));
    }
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_too_often_is_exhausted_for_a_while() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let (one, other) = (ip("10.0.0.1"), ip("10.0.0.2"));
        assert_eq!(failures.on_failure(one, now), Standing::First);
        for _ in 1..FAILURES_MAX {
            assert!(!failures.is_exhausted(one, now));
            assert_eq!(failures.on_failure(one, now), Standing::Few);
        }
        assert!(failures.is_exhausted(one, now));
        assert_eq!(failures.on_failure(one, now), Standing::TooMany);
        assert!(!failures.is_exhausted(other, now));
        let later = now + WINDOW;
        assert!(!failures.is_exhausted(one, later));
        assert_eq!(failures.on_failure(one, later), Standing::First);
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_addresses_takes_bounded_memory() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for number in 0..10_000_u32 {
            failures.on_failure(std::net::Ipv4Addr::from_bits(number).into(), now);
        }
        assert_eq!(failures.counts.len(), ADDRESSES_MAX);
        failures.on_failure(ip("10.0.0.1"), now + WINDOW);
        assert_eq!(failures.counts.len(), 1);
    }
}
