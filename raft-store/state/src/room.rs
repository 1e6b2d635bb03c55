//! Where there is room: the workers that take tasks, by how full they are. Kept by the state's
//! writers, so that placing a task costs a search, not a walk over all workers.

mod marks;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::marks::Marks;
pub(crate) use self::tree::Offer;
use self::tree::{Tree, Wanted};
use crate::treap::Element;
use crate::{Class, Resources, Worker, WorkerId};

/// The workers that take tasks, with what is free on each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Room {
    vacancies: BTreeMap<WorkerId, Arc<Vacancy>>,
    tree: Tree,
}

/// A worker that takes tasks, and what it has left.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Vacancy {
    worker: Arc<Worker>,
    free: Resources,
    /// Its dominant share in use, in parts per million.
    share: u64,
    /// Attempts on it, which a task that asks for nothing changes and the share may not.
    attempts: u64,
    marks: Marks,
}

/// Which worker is preferred of those that fit; among equals the one with the fewest attempts, then
/// the first by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// The one with the smallest dominant share in use.
    Emptiest,
    /// The one with the greatest.
    Fullest,
}

/// Placements that are being thought of: what is planned takes room here, and nowhere else.
#[derive(Debug)]
pub struct Plan<'a> {
    room: &'a Room,
    tree: Tree,
    /// The workers on which something was planned.
    changed: BTreeMap<WorkerId, Arc<Vacancy>>,
    probes: usize,
}

impl Vacancy {
    fn after(&self, taken: &Resources) -> Self {
        // A plan takes only what fits.
        let free = self.free.checked_sub(taken).unwrap_or_default();
        let share = share(&self.worker, &free);
        let attempts = attempts(&self.worker, &free);
        Self { worker: Arc::clone(&self.worker), free, share, attempts, marks: self.marks }
    }
}

fn share(worker: &Worker, free: &Resources) -> u64 {
    worker.specs.as_ref().map_or(0, |specs| specs.total.dominant_share(free))
}

/// What is not free of the room for attempts.
fn attempts(worker: &Worker, free: &Resources) -> u64 {
    worker.specs.as_ref().map_or(0, |specs| specs.total.slots.saturating_sub(free.slots))
}

impl Room {
    /// Enters what is true of a worker now. Returns whether something may fit there now that did
    /// not before.
    pub(crate) fn put(&mut self, worker: &Arc<Worker>, allocated: Option<&Resources>) -> bool {
        let before = self.vacancies.get(&worker.id);
        if !worker.takes_tasks() {
            self.remove(&worker.id);
            return false;
        }
        let total = worker.total();
        let free = allocated.map_or_else(|| Some(total.clone()), |sum| total.checked_sub(sum));
        assert!(free.is_some(), "what is allocated on {} is within its total", worker.id);
        let mut free = free.unwrap_or_default();
        if worker.health.is_on_probation() {
            free.slots = free.slots.min(1);
        }
        let known = before.filter(|before| Arc::ptr_eq(&before.worker, worker));
        if known.is_some_and(|known| known.free == free) {
            return false;
        }
        let has_grown = known.is_none_or(|known| !known.free.holds(&free));
        let marks = known.map_or_else(|| Marks::of(worker), |known| known.marks);
        let (share, attempts) = (share(worker, &free), attempts(worker, &free));
        let worker = Arc::clone(worker);
        let vacancy = Arc::new(Vacancy { worker, free, share, attempts, marks });
        let id = vacancy.worker.id.clone();
        if let Some(before) = self.vacancies.insert(id, Arc::clone(&vacancy)) {
            self.tree.remove(&before);
        }
        self.tree.insert(vacancy);
        has_grown
    }

    /// What there is on a worker that takes tasks.
    pub(crate) fn offer_of(&self, id: &WorkerId) -> Option<Offer> {
        self.vacancies.get(id).map(Element::summary)
    }

    /// What there is on all workers that take tasks.
    pub(crate) fn offer(&self) -> Option<Offer> {
        self.tree.root().as_ref().map(|root| root.summary.clone())
    }

    /// Takes out a worker that is no longer registered or takes no tasks.
    pub(crate) fn remove(&mut self, id: &WorkerId) {
        if let Some(before) = self.vacancies.remove(id) {
            self.tree.remove(&before);
        }
    }

    /// Whether another worker takes tasks, too.
    pub(crate) fn has_beside(&self, id: &WorkerId) -> bool {
        self.vacancies.keys().any(|other| other != id)
    }

    /// Starts planning from what is free now.
    pub(crate) fn plan(&self) -> Plan<'_> {
        Plan { room: self, tree: self.tree.clone(), changed: BTreeMap::new(), probes: 0 }
    }
}

impl Plan<'_> {
    /// Plans one task of a class on the preferred worker that may run it and has room for it;
    /// nothing where there is none.
    ///
    /// Costs the depth of a search tree, and more only where constraints or several kinds of
    /// resources rule out single workers but not the branches that they are on.
    pub fn place(&mut self, class: &Class, preference: Preference) -> Option<WorkerId> {
        self.place_beside(class, preference, &[])
    }

    /// As [`Self::place`], on another worker than those of `shunned`.
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
                let known = self.changed.get(only).or_else(|| self.room.vacancies.get(only));
                known.filter(|vacancy| wanted.fits(vacancy))
            }
            (None, Preference::Emptiest) => tree::first(self.tree.root(), 0, &wanted, probes),
            (None, Preference::Fullest) => {
                let fullest = tree::last(self.tree.root(), &wanted, probes)?.share;
                tree::first(self.tree.root(), fullest, &wanted, probes)
            }
        };
        let before = Arc::clone(found?);
        let after = Arc::new(before.after(&class.resources));
        let worker = before.worker.id.clone();
        self.tree.remove(&before);
        self.tree.insert(Arc::clone(&after));
        self.changed.insert(worker.clone(), after);
        Some(worker)
    }

    /// Whether a worker beside those of `shunned` could take a task of this class, at once or when
    /// it has ended what it runs. Probes every worker at most.
    pub fn could_take_beside(&mut self, class: &Class, shunned: &[WorkerId]) -> bool {
        let room = self.room;
        let mut could_take = |vacancy: &Vacancy| {
            self.probes += 1;
            let worker = &vacancy.worker;
            let is_large_enough =
                worker.specs.as_ref().is_some_and(|specs| specs.total.holds(&class.resources));
            is_large_enough && class.allows(worker) && !shunned.contains(&worker.id)
        };
        match &class.worker {
            Some(only) => room.vacancies.get(only).is_some_and(|vacancy| could_take(vacancy)),
            None => room.vacancies.values().any(|vacancy| could_take(vacancy)),
        }
    }

    /// Number of probed workers and branches so far: the cost of the plan.
    #[must_use]
    pub const fn probes(&self) -> usize {
        self.probes
    }
}

#[cfg(test)]
mod tests;
