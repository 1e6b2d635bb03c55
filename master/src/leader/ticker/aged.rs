//! Limits how fast finished tasks are forgotten for their age. Pure: time comes in as an argument.
//!
//! Should log time ever be wrong by weeks, the whole history is too old at once. Then an hour loses
//! a share of it, so that an operator can intervene.

use std::time::Duration;

use cluster_state::millis;

/// Divisor of the kept tasks: an hour forgets at most this part of them for their age, so that half
/// a day forgets most. Tasks that age steadily need one part in 168 where a week is kept.
const PARTS_PER_HOUR: u64 = 10;
/// Tasks that an hour may forget in any case, so that the last ones are forgotten, too.
const TASKS_PER_HOUR_MIN: u64 = 100;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Allowance of finished tasks that may be forgotten for their age.
#[derive(Debug, Default)]
pub(super) struct AgeAllowance {
    /// Allowance in tasks times milliseconds per hour, so that no part of a task is lost.
    saved: u64,
}

impl AgeAllowance {
    /// Adds the allowance of a time in which `kept` tasks were kept. What is unused after an hour
    /// lapses.
    pub(super) fn on_passed(&mut self, passed: Duration, kept: u64) {
        let hourly = (kept / PARTS_PER_HOUR).max(TASKS_PER_HOUR_MIN);
        let most = hourly.saturating_mul(millis(HOUR));
        let earned = hourly.saturating_mul(millis(passed));
        self.saved = self.saved.saturating_add(earned).min(most);
    }

    /// Returns the number of tasks that may be forgotten now.
    pub(super) const fn tasks(&self) -> u64 {
        self.saved / millis(HOUR)
    }

    /// Subtracts forgotten tasks.
    pub(super) const fn on_forgotten(&mut self, tasks: u64) {
        self.saved = self.saved.saturating_sub(tasks.saturating_mul(millis(HOUR)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the tasks left of `kept`, all of them too old, after some hours.
    fn left_after(hours: u64, kept: u64) -> u64 {
        let mut allowance = AgeAllowance::default();
        (0..hours * 360).fold(kept, |left, _| {
            allowance.on_passed(Duration::from_secs(10), left);
            let forgotten = allowance.tasks().min(left);
            allowance.on_forgotten(forgotten);
            left - forgotten
        })
    }

    #[test]
    fn a_tenth_of_the_history_goes_within_an_hour() {
        assert_eq!(AgeAllowance::default().tasks(), 0);
        let left = left_after(1, 1_000_000);
        assert!((900_000..910_000).contains(&left), "{left}");
    }

    #[test]
    fn all_of_it_goes_in_the_end() {
        assert_eq!(left_after(2, 200), 0);
        assert_eq!(left_after(7 * 24, 2_000_000), 0);
    }

    #[test]
    fn what_was_not_used_lapses() {
        let mut allowance = AgeAllowance::default();
        allowance.on_passed(24 * HOUR, 50_000);
        assert_eq!(allowance.tasks(), 5_000);
        allowance.on_forgotten(4_999);
        assert_eq!(allowance.tasks(), 1);
        allowance.on_passed(HOUR, 0);
        assert_eq!(allowance.tasks(), 100);
    }
}
