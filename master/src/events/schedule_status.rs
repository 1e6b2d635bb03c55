//! Events of schedules, with the labels by which users may know of them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{Change, Key, Record, Schedule, ScheduleName, TextMap, Timestamp};
use proto::convert;
use proto::v1;
use serde::Serialize;

/// A schedule as it stands after it was changed, or after a run was decided about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ScheduleStatus {
    schedule: ScheduleName,
    /// `active`, `paused` or `deleted`.
    state: &'static str,
    /// The latest run; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<v1::ScheduleRun>,
    /// Nominal time of the next run; null where there is none.
    next_at: Option<String>,
    /// Numbers of runs so far; absent when it is deleted.
    #[serde(flatten)]
    counts: Option<Counts>,
    timestamp: String,
    /// Labels of its task, shared by all of its events.
    #[serde(skip)]
    labels: Arc<TextMap>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Counts {
    started: u64,
    skipped: u64,
    missed: u64,
}

impl ScheduleStatus {
    fn of(schedule: &Schedule, labels: Arc<TextMap>, at: Timestamp) -> Self {
        let counts = schedule.counts;
        let (started, skipped, missed) = (counts.started, counts.skipped, counts.missed);
        Self {
            schedule: schedule.name.clone(),
            state: if schedule.is_paused { "paused" } else { "active" },
            run: schedule.runs.back().map(v1::ScheduleRun::from),
            next_at: schedule.next.map(convert::rfc3339),
            counts: Some(Counts { started, skipped, missed }),
            timestamp: convert::rfc3339(at),
            labels,
        }
    }

    fn of_deleted(name: &ScheduleName, labels: Arc<TextMap>, at: Timestamp) -> Self {
        Self {
            schedule: name.clone(),
            state: "deleted",
            run: None,
            next_at: None,
            counts: None,
            timestamp: convert::rfc3339(at),
            labels,
        }
    }

    /// Returns the value of a label of its task.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key)
    }
}

/// Labels of the tasks of all schedules: a deletion names only the schedule.
#[derive(Debug, Default)]
pub(crate) struct KnownSchedules {
    labels: BTreeMap<ScheduleName, Arc<TextMap>>,
}

impl KnownSchedules {
    /// Knows these schedules.
    pub(super) fn of<'a>(schedules: impl Iterator<Item = &'a Arc<Schedule>>) -> Self {
        let labels = schedules
            .map(|schedule| (schedule.name.clone(), Arc::new(schedule.plan.task.labels.clone())));
        Self { labels: labels.collect() }
    }

    /// Returns the event of a change at this time; none if it is not about a schedule.
    pub(super) fn status(&mut self, change: &Change, at: Timestamp) -> Option<ScheduleStatus> {
        if let Change::Put(Record::Schedule(schedule)) = change {
            let labels = self.labels_of(schedule);
            return Some(ScheduleStatus::of(schedule, labels, at));
        }
        let Change::Delete(Key::Schedule(name)) = change else { return None };
        let labels = self.labels.remove(name).unwrap_or_default();
        Some(ScheduleStatus::of_deleted(name, labels, at))
    }

    fn labels_of(&mut self, schedule: &Schedule) -> Arc<TextMap> {
        let labels = &schedule.plan.task.labels;
        match self.labels.get(&schedule.name).filter(|known| ***known == *labels) {
            Some(known) => Arc::clone(known),
            None => {
                let labels = Arc::new(labels.clone());
                self.labels.insert(schedule.name.clone(), Arc::clone(&labels));
                labels
            }
        }
    }
}
