//! Decides about the runs of schedules when they are due.

mod steps;

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AdvanceSchedules, Command, Level, Reply, RunCounts, Schedule, ScheduleStep, State, Term,
    Timestamp,
};
use cron::ZONE_DATA;
use raft_store::{Node, ProposeError};
use tokio::time::Instant;

use self::steps::Timetables;
use super::duty::{Duty, Wait};
use crate::metrics::Metrics;

/// Pause between two passes that the log calls for: a run that waits starts as soon after the one before.
const CHANGE_PAUSE: Duration = Duration::from_millis(20);
/// Longest sleep before a run: log time may run one hundredth faster than the clock by which it is measured.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Pause after tasks were refused for want of room on a disk.
const ROOM_PAUSE: Duration = Duration::from_secs(1);
/// Schedules of one command.
const SCHEDULES_MAX: usize = 500;
/// Schedules whose next times are computed anew at once.
const REPLANNED_MAX: usize = 500;

/// Proposes the runs that are due. What is due stands in the state, so a new leader goes on where the
/// last one was, and what both have proposed takes effect once.
#[derive(Debug)]
pub(super) struct ScheduleRunner {
    node: Node,
    term: Term,
    metrics: Metrics,
    timetables: Timetables,
    /// True once all next times are those of the data of this release.
    is_replanned: bool,
}

impl ScheduleRunner {
    /// Returns the runner of one term.
    #[must_use]
    pub(super) fn new(node: Node, term: Term, metrics: Metrics) -> Self {
        let timetables = Timetables::default();
        Self { node, term, metrics, timetables, is_replanned: false }
    }

    async fn propose(&self, steps: Vec<ScheduleStep>) -> Result<(), ProposeError> {
        let (term, zone_data) = (self.term, ZONE_DATA.to_owned());
        let command = Command::AdvanceSchedules(AdvanceSchedules { term, zone_data, steps });
        let committed = self.node.propose_as_leader(self.term, &command).await?;
        if let Reply::Advanced(counts) = committed.reply {
            self.metrics.on_scheduled_runs(counts);
            if counts != RunCounts::default() {
                let RunCounts { started, skipped, missed } = counts;
                tracing::debug!(started, skipped, missed, "runs of schedules decided about");
            }
        }
        Ok(())
    }

    /// Computes the next times anew that other data of time zones gave, once every master has those of
    /// this release.
    async fn replan(&mut self) -> Result<(), ProposeError> {
        while !self.is_replanned {
            let now = self.node.clock().now();
            let outdated = self
                .node
                .reader()
                .with(|state| (state.meta().level >= Level::NEWEST).then(|| outdated(state, now)));
            let Some(outdated) = outdated else { return Ok(()) };
            if outdated.is_empty() {
                self.is_replanned = true;
                return Ok(());
            }
            let count = outdated.len();
            let steps = outdated.iter().map(|one| self.timetables.replan(one, now)).collect();
            self.propose(steps).await?;
            tracing::info!(count, edition = ZONE_DATA, "next times of schedules computed anew");
        }
        Ok(())
    }
}

/// Returns schedules that are not due and were computed with other data.
fn outdated(state: &State, now: Timestamp) -> Vec<Arc<Schedule>> {
    let is_ahead = |schedule: &Schedule| schedule.next.is_none_or(|next| next > now);
    let is_outdated = |schedule: &Schedule| schedule.zone_data != ZONE_DATA && !schedule.is_paused;
    let outdated = state.schedules().filter(|one| is_outdated(one) && is_ahead(one));
    outdated.take(REPLANNED_MAX).cloned().collect()
}

impl Duty for ScheduleRunner {
    const NAME: &'static str = "schedules";
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        self.replan().await?;
        loop {
            let now = self.node.clock().now();
            let (due, next) = self.node.reader().with(|state| {
                let due = state.due_schedules(now).take(SCHEDULES_MAX);
                (due.cloned().collect::<Vec<_>>(), state.next_run())
            });
            if due.is_empty() {
                let until = next.map(|at| Instant::now() + at.since(now).min(SLEEP_MAX));
                let wait = Wait::for_change_after(Instant::now() + CHANGE_PAUSE);
                return Ok(wait.at_most_until(until));
            }
            let steps = self.timetables.steps(&due, now);
            match self.propose(steps).await {
                Err(ProposeError::NoRoom { .. } | ProposeError::DiskFull { .. }) => {
                    return Ok(Wait::for_time(Instant::now() + ROOM_PAUSE));
                }
                other => other?,
            }
        }
    }
}
