//! The registry, and what is kept beside it for the duties.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::State;
use crate::{LogIndex, TaskId, Worker, WorkerId, WorkerState};

impl State {
    /// A registered worker.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> Option<&Arc<Worker>> {
        self.workers.get(id)
    }

    /// The registry, by name.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = &Arc<Worker>> {
        self.workers.values()
    }

    /// The registry from the first name after `cursor`.
    pub fn workers_after(&self, cursor: Option<&WorkerId>) -> impl Iterator<Item = &Arc<Worker>> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        self.workers.range::<WorkerId, _>((from, Bound::Unbounded)).map(|(_, worker)| worker)
    }

    /// The workers that are not connected: whom the reconnection monitor looks for. Oldest change
    /// first.
    pub fn inactive_workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.inactive.iter().filter_map(|(_, id)| self.workers.get(id))
    }

    /// Those of them whose record changed after `index`: what there is to see for somebody who has
    /// looked before, whatever else the log holds. Latest change first.
    pub fn inactive_workers_after(&self, index: LogIndex) -> impl Iterator<Item = &Arc<Worker>> {
        let later = self.inactive.iter().rev().take_while(move |(at, _)| *at > index);
        later.filter_map(|(_, id)| self.workers.get(id))
    }

    /// The workers that are connected and whose record changed after `index`. Latest change first.
    pub fn active_workers_after(&self, index: LogIndex) -> impl Iterator<Item = &Arc<Worker>> {
        let later = self.active.iter().rev().take_while(move |(at, _)| *at > index);
        later.filter_map(|(_, id)| self.workers.get(id))
    }

    /// How many workers are connected.
    #[must_use]
    pub fn active_count(&self) -> usize {
        self.active.len()
    }

    /// How many workers are not connected.
    #[must_use]
    pub fn inactive_count(&self) -> usize {
        self.inactive.len()
    }

    /// The connected workers that cannot be called or cannot start programs.
    pub fn ailing_workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.ailing.iter().filter_map(|id| self.workers.get(id))
    }

    /// Whether another worker takes tasks, too.
    pub(crate) fn takes_tasks_beside(&self, id: &WorkerId) -> bool {
        self.room.has_beside(id)
    }

    /// Whether a worker that cannot be called is to say which of its attempts it has: some may
    /// never have reached it.
    #[must_use]
    pub fn owes_an_inventory(&self, worker: &Worker) -> bool {
        let is_unstarted = |id: &TaskId| {
            let attempt = self.task(*id).and_then(|task| task.live_attempt());
            attempt.is_some_and(|attempt| attempt.started_at.is_none())
        };
        worker.health.unreachable.is_some()
            && self.load(&worker.id).is_some_and(|load| load.attempts.iter().any(is_unstarted))
    }

    /// How many workers are in each state, those included that were taken off the registry and do
    /// not know it yet.
    #[must_use]
    pub fn worker_counts(&self) -> BTreeMap<WorkerState, u64> {
        let mut counts = BTreeMap::from(WorkerState::ALL.map(|state| (state, 0)));
        let departed = self.departed().map(|_| WorkerState::Departed);
        for state in self.workers().map(|worker| worker.state()).chain(departed) {
            *counts.entry(state).or_default() += 1;
        }
        counts
    }

    pub(crate) fn workers_are_in_step(&self) -> bool {
        let changes = self.workers.values().map(|worker| (worker.index, worker.id.clone()));
        let (active, inactive) = changes.partition::<BTreeSet<_>, _>(|(_, id)| {
            self.workers.get(id).is_some_and(|worker| worker.is_active())
        });
        let timers = self.workers.values().filter_map(|one| Some((one.timer()?, one.id.clone())));
        let ailing = self.workers.values().filter(|worker| is_ailing(worker));
        active == self.active
            && inactive == self.inactive
            && timers.collect::<BTreeSet<_>>() == self.worker_timers
            && ailing.map(|worker| worker.id.clone()).collect::<BTreeSet<_>>() == self.ailing
            && self.departed.keys().all(|id| !self.workers.contains_key(id))
    }

    pub(crate) fn put_worker(&mut self, worker: Arc<Worker>) {
        self.remove_from_indexes(&worker.id);
        if let Some(at) = worker.timer() {
            self.worker_timers.insert((at, worker.id.clone()));
        }
        if is_ailing(&worker) {
            self.ailing.insert(worker.id.clone());
        }
        let by_change = if worker.is_active() { &mut self.active } else { &mut self.inactive };
        by_change.insert((worker.index, worker.id.clone()));
        let load = self.index.load(&worker.id).map(|load| &load.allocated);
        if self.room.put(&worker, load) {
            self.growth.on_grown(&worker.id, worker.index);
        }
        self.growth.on_changed();
        self.workers.insert(worker.id.clone(), worker);
    }

    pub(crate) fn remove_worker(&mut self, id: &WorkerId) {
        self.remove_from_indexes(id);
        self.room.remove(id);
        self.growth.remove(id);
        self.workers.remove(id);
    }

    fn remove_from_indexes(&mut self, id: &WorkerId) {
        let Some(before) = self.workers.get(id) else { return };
        let by_change = if before.is_active() { &mut self.active } else { &mut self.inactive };
        by_change.remove(&(before.index, id.clone()));
        if let Some(at) = before.timer() {
            self.worker_timers.remove(&(at, id.clone()));
        }
        self.ailing.remove(id);
    }
}

fn is_ailing(worker: &Worker) -> bool {
    worker.is_active() && !worker.health.is_good()
}
