//! Index of free capacity: the workers that take tasks, by how full they are.
//!
//! The state's writers keep it up to date, so placing a task costs a tree search and not a walk
//! over all workers.

mod label_filter;
mod reserved;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::label_filter::LabelFilter;
use self::reserved::Reserved;
pub(crate) use self::tree::UpperBound;
use self::tree::{Tree, Wanted};
use crate::treap::Element;
use crate::{Class, Footprint, Resources, Worker, WorkerId};

/// Workers that take tasks, with the resources that are free on each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CapacityIndex {
    entries: BTreeMap<WorkerId, Arc<Entry>>,
    tree: Tree,
    /// Sum of the totals.
    fleet: Footprint,
}

/// Resources that the attempts of a worker take.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken<'a> {
    /// Sum of what is allocated, if there is anything.
    pub(crate) allocated: Option<&'a Resources>,
    /// Sum of what attempts wait for.
    pub(crate) wanted: Option<&'a Resources>,
}

/// A worker that takes tasks, with its free resources.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    worker: Arc<Worker>,
    free: Resources,
    /// Dominant share in use, in parts per million.
    share: u64,
    /// Number of attempts, which tells equally full workers apart: tasks that ask for nothing leave
    /// the share as it is.
    attempts: u64,
    labels: LabelFilter,
}

/// Preference among the workers that fit. Of equal workers, the one with the fewest attempts comes
/// first, then the first by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// The worker with the smallest dominant share in use.
    Emptiest,
    /// The worker with the greatest dominant share in use.
    Fullest,
}

/// Tentative placements. They take resources in this plan and nowhere else.
#[derive(Debug)]
pub struct Plan<'a> {
    index: &'a CapacityIndex,
    tree: Tree,
    /// Workers with planned placements.
    changed: BTreeMap<WorkerId, Arc<Entry>>,
    /// Workers that are reserved, whose entries have only what is free beside that.
    reserved: BTreeMap<WorkerId, Reserved>,
    probes: usize,
}

impl Entry {
    fn after(&self, taken: &Resources) -> Self {
        // A plan takes only what fits.
        let free = self.free.checked_sub(taken).unwrap_or_default();
        let share = share(&self.worker, &free);
        let attempts = attempts(&self.worker, &free);
        Self { worker: Arc::clone(&self.worker), free, share, attempts, labels: self.labels }
    }
}

fn share(worker: &Worker, free: &Resources) -> u64 {
    worker.specs.as_ref().map_or(0, |specs| specs.total.dominant_share(free))
}

/// Returns the number of attempt slots in use.
fn attempts(worker: &Worker, free: &Resources) -> u64 {
    worker.specs.as_ref().map_or(0, |specs| specs.total.slots.saturating_sub(free.slots))
}

impl CapacityIndex {
    /// Updates the entry of a worker. Returns whether something may fit there now that did not fit
    /// before.
    pub(crate) fn put(&mut self, worker: &Arc<Worker>, taken: Taken<'_>) -> bool {
        let before = self.entries.get(&worker.id);
        if !worker.takes_tasks() {
            self.remove(&worker.id);
            return false;
        }

        let total = worker.total();
        let is_within = taken.allocated.is_none_or(|allocated| total.holds(allocated));
        assert!(is_within, "what is allocated on {} is within its total", worker.id);
        // Attempts that wait there for room come before any others.
        let taken = [taken.allocated, taken.wanted].into_iter().flatten();
        let mut free = taken.fold(total, |free, taken| free.saturating_sub(taken));
        if worker.health.is_on_probation() {
            free.slots = free.slots.min(1);
        }

        let known = before.filter(|before| Arc::ptr_eq(&before.worker, worker));
        if known.is_some_and(|known| known.free == free) {
            return false;
        }
        let has_grown = known.is_none_or(|known| !known.free.holds(&free));

        let labels = known.map_or_else(|| LabelFilter::of(worker), |known| known.labels);
        let (share, attempts) = (share(worker, &free), attempts(worker, &free));
        let worker = Arc::clone(worker);
        let entry = Arc::new(Entry { worker, free, share, attempts, labels });
        let id = entry.worker.id.clone();
        self.fleet.add(&entry.worker.total());
        if let Some(before) = self.entries.insert(id, Arc::clone(&entry)) {
            self.tree.remove(&before);
            self.fleet.remove(&before.worker.total());
        }
        self.tree.insert(entry);
        has_grown
    }

    /// Returns what all of the workers have in total.
    pub(crate) const fn fleet(&self) -> &Footprint {
        &self.fleet
    }

