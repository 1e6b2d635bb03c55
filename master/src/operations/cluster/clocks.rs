//! Describes problems of the masters' clocks to an operator.

use std::time::Duration;

use cluster_state::{MasterId, Timestamp};
use raft_store::{ClockSurvey, is_astray};
use tokio::time::Instant;

/// Describes the problem of a master's wall clock, so many milliseconds ahead of the median, if it is
/// one.
pub(super) fn problem_of(master: MasterId, offset: i64) -> Option<String> {
    let (distance, side) = (distance(offset), if offset < 0 { "behind" } else { "ahead of" });
    is_astray(offset)
        .then(|| format!("the clock of master {master} is {distance} {side} the masters' median"))
}

/// Describes the problem of log time, if it has one. It may lie behind the clocks, because it
/// stands still while nothing is written; it lies ahead of them only after most clocks were wrong.
pub(super) fn problem_of_log_time(log_time: Timestamp, clocks: &ClockSurvey) -> Option<String> {
    let ahead = log_time.since(clocks.median_at(Instant::now())?);
    let ahead = i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX);
    let distance = distance(ahead);
    is_astray(ahead).then(|| {
        format!("the log's time is {distance} ahead of the masters' clocks: so are stamps")
    })
}

/// Formats an offset to the second, which is exact enough for setting a clock.
fn distance(offset_millis: i64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(offset_millis.unsigned_abs() / 1_000))
}

#[cfg(test)]
mod tests {
    use raft_store::NodeId;

    use super::*;

    fn off(millis: i64) -> Option<String> {
        problem_of(MasterId(2), millis)
    }

    #[test]
    fn a_wrong_clock_is_a_problem() {
        assert_eq!(off(-5_000), None);
        let ahead = "the clock of master 2 is 10days ahead of the masters' median";
        assert_eq!(off(864_000_500).as_deref(), Some(ahead));
        let behind = "the clock of master 2 is 1m 1s behind the masters' median";
        assert_eq!(off(-61_000).as_deref(), Some(behind));
    }

    #[test]
    fn log_time_that_is_ahead_is_a_problem() {
        let mut clocks = ClockSurvey::new(Instant::now(), [NodeId(1)].into());
        assert_eq!(problem_of_log_time(Timestamp(90_000), &clocks), None);
        clocks.add(NodeId(1), Timestamp(4_000));
        let ahead = problem_of_log_time(Timestamp(94_900), &clocks).unwrap();
        assert!(ahead.starts_with("the log's time is 1m 30s ahead of"), "{ahead}");
        assert_eq!(problem_of_log_time(Timestamp(1_000), &clocks), None);
    }
}
