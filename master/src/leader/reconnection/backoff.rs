//! Backoffs that grow with failures. Pure.

use std::time::Duration;

use cluster_state::Backoff;

/// Cap of a growing rest; an interval that is longer stays as it is.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// Doublings beyond this would exceed the cap from any interval in use.
const DOUBLINGS_MAX: u32 = 16;
/// Divisor of a grown rest for the part that jitter may take away: one fourth.
const JITTER_SHARE: u32 = 4;
const JITTER_STEPS: u32 = 1024;

/// Returns the rest after that many consecutive failures.
#[must_use]
pub(super) fn rest(backoff: Backoff, interval: Duration, failures: u32, random: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    match backoff {
        Backoff::Off => interval,
        Backoff::Exponential if doublings == 0 => interval,
        Backoff::Exponential => {
            let cap = BACKOFF_MAX.max(interval);
            let full = interval.saturating_mul(1 << doublings).min(cap);
            let jitter = (full / JITTER_SHARE).saturating_mul(random % JITTER_STEPS);
            full.saturating_sub(jitter / JITTER_STEPS).max(interval)
        }
    }
}
