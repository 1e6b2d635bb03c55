//! Bounds the lines of a log about callers that were not let in: a stranger could fill a disk with them.
//! Pure.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Time in which lines are counted: somebody who waits for a caller reads of it within that.
const WINDOW: Duration = Duration::from_secs(60);
/// Lines in this time, each of another address.
const LINES_MAX: usize = 10;

/// Callers of one listener that were not let in.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    /// Addresses that have got their line.
    told: Vec<IpAddr>,
    left_out: u64,
}

impl Refusals {
    /// Counts a caller that was not let in. If a line about it is due, returns the number of those before
    /// it that got none since the last line.
    pub fn on_refused(&self, address: IpAddr, now: Instant) -> Option<u64> {
        let site = site(address);
        let mut window = self.0.lock();
        if window.since.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            window.since = Some(now);
            window.told.clear();
        }
        if window.told.len() >= LINES_MAX || window.told.contains(&site) {
            window.left_out = window.left_out.saturating_add(1);
            return None;
        }
        window.told.push(site);
        Some(std::mem::take(&mut window.left_out))
    }
}

/// Returns the address by which a caller counts: of IPv6, one holder has a network of 64 bits.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_gets_a_line_a_minute_which_says_how_many_got_none() {
        let refusals = Refusals::default();
        let told = |text| refusals.on_refused(address(text), Instant::now());
        assert_eq!(told("10.0.0.1"), Some(0));
        assert_eq!([told("10.0.0.1"), told("::ffff:10.0.0.1")], [None, None]);
        assert_eq!(told("10.0.0.2"), Some(2));
        assert_eq!((told("2001:db8::1"), told("2001:db8::2")), (Some(0), None));

        tokio::time::advance(WINDOW).await;
        assert_eq!(told("10.0.0.1"), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_addresses_call_there_are_ten_lines_a_minute() {
        let refusals = Refusals::default();
        let flood = (0..10_000_u32).filter(|number| {
            let address = IpAddr::V4((0x0a00_0000 + number).into());
            refusals.on_refused(address, Instant::now()).is_some()
        });
        assert_eq!(flood.count(), LINES_MAX);
        tokio::time::advance(WINDOW).await;
        assert_eq!(refusals.on_refused(address("10.9.9.9"), Instant::now()), Some(9_990));
    }
}
