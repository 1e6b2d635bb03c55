//! Computes log time, which stamps commands, and keeps it close to the masters' wall clocks.
//!
//! A wall clock may be wrong, and may jump. So no stamp is read from one: log time follows the
//! monotonic clock, and only the median of the voters' wall clocks (see [`survey`]) corrects it. A
//! leader adopts the median when its term begins, forward only; afterwards it corrects log time by
//! running slightly faster or slower.

pub(crate) mod survey;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster_state::{Timestamp, millis};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Denominator of the largest correction: timers that run during a correction are off by 1 %.
const SLEW_PARTS: u64 = 100;

/// A source of the time of day, right or wrong.
pub trait WallClock: Debug + Send + Sync {
    /// Returns the present time.
    fn now(&self) -> Timestamp;
}

/// The machine's own wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(millis(since_epoch))
    }
}

/// Log time on this master; clones share it.
#[derive(Debug, Clone)]
pub struct Clock {
    wall: Arc<dyn WallClock>,
    course: Arc<Mutex<Course>>,
}

impl Clock {
    /// Creates a clock that continues from the log's latest time, or from the wall clock if the log
    /// has none.
    pub(crate) fn new(wall: Arc<dyn WallClock>, log_time: Timestamp) -> Self {
        let starts_at = if log_time == Timestamp(0) { wall.now() } else { log_time };
        let course = Course {
            time: starts_at,
            at: Instant::now(),
            gap: 0,
            role: Role::Follows { seen: log_time },
        };
        Self { wall, course: Arc::new(Mutex::new(course)) }
    }

    /// Returns log time. It never goes back while this master leads.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.course.lock().read(Instant::now())
    }

    /// Returns this master's wall clock. Decisions must not depend on it.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.wall.now()
    }

    /// Adopts a stamp of another leader. A leader's own clock is not changed by it.
    pub(crate) fn follow(&self, log_time: Timestamp) {
        self.course.lock().follow(log_time, Instant::now());
    }

    /// Begins a term: log time continues from its present value.
    pub(crate) fn begin_term(&self, log_time: Timestamp) {
        let mut course = self.course.lock();
        course.follow(log_time, Instant::now());
        course.role = Role::Leads { is_set: false };
    }

    /// Corrects log time to the median of the wall clocks: the first median of a term moves it
    /// forward at once, later ones slowly.
    pub fn steer(&self, median: Timestamp) {
        let now = Instant::now();
        let mut course = self.course.lock();
        if course.role == (Role::Leads { is_set: false }) {
            course.role = Role::Leads { is_set: true };
            course.advance_to(median, now);
        }
        course.steer(median, now);
    }

    /// Ends a term: from here on the clock follows the stamps of others.
    pub fn end_term(&self) {
        let mut course = self.course.lock();
        let seen = course.read(Instant::now());
        match course.role {
            Role::Leads { .. } => course.role = Role::Follows { seen },
            Role::Follows { .. } => {}
        }
    }
}

/// Course of log time from some moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    /// Log time at that moment.
    time: Timestamp,
    at: Instant,
    /// Milliseconds by which log time was behind the median of the wall clocks; negative if it was
    /// ahead.
    gap: i64,
    role: Role,
}

/// Source of the stamps that are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Another leader's, as the log delivers them.
    Follows { seen: Timestamp },
    /// None: the stamps are this master's.
    Leads {
        /// True once the wall clocks were asked in this term.
        is_set: bool,
    },
}

impl Course {
    /// Returns log time at `now`. It rises with `now`, because a correction is only a share of the
    /// elapsed time.
    fn read(&self, now: Instant) -> Timestamp {
        let passed = self.passed_millis(now);
        let most = passed / SLEW_PARTS;
        let slew = self.gap.unsigned_abs().min(most);
        let uncorrected = self.time.0.saturating_add(passed);
        Timestamp(if self.gap < 0 {
            uncorrected.saturating_sub(slew)
        } else {
            uncorrected.saturating_add(slew)
        })
    }

