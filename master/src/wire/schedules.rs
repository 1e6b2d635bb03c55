//! Converts schedules.

use proto::convert;
use proto::v1;

use crate::operations::{NextRun, SchedulePage, ShownSchedule};

/// Converts a schedule with its latest runs.
pub(crate) fn schedule(shown: ShownSchedule) -> v1::Schedule {
    let ShownSchedule { schedule, shows_environment } = shown;
    let runs = schedule.runs.iter().map(Into::into).collect();
    v1::Schedule { runs, ..convert::schedule(&schedule, shows_environment) }
}

/// Converts a page of schedules.
pub(crate) fn schedule_page(SchedulePage { schedules, next }: SchedulePage) -> v1::SchedulePage {
    let schedules = schedules.iter().map(|ShownSchedule { schedule, shows_environment }| {
        convert::schedule(schedule, *shows_environment)
    });
    v1::SchedulePage {
        schedules: schedules.collect(),
        next_cursor: next.map(|name| name.to_string()),
    }
}

/// Converts the next times of a schedule.
pub(crate) fn next_runs(runs: Vec<NextRun>) -> v1::NextRuns {
    let runs = runs
        .into_iter()
        .map(|NextRun { at, local }| v1::NextRun { at: convert::rfc3339(at), local });
    v1::NextRuns { runs: runs.collect() }
}
