//! A clock for leases that runs on while the machine sleeps: the leader's clock does, too.

use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};

/// Longest sleep between two readings of the clock: timers stand still while the machine sleeps, so
/// a time that has passed is noticed within this time of waking up.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// A shorter sleep cannot be told from the time between two readings, and need not be.
const SLEEP_MIN: Duration = Duration::from_millis(500);

/// A time of this clock. A type of its own, so that it is not taken for an [`Instant`], which lacks
/// the time slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Instant);

impl Moment {
    /// Returns this time plus `duration`, or plus a century at most, which no sum overflows.
    #[must_use]
    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0 + duration.min(CENTURY))
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Returns the present time.
#[must_use]
pub(crate) fn now() -> Moment {
    Moment(Instant::now() + slept())
}

/// Waits until [`now`] has reached `at`.
pub(crate) async fn sleep_until(at: Moment) {
    loop {
        let left = at.since(now());
        if left.is_zero() {
            return;
        }
        sleep(left.min(SLEEP_MAX)).await;
    }
}

/// Returns for how long the machine has slept since the first call.
fn slept() -> Duration {
    static AT_FIRST: OnceLock<Duration> = OnceLock::new();
    let ahead = boot_time_ahead();
    let slept = ahead.saturating_sub(*AT_FIRST.get_or_init(|| ahead));
    let slept = if slept < SLEEP_MIN { Duration::ZERO } else { slept };
    #[cfg(test)]
    let slept = slept + tests::SLEPT.get();
    slept
}

/// Returns the lead of the clock that counts suspended time over the one that does not.
fn boot_time_ahead() -> Duration {
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    let awake = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(awake)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Simulates a sleep of the machine: no timer fires, and the time is later.
    pub(crate) fn suspend(time: Duration) {
        SLEPT.set(SLEPT.get() + time);
    }

    #[test]
    fn time_that_was_slept_has_passed() {
        let before = now();
        suspend(Duration::from_secs(3_600));
        assert!(now().since(before) >= Duration::from_secs(3_600));
        assert!(now().after(Duration::MAX) > now(), "nothing overflows");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_comes_soon_after_a_sleep() {
        let began_at = Instant::now();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let waiting = tokio::spawn(sleep_until(now().after(Duration::from_secs(300))));
        tokio::task::yield_now().await;
        suspend(Duration::from_secs(1_200));

        waiting.await.unwrap();

        assert!(began_at.elapsed() <= SLEEP_MAX, "{:?}", began_at.elapsed());
    }
}