    fn passed_millis(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.at))
    }

    fn follow(&mut self, log_time: Timestamp, now: Instant) {
        let Role::Follows { seen } = self.role else { return };
        if log_time > seen {
            self.role = Role::Follows { seen: log_time };
            self.go_on_from(log_time, now);
        }
    }

    fn advance_to(&mut self, time: Timestamp, now: Instant) {
        if time > self.read(now) {
            self.go_on_from(time, now);
        }
    }

    fn go_on_from(&mut self, time: Timestamp, now: Instant) {
        *self = Self { time, at: now, gap: 0, role: self.role };
    }

    fn steer(&mut self, median: Timestamp, now: Instant) {
        let time = self.read(now);
        // Only whole milliseconds are consumed: frequent steering must not slow the clock down.
        let at = self.at + Duration::from_millis(self.passed_millis(now));
        *self = Self { time, at, gap: survey::millis_between(time, median), role: self.role };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1_000;
    const START: Timestamp = Timestamp(1_700_000_000_000);

    #[derive(Debug)]
    struct Fixed(Timestamp);

    impl WallClock for Fixed {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn clock(wall: u64, log_time: Timestamp) -> Clock {
        Clock::new(Arc::new(Fixed(Timestamp(wall))), log_time)
    }

    fn later(time: Timestamp, millis: u64) -> Timestamp {
        Timestamp(time.0 + millis)
    }

    #[tokio::test(start_paused = true)]
    async fn log_time_runs_on_whatever_the_wall_clock_says() {
        let clock = clock(START.0 + 10 * DAY, START);
        clock.begin_term(START);
        assert_eq!(clock.now(), START);

        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(clock.now(), later(START, 250));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_begins_takes_the_wall_clock() {
        let clock = clock(START.0, Timestamp(0));
        assert_eq!(clock.now(), START);
        clock.begin_term(Timestamp(0));
        clock.steer(later(START, 7));
        assert_eq!(clock.now(), later(START, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_begins_at_the_median_but_never_before_log_time() {
        let behind = clock(0, START);
        behind.begin_term(START);
        behind.steer(later(START, DAY));
        assert_eq!(behind.now(), later(START, DAY));

        let ahead = clock(0, START);
        ahead.begin_term(later(START, DAY));
        ahead.steer(START);
        assert_eq!(ahead.now(), later(START, DAY));
    }

    #[tokio::test(start_paused = true)]
    async fn within_a_term_log_time_is_brought_to_the_median_slowly() {
        let clock = clock(0, START);
        clock.begin_term(START);
        clock.steer(START);
        clock.steer(later(START, DAY));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(clock.now(), later(START, 10_100));

        // A hundredth ahead of what it should be: it waits, and then keeps step.
        clock.steer(later(START, 10_000));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), later(START, 15_050));
        tokio::time::advance(Duration::from_secs(35)).await;
        assert_eq!(clock.now(), later(START, 50_000));
    }

    #[tokio::test(start_paused = true)]
    async fn log_time_that_is_far_ahead_does_not_stand_still() {
        let clock = clock(0, later(START, 10 * DAY));
        clock.begin_term(later(START, 10 * DAY));
        clock.steer(START);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(clock.now(), later(START, 10 * DAY + 99_000));
    }

    #[tokio::test(start_paused = true)]
    async fn steering_often_does_not_slow_the_clock_down() {
        let clock = clock(0, START);
        clock.begin_term(START);
        for _ in 0..1_000 {
            tokio::time::advance(Duration::from_micros(900)).await;
            clock.steer(clock.now());
        }
        assert_eq!(clock.now(), later(START, 900));
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_shows_what_the_leader_stamps() {
        let clock = clock(START.0 + 10 * DAY, Timestamp(0));
        clock.follow(START);
        tokio::time::advance(Duration::from_secs(1)).await;
        clock.follow(START);
        assert_eq!(clock.now(), later(START, 1_000));
        clock.follow(later(START, 700));
        assert_eq!(clock.now(), later(START, 700));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_not_moved_by_its_own_stamps() {
        let clock = clock(0, START);
        clock.begin_term(START);
        tokio::time::advance(Duration::from_secs(1)).await;
        clock.follow(later(START, 5));
        assert_eq!(clock.now(), later(START, 1_000));

        clock.end_term();
        clock.follow(later(START, 900));
        assert_eq!(clock.now(), later(START, 1_000));
        clock.follow(later(START, 5_000));
        assert_eq!(clock.now(), later(START, 5_000));
    }
}
