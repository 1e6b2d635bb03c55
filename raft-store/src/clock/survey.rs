//! Compares the voters' wall clocks and finds those that are off. Pure: the node asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::log_node::NodeId;
use cluster_state::Timestamp;
use tokio::time::Instant;

/// Offset from the median that deserves an operator's attention: NTP keeps clocks within a fraction
/// of a second.
pub const CLOCK_OFFSET_MAX: Duration = Duration::from_secs(5);

/// Wall clocks of the voters that answered in time.
#[derive(Debug, Clone)]
pub struct ClockSurvey {
    /// Moment at which they are compared.
    taken_at: Instant,
    voters: BTreeSet<NodeId>,
    walls: BTreeMap<NodeId, Timestamp>,
}

impl ClockSurvey {
    /// Creates a survey without answers.
    #[must_use]
    pub const fn new(taken_at: Instant, voters: BTreeSet<NodeId>) -> Self {
        Self { taken_at, voters, walls: BTreeMap::new() }
    }

    /// Adds a master's clock at the moment of the survey.
    pub fn add(&mut self, master: NodeId, wall: Timestamp) {
        self.walls.insert(master, wall);
    }

    /// Returns the median of the voters' clocks at the moment of the survey, and the earlier of two
    /// in the middle, because time that was skipped does not come back. None unless a quorum has
    /// answered.
    #[must_use]
    pub fn median(&self) -> Option<Timestamp> {
        let answered = self.walls.iter().filter(|(master, _)| self.voters.contains(master));
        let mut walls = answered.map(|(_, wall)| *wall).collect::<Vec<_>>();
        if walls.len() <= self.voters.len() / 2 {
            return None;
        }
        walls.sort_unstable();
        walls.get((walls.len() - 1) / 2).copied()
    }

    /// Returns the median, advanced to `now`.
    #[must_use]
    pub fn median_at(&self, now: Instant) -> Option<Timestamp> {
        Some(self.median()?.after(now.saturating_duration_since(self.taken_at)))
    }

    /// Returns the milliseconds by which each clock is ahead of the median; negative if it is
    /// behind. Empty without a median.
    #[must_use]
    pub fn offsets(&self) -> BTreeMap<NodeId, i64> {
        let Some(median) = self.median() else { return BTreeMap::new() };
        let walls = self.walls.iter();
        walls.map(|(master, wall)| (*master, millis_between(median, *wall))).collect()
    }
}

/// Returns true if a clock that is off by that many milliseconds should be reported.
#[must_use]
pub fn is_astray(offset_millis: i64) -> bool {
    Duration::from_millis(offset_millis.unsigned_abs()) > CLOCK_OFFSET_MAX
}

/// Returns the milliseconds between two times; negative when `to` is the earlier.
pub(crate) fn millis_between(from: Timestamp, to: Timestamp) -> i64 {
    let distance = i64::try_from(from.0.abs_diff(to.0)).unwrap_or(i64::MAX);
    if to < from { -distance } else { distance }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1_000;
    const NOON: u64 = 1_700_000_000_000;

    /// Returns a survey of that many voters, of which these answered.
    fn survey(voters: u64, offsets: &[i64]) -> ClockSurvey {
        let mut survey = ClockSurvey::new(Instant::now(), (1..=voters).map(NodeId).collect());
        for (master, offset) in (1..).zip(offsets) {
            survey.add(NodeId(master), Timestamp(NOON.saturating_add_signed(*offset)));
        }
        survey
    }

    fn median(voters: u64, offsets: &[i64]) -> Option<i64> {
        let median = survey(voters, offsets).median()?;
        Some(millis_between(Timestamp(NOON), median))
    }

    #[test]
    fn one_wrong_clock_does_not_move_the_median() {
        assert_eq!(median(3, &[10 * DAY, 0, 3]), Some(3));
        assert_eq!(median(3, &[-10 * DAY, 0, 3]), Some(0));
        assert_eq!(median(5, &[10 * DAY, 1, 2, 3, -DAY]), Some(2));
    }

    #[test]
    fn of_two_the_earlier_counts() {
        assert_eq!(median(3, &[10 * DAY, 0]), Some(0));
        assert_eq!(median(5, &[0, 1, 10 * DAY, 10 * DAY]), Some(1));
    }

    #[test]
    fn without_a_quorum_there_is_no_median() {
        assert_eq!(median(3, &[0]), None);
        assert_eq!(median(5, &[0, 0]), None);
        assert_eq!(survey(3, &[0]).offsets(), BTreeMap::new());
        assert_eq!(median(1, &[7]), Some(7));
    }

    #[test]
    fn a_learner_is_compared_but_does_not_count() {
        let mut survey = survey(3, &[0, 0]);
        survey.add(NodeId(9), Timestamp(NOON + 60_000));
        assert_eq!(survey.median(), Some(Timestamp(NOON)));
        assert_eq!(survey.offsets().get(&NodeId(9)), Some(&60_000));
    }

    #[test]
    fn five_seconds_are_told_of() {
        assert!(is_astray(5_001) && is_astray(-5_001) && is_astray(i64::MIN));
        assert!(!is_astray(5_000) && !is_astray(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_median_runs_on() {
        let survey = survey(1, &[0]);
        tokio::time::advance(Duration::from_millis(30)).await;
        assert_eq!(survey.median_at(Instant::now()), Some(Timestamp(NOON + 30)));
    }
}
