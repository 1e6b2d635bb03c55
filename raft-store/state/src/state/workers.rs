//! The registry, and its indexes for the leader's duties.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::State;
use crate::{LogIndex, TaskId, Worker, WorkerId, WorkerLoad, WorkerState};

impl State {
    /// Returns a registered worker.
    #[must_use]
    pub fn worker(&self, id: &WorkerId) -> Option<&Arc<Worker>> {
        self.workers.get(id)
    }

    /// Returns the registered workers, by name.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = &Arc<Worker>> {
        self.workers.values()
    }

    /// Returns the registered workers from the first name after `cursor`.
    pub fn workers_after(&self, cursor: Option<&WorkerId>) -> impl Iterator<Item = &Arc<Worker>> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        self.workers.range::<WorkerId, _>((from, Bound::Unbounded)).map(|(_, worker)| worker)
    }

    /// Returns the workers that are not connected, which the reconnection monitor contacts. Oldest
    /// change first.
    pub fn inactive_workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.inactive.iter().filter_map(|(_, id)| self.workers.get(id))
    }

    /// Returns the workers that are not connected and whose records changed after `index`: all that
    /// is new to a caller that has seen the state at `index`. Latest change first.
    pub fn inactive_workers_after(&self, index: LogIndex) -> impl Iterator<Item = &Arc<Worker>> {
        let later = self.inactive.iter().rev().take_while(move |(at, _)| *at > index);
        later.filter_map(|(_, id)| self.workers.get(id))
    }

    /// Returns the connected workers whose records changed after `index`. Latest change first.
    pub fn active_workers_after(&self, index: LogIndex) -> impl Iterator<Item = &Arc<Worker>> {
        let later = self.active.iter().rev().take_while(move |(at, _)| *at > index);
        later.filter_map(|(_, id)| self.workers.get(id))
    }

    /// Returns the number of connected workers.
    #[must_use]
    pub fn active_count(&self) -> usize {
        self.active.len()
    }

    /// Returns the number of workers that are not connected.
    #[must_use]
    pub fn inactive_count(&self) -> usize {
        self.inactive.len()
    }

    /// Returns the connected workers that cannot be called or cannot start programs.
    pub fn ailing_workers(&self) -> impl Iterator<Item = &Arc<Worker>> {
        self.ailing.iter().filter_map(|id| self.workers.get(id))
    }

    /// Returns whether another worker takes tasks.
    pub(crate) fn takes_tasks_beside(&self, id: &WorkerId) -> bool {
        self.capacity.has_beside(id)
    }

    /// Returns whether an unreachable worker must say which of its attempts it has: some may never
    /// have reached it.
    #[must_use]
    pub fn owes_an_inventory(&self, worker: &Worker) -> bool {
        let is_unstarted = |id: &TaskId| {
            let attempt = self.task(*id).and_then(|task| task.live_attempt());
            attempt.is_some_and(|attempt| attempt.started_at.is_none())
        };
        worker.health.unreachable.is_some()
            && self.load(&worker.id).is_some_and(|load| load.attempts.iter().any(is_unstarted))
    }

    /// Returns the numbers of workers by state, departed workers included.
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
        let taken = self.index.load(&worker.id).map(WorkerLoad::taken).unwrap_or_default();
        if self.capacity.put(&worker, taken) {
            self.growth.on_grown(&worker.id, worker.index);
        }
        self.growth.on_changed();
        self.workers.insert(worker.id.clone(), worker);
    }

    pub(crate) fn remove_worker(&mut self, id: &WorkerId) {
        self.remove_from_indexes(id);
        self.capacity.remove(id);
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