    /// Returns what one worker has, if it takes tasks.
    pub(crate) fn upper_bound_of(&self, id: &WorkerId) -> Option<UpperBound> {
        self.entries.get(id).map(Element::summary)
    }

    /// Returns what is free on a worker, if it takes tasks.
    pub(crate) fn free_on(&self, id: &WorkerId) -> Option<&Resources> {
        self.entries.get(id).map(|entry| &entry.free)
    }

    /// Returns an upper bound on what any worker that takes tasks has.
    pub(crate) fn upper_bound(&self) -> Option<UpperBound> {
        self.tree.root().as_ref().map(|root| root.summary.clone())
    }

    /// Removes a worker that is no longer registered or takes no tasks.
    pub(crate) fn remove(&mut self, id: &WorkerId) {
        if let Some(before) = self.entries.remove(id) {
            self.fleet.remove(&before.worker.total());
            self.tree.remove(&before);
        }
    }

    /// Returns whether another worker takes tasks.
    pub(crate) fn has_beside(&self, id: &WorkerId) -> bool {
        self.entries.keys().any(|other| other != id)
    }

    /// Starts a plan from what is free now.
    pub(crate) fn plan(&self) -> Plan<'_> {
        Plan {
            index: self,
            tree: self.tree.clone(),
            changed: BTreeMap::new(),
            reserved: BTreeMap::new(),
            probes: 0,
        }
    }
}

impl Plan<'_> {
    /// Plans one task of a class on the preferred worker that may run it and has room for it.
    /// Returns `None` if there is no such worker.
    ///
    /// Costs the depth of the search tree, and more only if constraints or several kinds of
    /// resources rule out single workers but not the branches that they are on.
    pub fn place(&mut self, class: &Class, preference: Preference) -> Option<WorkerId> {
        self.place_beside(class, preference, &[])
    }

    /// Like [`Self::place`], but never on a worker of `shunned`.
    pub fn place_beside(
        &mut self,
        class: &Class,
        preference: Preference,
        shunned: &[WorkerId],
    ) -> Option<WorkerId> {
        let wanted = Wanted::new(class, shunned);
        let probes = &mut self.probes;
        let found = match (&class.worker, preference) {
            (Some(only), _) => {
                *probes += 1;
                let known = self.changed.get(only).or_else(|| self.index.entries.get(only));
                known.filter(|entry| wanted.fits(entry))
            }
            (None, Preference::Emptiest) => tree::first(self.tree.root(), 0, &wanted, probes),
            (None, Preference::Fullest) => {
                let fullest = tree::last(self.tree.root(), &wanted, probes)?.share;
                tree::first(self.tree.root(), fullest, &wanted, probes)
            }
        };

        let before = Arc::clone(found?);
        let worker = before.worker.id.clone();
        self.take(&before, &class.resources);
        Some(worker)
    }

    /// Takes resources of a worker.
    fn take(&mut self, before: &Arc<Entry>, resources: &Resources) {
        let after = match self.reserved.get_mut(&before.worker.id) {
            Some(reserved) => reserved.after(before, resources),
            None => before.after(resources),
        };
        self.replace(before, after);
    }

    fn replace(&mut self, before: &Arc<Entry>, after: Entry) {
        let after = Arc::new(after);
        self.tree.remove(before);
        self.tree.insert(Arc::clone(&after));
        self.changed.insert(after.worker.id.clone(), after);
    }

    /// Returns what the plan knows of a worker that takes tasks.
    fn entry(&self, worker: &WorkerId) -> Option<&Arc<Entry>> {
        self.changed.get(worker).or_else(|| self.index.entries.get(worker))
    }

    /// Returns whether a worker outside `shunned` could take a task of this class, at once or after
    /// its attempts have ended. Probes each worker at most once.
    pub fn could_take_beside(&mut self, class: &Class, shunned: &[WorkerId]) -> bool {
        let index = self.index;
        let mut could_take = |entry: &Entry| {
            self.probes += 1;
            let worker = &entry.worker;
            let is_large_enough =
                worker.specs.as_ref().is_some_and(|specs| specs.total.holds(&class.resources));
            is_large_enough && class.allows(worker) && !shunned.contains(&worker.id)
        };
        match &class.worker {
            Some(only) => index.entries.get(only).is_some_and(|entry| could_take(entry)),
            None => index.entries.values().any(|entry| could_take(entry)),
        }
    }

    /// Returns the number of workers and branches probed so far: the cost of the plan.
    #[must_use]
    pub const fn probes(&self) -> usize {
        self.probes
    }
}

#[cfg(test)]
mod tests;
