//! Room in a plan that is kept for a certain task.

use std::sync::Arc;

use super::tree::{Wanted, first_suited};
use super::{Entry, Plan, attempts, share};
use crate::{Class, Resources, WorkerId};

/// Room of a worker that is kept for a task.
#[derive(Debug)]
pub(super) struct Reserved {
    /// Resources that are free, for whomever.
    free: Resources,
    /// Resources that the task asks for.
    wanted: Resources,
}

impl Reserved {
    /// Returns the entry of the worker as others see it, after further resources were taken.
    pub(super) fn after(&mut self, before: &Entry, taken: &Resources) -> Entry {
        // A plan takes only what fits.
        self.free = self.free.checked_sub(taken).unwrap_or_default();
        // Of a kind that is short for the task, others get nothing.
        let free = self.free.saturating_sub(&self.wanted);
        let worker = Arc::clone(&before.worker);
        let (share, attempts) = (share(&worker, &self.free), attempts(&worker, &self.free));
        Entry { worker, free, share, attempts, labels: before.labels }
    }
}

impl Plan<'_> {
    /// Keeps room on a worker for a task of a class: from now on, others find only what is free beside it.
    pub fn reserve(&mut self, worker: &WorkerId, class: &Class) {
        let Some(before) = self.entry(worker).filter(|_| !self.reserved.contains_key(worker))
        else {
            return;
        };
        let before = Arc::clone(before);
        let (free, wanted) = (before.free.clone(), class.resources.clone());
        let mut reserved = Reserved { free, wanted };
        let after = reserved.after(&before, &Resources::default());
        self.reserved.insert(worker.clone(), reserved);
        self.replace(&before, after);
    }

    /// Plans one task of a class on a reserved worker, with the room that is kept there. Returns whether
    /// it may run there and has room.
    pub fn place_on_reserved(&mut self, class: &Class, worker: &WorkerId) -> bool {
        self.probes += 1;
        let Some(reserved) = self.reserved.get(worker) else { return false };
        let Some(entry) = self.entry(worker) else { return false };
        if !reserved.free.holds(&class.resources) || !class.allows(&entry.worker) {
            return false;
        }
        let before = Arc::clone(entry);
        self.take(&before, &class.resources);
        true
    }

    /// Finds the emptiest worker that could run a task of a class if it were empty, of those that neither
    /// are reserved nor belong to `shunned`.
    pub fn emptiest_suited(&mut self, class: &Class, shunned: &[WorkerId]) -> Option<WorkerId> {
        let skipped = shunned.iter().chain(self.reserved.keys()).cloned().collect::<Vec<_>>();
        let wanted = Wanted::new(class, &skipped);
        let probes = &mut self.probes;
        let found = match &class.worker {
            Some(only) => {
                *probes += 1;
                let known = self.changed.get(only).or_else(|| self.index.entries.get(only));
                known.filter(|entry| wanted.could_fit(entry))
            }
            None => first_suited(self.tree.root(), &wanted, probes),
        };
        found.map(|entry| entry.worker.id.clone())
    }

    /// Returns whether a worker takes tasks and could run one of a class if it were empty.
    #[must_use]
    pub fn is_suited(&self, worker: &WorkerId, class: &Class, shunned: &[WorkerId]) -> bool {
        let wanted = Wanted::new(class, shunned);
        self.entry(worker).is_some_and(|entry| wanted.could_fit(entry))
    }

    /// Returns whether the plan has nothing new on a worker.
    #[must_use]
    pub fn is_untouched(&self, worker: &WorkerId) -> bool {
        !self.changed.contains_key(worker)
    }

    /// Returns what a worker lacks for a task of a class: the largest share of its total, in parts per
    /// million.
    #[must_use]
    pub fn lack(&self, worker: &WorkerId, class: &Class) -> u64 {
        let Some(entry) = self.entry(worker) else { return u64::MAX };
        let free = self.reserved.get(worker).map_or(&entry.free, |reserved| &reserved.free);
        let total = entry.worker.total();
        let left = total.saturating_sub(&class.resources.saturating_sub(free));
        total.dominant_share(&left)
    }
}
