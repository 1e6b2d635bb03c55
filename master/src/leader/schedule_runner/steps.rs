//! Steps of schedules: the nominal times that have come, and the one after them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{Schedule, SchedulePlan, ScheduleStep, Timestamp};
use cron::Timetable;

/// Nominal times of one command, so that no entry stalls the others after a long pause.
const TIMES_MAX: usize = 1_000;
/// Timetables kept: one for each schedule that there may be.
const TIMETABLES_MAX: usize = 10_000;

/// Timetables by expression and zone, which cost more to read than to ask.
#[derive(Debug, Default)]
pub(super) struct Timetables {
    known: BTreeMap<(String, String), Option<Timetable>>,
}

impl Timetables {
    /// Returns a step of each of these schedules, which together have a bounded number of times.
    pub(super) fn steps(&mut self, due: &[Arc<Schedule>], now: Timestamp) -> Vec<ScheduleStep> {
        let share = TIMES_MAX.checked_div(due.len()).unwrap_or(0).max(1);
        due.iter().map(|schedule| self.step(schedule, now, share)).collect()
    }

    /// Returns the step that gives a schedule the next time by the data of this release.
    pub(super) fn replan(&mut self, schedule: &Schedule, now: Timestamp) -> ScheduleStep {
        let from = schedule.last.map_or(now, |last| last.max(now));
        let next =
            self.timetable(&schedule.plan).and_then(|timetable| timetable.next_after(from.0));
        step(schedule, Vec::new(), next.map(Timestamp))
    }

    fn step(&mut self, schedule: &Schedule, now: Timestamp, times_max: usize) -> ScheduleStep {
        let Some(first) = schedule.next.filter(|next| *next <= now) else {
            // A run that waits may start.
            return step(schedule, Vec::new(), schedule.next);
        };
        let Some(timetable) = self.timetable(&schedule.plan) else {
            let name = &schedule.name;
            tracing::error!(%name, "a schedule cannot be read, and runs no more: replace it");
            return step(schedule, Vec::new(), None);
        };
        let mut due = vec![first];
        let mut next = timetable.next_after(first.0).map(Timestamp);
        while let Some(at) = next.filter(|at| *at <= now && due.len() < times_max) {
            due.push(at);
            next = timetable.next_after(at.0).map(Timestamp);
        }
        step(schedule, due, next)
    }

    fn timetable(&mut self, plan: &SchedulePlan) -> Option<&Timetable> {
        if self.known.len() >= TIMETABLES_MAX {
            self.known.clear();
        }
        let place = (plan.cron.clone(), plan.zone.clone());
        let read = || Timetable::read(&plan.cron, &plan.zone).ok();
        self.known.entry(place).or_insert_with(read).as_ref()
    }
}

fn step(schedule: &Schedule, due: Vec<Timestamp>, next: Option<Timestamp>) -> ScheduleStep {
    ScheduleStep { schedule: schedule.name.clone(), known_at: schedule.index, due, next }
}

#[cfg(test)]
mod tests;
