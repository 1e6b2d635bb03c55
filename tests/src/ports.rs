//! Ports that nobody uses.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use rand::RngExt;

/// Below the range from which the system takes the near end of outgoing connections: such a port
/// stays free while the process that owns it is down.
const RANGE: Range<u16> = 11_000..31_000;

/// Port at which the search in this process goes on; 0 before the first one.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// That many ports on which nobody listens now.
pub(crate) fn free<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| free_port())
}

fn free_port() -> u16 {
    // Processes that test at the same time begin at places of their own.
    let start = rand::rng().random_range(RANGE);
    let begun = NEXT.compare_exchange(0, start, Ordering::Relaxed, Ordering::Relaxed);
    let _: u16 = begun.unwrap_or_default();
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(next).take(RANGE.len()).find(is_free).unwrap()
}

fn next() -> u16 {
    let after = |port: u16| if RANGE.contains(&(port + 1)) { port + 1 } else { RANGE.start };
    after(
        NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |port| Some(after(port))).unwrap(),
    )
}
