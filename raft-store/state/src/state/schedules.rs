//! Schedules, by name and by the time of their next run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::State;
use crate::{Schedule, ScheduleName, TaskId, Timestamp};

/// Schedules and the indexes over them.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    by_name: BTreeMap<ScheduleName, Arc<Schedule>>,
    /// Those that are not paused.
    by_next: BTreeSet<(Timestamp, ScheduleName)>,
    /// Those that are not paused and have a run that waits.
    waiting: BTreeSet<ScheduleName>,
    bytes: u64,
}

impl State {
    /// Returns the schedules, by name.
    pub fn schedules(&self) -> impl ExactSizeIterator<Item = &Arc<Schedule>> {
        self.schedules.by_name.values()
    }

    /// Returns the schedules whose names come after one, by name.
    pub fn schedules_after(
        &self,
        name: Option<&ScheduleName>,
    ) -> impl Iterator<Item = &Arc<Schedule>> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let range: (Bound<&ScheduleName>, Bound<&ScheduleName>) = (from, Bound::Unbounded);
        self.schedules.by_name.range::<ScheduleName, _>(range).map(|(_, schedule)| schedule)
    }

    /// Returns a schedule.
    #[must_use]
    pub fn schedule(&self, name: &ScheduleName) -> Option<&Arc<Schedule>> {
        self.schedules.by_name.get(name)
    }

    /// Returns the nominal time of the next run of any schedule that is not paused.
    #[must_use]
    pub fn next_run(&self) -> Option<Timestamp> {
        self.schedules.by_next.first().map(|(at, _)| *at)
    }

    /// Returns the schedules that have a run to start or to decide about, those first that are due for the
    /// longest time. Costs no more than they are, and those with a run that waits.
    pub fn due_schedules(&self, now: Timestamp) -> impl Iterator<Item = &Arc<Schedule>> {
        let is_live =
            move |schedule: &Schedule| schedule.last_task.is_some_and(|id| self.is_live(id));
        let due = self.schedules.by_next.iter().take_while(move |(at, _)| *at <= now);
        let due = due.filter_map(|(_, name)| self.schedule(name));
        let waiting = self.schedules.waiting.iter().filter_map(|name| self.schedule(name));
        let is_due = move |schedule: &Schedule| schedule.next.is_some_and(|next| next <= now);
        let released = waiting.filter(move |one| !is_live(one) && !is_due(one));
        due.chain(released)
    }

    fn is_live(&self, task: TaskId) -> bool {
        self.task(task).is_some()
    }

    /// Returns the bytes that schedules take, by the account of [`Schedule::bytes`].
    pub(crate) const fn schedule_bytes(&self) -> u64 {
        self.schedules.bytes
    }

    pub(crate) fn schedules_are_in_step(&self) -> bool {
        let mut fresh = Schedules::default();
        for schedule in self.schedules.by_name.values() {
            fresh.put(Arc::clone(schedule));
        }
        let Schedules { by_name, by_next, waiting, bytes } = &self.schedules;
        let is_ahead =
            |schedule: &Schedule| schedule.next.is_none_or(|next| schedule.last < Some(next));
        fresh.by_next == *by_next
            && fresh.waiting == *waiting
            && fresh.bytes == *bytes
            && by_name.iter().all(|(name, schedule)| schedule.name == *name && is_ahead(schedule))
    }

    pub(crate) fn put_schedule(&mut self, schedule: Arc<Schedule>) {
        self.schedules.put(schedule);
    }

    pub(crate) fn remove_schedule(&mut self, name: &ScheduleName) {
        self.schedules.remove(name);
    }
}

impl Schedules {
    fn put(&mut self, schedule: Arc<Schedule>) {
        self.remove(&schedule.name);
        self.bytes += schedule.bytes();
        if !schedule.is_paused {
            if let Some(next) = schedule.next {
                self.by_next.insert((next, schedule.name.clone()));
            }
            if schedule.waiting.is_some() {
                self.waiting.insert(schedule.name.clone());
            }
        }
        self.by_name.insert(schedule.name.clone(), schedule);
    }

    fn remove(&mut self, name: &ScheduleName) {
        if let Some(schedule) = self.by_name.remove(name) {
            self.bytes -= schedule.bytes();
            if let Some(next) = schedule.next {
                self.by_next.remove(&(next, schedule.name.clone()));
            }
            self.waiting.remove(name);
        }
    }
}
