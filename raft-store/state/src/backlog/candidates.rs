//! Selects the waiting classes that may fit now: those for which something has changed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::{Backlog, Head, Place, Rank, Tree};
use crate::capacity::{CapacityIndex, UpperBound};
use crate::growth::Growth;
use crate::treap::Link;
use crate::{LogIndex, Resources, Worker, WorkerId};

/// The latest moment at which no waiting class fitted on any worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Since {
    /// No such moment is known.
    #[default]
    Unknown,
    /// Nothing that waited at this moment fitted on any worker.
    Then(Moment),
}

/// The state as of an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub(crate) index: LogIndex,
    /// Number of changes to workers' records until then.
    pub(crate) changes: u64,
}

impl Moment {
    /// Returns the log position.
    #[must_use]
    pub const fn index(&self) -> LogIndex {
        self.index
    }
}

/// Beyond this number of workers with new room, all workers are searched as one: that costs less
/// than finding out which of them has which label.
const GROWN_MAX: usize = 64;

/// Iterates over the waiting classes that may fit somewhere, the most important first.
///
/// A class is a candidate if its next task began to wait after the given moment, or if it asks for
/// no more than is free on a worker that has gained room since. A class that is left out cannot be
/// placed.
#[derive(Debug)]
pub struct Candidates<'a> {
    /// Heads that began to wait after the moment, by rank.
    arrived: VecDeque<&'a Head>,
    trees: Vec<Searched<'a>>,
    /// Next head of each tree.
    next: BinaryHeap<Reverse<(Rank, usize)>>,
    probes: usize,
}

/// A tree under search, with the most that any worker has free for its classes.
#[derive(Debug)]
struct Searched<'a> {
    tree: &'a Tree,
    most: Resources,
    next: Option<&'a Head>,
}

impl<'a> Candidates<'a> {
    /// Searches from rank `from` on for classes that may fit because of a change after `since`.
    pub(crate) fn new(
        backlog: &'a Backlog,
        (capacity, growth): (&'a CapacityIndex, &'a Growth),
        worker: impl Fn(&WorkerId) -> Option<&'a Worker>,
        since: Since,
        from: Rank,
    ) -> Self {
        // A task that is kept from some workers may go there when no others are left to wait for.
        let since = match since {
            Since::Then(then) if backlog.apart == 0 || then.changes == growth.changes() => since,
            Since::Then(_) | Since::Unknown => Since::Unknown,
        };
        let bounds = match since {
            Since::Unknown => bounds_of_all(backlog, capacity),
            Since::Then(Moment { index, .. }) => {
                let grown = growth.after(index).take(GROWN_MAX + 1).collect::<Vec<_>>();
                if grown.len() > GROWN_MAX {
                    bounds_of_all(backlog, capacity)
                } else {
                    let workers = grown.into_iter().filter_map(worker);
                    bounds_of(backlog, capacity, workers)
                }
            }
        };
        let mut arrived = match since {
            Since::Unknown => Vec::new(),
            Since::Then(then) => backlog.arrived_after(then.index).collect::<Vec<_>>(),
        };
        arrived.retain(|head| head.rank >= from);
        arrived.sort_unstable_by_key(|head| head.rank);

        Self::search(backlog, bounds, arrived.into(), from)
    }

    /// Searches for all classes that a worker could run if it were empty.
    pub(crate) fn of_worker(backlog: &'a Backlog, worker: &'a Worker) -> Self {
        let mut bounds = BTreeMap::new();
        for place in places(backlog, worker) {
            bounds.insert(place, worker.total());
        }
        Self::search(backlog, bounds, VecDeque::new(), Rank::FIRST)
    }

    fn search(
        backlog: &'a Backlog,
        bounds: BTreeMap<Place<'a>, Resources>,
        arrived: VecDeque<&'a Head>,
        from: Rank,
    ) -> Self {
        let probes = arrived.len();
        let mut found = Self { arrived, trees: Vec::new(), next: BinaryHeap::new(), probes };
        for (place, most) in bounds {
            if let Some(tree) = backlog.tree(place) {
                found.trees.push(Searched { tree, most, next: None });
                found.advance(found.trees.len() - 1, from);
            }
        }
        found
    }

    /// Returns the rank of the next candidate.
    #[must_use]
    pub fn peek(&self) -> Option<Rank> {
        let arrived = self.arrived.front().map(|head| head.rank);
        let found = self.next.peek().map(|Reverse((rank, _))| *rank);
        [arrived, found].into_iter().flatten().min()
    }

    /// Returns the number of classes and branches probed so far.
    #[must_use]
    pub const fn probes(&self) -> usize {
        self.probes
    }

    /// Finds the next head of a tree.
    fn advance(&mut self, index: usize, from: Rank) {
        let Some(searched) = self.trees.get_mut(index) else { return };
        searched.next = first(searched.tree.root(), from, &searched.most, &mut self.probes);
        if let Some(head) = searched.next {
            self.next.push(Reverse((head.rank, index)));
        }
    }
}

impl<'a> Iterator for Candidates<'a> {
    type Item = &'a Head;

    fn next(&mut self) -> Option<&'a Head> {
        let rank = self.peek()?;
        // A head that has arrived may be in a tree as well.
        let mut head = self.arrived.pop_front_if(|head| head.rank == rank);
        while let Some(Reverse((found, index))) = self.next.peek().copied()
            && found == rank
        {
            self.next.pop();
            head = head.or_else(|| self.trees.get(index)?.next);
            self.advance(index, rank.next());
        }
        head
    }
}

/// Returns the most that any worker has free for the classes of each tree. The filter of all
/// workers' labels leaves out most trees that none of them may serve.
fn bounds_of_all<'a>(
    backlog: &'a Backlog,
    capacity: &CapacityIndex,
) -> BTreeMap<Place<'a>, Resources> {
    let Some(all) = capacity.upper_bound() else { return BTreeMap::new() };
    let mut bounds = BTreeMap::new();
    for worker in backlog.by_worker.keys() {
        if let Some(bound) = capacity.upper_bound_of(worker) {
            bounds.insert(Place::Worker(worker), bound.most);
        }
    }
    for place in backlog.labels() {
        if let Place::Label(label, value) = place
            && all.may_have(label, value)
        {
            bounds.insert(place, all.most.clone());
        }
    }
    bounds.insert(Place::Anywhere, all.most);
    bounds
}

/// Returns the most that any of these workers has free for the classes of each tree.
fn bounds_of<'a>(
    backlog: &'a Backlog,
    capacity: &CapacityIndex,
    workers: impl Iterator<Item = &'a Worker>,
) -> BTreeMap<Place<'a>, Resources> {
    let mut bounds = BTreeMap::<Place<'a>, Resources>::new();
    let mut add = |place: Place<'a>, bound: &UpperBound| {
        let most = bounds.entry(place).or_insert_with(|| bound.most.clone());
        most.raise_to(&bound.most);
    };

    for worker in workers {
        let Some(bound) = capacity.upper_bound_of(&worker.id) else { continue };
        for place in places(backlog, worker) {
            add(place, &bound);
        }
    }
    bounds
}

/// Returns the places with classes that this worker may run.
fn places<'a>(backlog: &'a Backlog, worker: &'a Worker) -> Vec<Place<'a>> {
    let mut places = vec![Place::Anywhere, Place::Worker(&worker.id)];
    if backlog.by_label.is_empty() {
        return places;
    }
    for (label, value) in worker.labels_in_effect() {
        let Some((label, by_label)) = backlog.by_label.get_key_value(label) else { continue };
        places.push(Place::Label(label, None));
        if let Some((value, _)) = by_label.by_value.get_key_value(value) {
            places.push(Place::Label(label, Some(value)));
        }
    }
    places
}

/// Finds the most important class from rank `from` on that asks for no more than `most`.
fn first<'a>(
    link: &'a Link<Head>,
    from: Rank,
    most: &Resources,
    probes: &mut usize,
) -> Option<&'a Head> {
    let node = link.as_deref()?;
    *probes += 1;
    if !most.holds(&node.summary) {
        return None;
    }
    if node.element.rank >= from {
        if let Some(found) = first(&node.left, from, most, probes) {
            return Some(found);
        }
        if most.holds(&node.element.class.resources) {
            return Some(&node.element);
        }
    }
    first(&node.right, from, most, probes)
}
