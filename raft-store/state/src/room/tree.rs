//! A search tree of workers by how full they are. Every node knows the most that is free below it,
//! so a search passes by whole branches that cannot hold what is wanted.
//!
//! It is a treap whose weights are hashes of the workers' names and of the moments of their
//! registration: equal contents make equal trees, and nobody who chooses names can make a chain of
//! it, because the moment is the leader's.
//! Nodes are shared until they are written, so a copy to plan with costs nothing.

use std::sync::Arc;

use super::Vacancy;
use super::marks::{self, Marks};
use crate::{Class, Resources, Worker, WorkerId};

/// Workers by share in use, then by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    root: Link,
}

type Link = Option<Arc<Node>>;
type Key<'a> = (u64, &'a WorkerId);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    vacancy: Arc<Vacancy>,
    /// Decides which node is above which.
    weight: u64,
    /// The most of each kind that is free on one worker, here or below.
    most: Resources,
    /// The labels that occur here or below.
    marks: Marks,
    left: Link,
    right: Link,
}

/// What is searched for.
pub(super) struct Wanted<'a> {
    class: &'a Class,
    /// Workers that are not to be found.
    shunned: &'a [WorkerId],
    marks: Marks,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(class: &'a Class, shunned: &'a [WorkerId]) -> Self {
        Self { class, shunned, marks: Marks::needed_by(class) }
    }

    /// Whether this worker may take it and has room for it.
    pub(super) fn fits(&self, vacancy: &Vacancy) -> bool {
        vacancy.free.holds(&self.class.resources)
            && vacancy.marks.hold(self.marks)
            && self.class.allows(&vacancy.worker)
            && !self.shunned.contains(&vacancy.worker.id)
    }

    fn may_fit_below(&self, node: &Node) -> bool {
        node.most.holds(&self.class.resources) && node.marks.hold(self.marks)
    }
}

impl Tree {
    pub(super) fn insert(&mut self, vacancy: Arc<Vacancy>) {
        insert(&mut self.root, Node::new(vacancy));
    }

    pub(super) fn remove(&mut self, vacancy: &Vacancy) {
        remove(&mut self.root, vacancy.key());
    }

    /// The emptiest worker that fits, of those whose share is at least `from`. Adds to `looks`
    /// how many nodes it came by.
    pub(super) fn first(
        &self,
        from: u64,
        wanted: &Wanted<'_>,
        looks: &mut usize,
    ) -> Option<&Arc<Vacancy>> {
        first(&self.root, from, wanted, looks)
    }

    /// The fullest worker that fits.
    pub(super) fn last(&self, wanted: &Wanted<'_>, looks: &mut usize) -> Option<&Arc<Vacancy>> {
        last(&self.root, wanted, looks)
    }
}

#[cfg(test)]
impl Tree {
    pub(super) fn depth(&self) -> usize {
        fn depth(link: &Link) -> usize {
            link.as_deref().map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
        }
        depth(&self.root)
    }
}

impl Node {
    fn new(vacancy: Arc<Vacancy>) -> Self {
        let weight = weight(&vacancy.worker);
        let (most, marks) = (vacancy.free.clone(), vacancy.marks);
        Self { vacancy, weight, most, marks, left: None, right: None }
    }

    fn key(&self) -> Key<'_> {
        self.vacancy.key()
    }

    fn is_above(&self, other: &Self) -> bool {
        (self.weight, &self.vacancy.worker.id) > (other.weight, &other.vacancy.worker.id)
    }

    /// Brings in step what is known of the branches, after one of them has changed.
    fn sum_up(&mut self) {
        self.most.clone_from(&self.vacancy.free);
        self.marks = self.vacancy.marks;
        for child in [&self.left, &self.right].into_iter().flatten() {
            self.most.raise_to(&child.most);
            self.marks = self.marks.and(child.marks);
        }
    }
}

fn weight(worker: &Worker) -> u64 {
    marks::mix(marks::hash(worker.id.as_str(), None) ^ marks::mix(worker.registered_at.0))
}

fn insert(link: &mut Link, mut new: Node) {
    match link {
        Some(above) if above.is_above(&new) => {
            let above = Arc::make_mut(above);
            let side = if new.key() < above.key() { &mut above.left } else { &mut above.right };
            insert(side, new);
            above.sum_up();
        }
        Some(_) | None => {
            (new.left, new.right) = split(link.take(), new.vacancy.key());
            new.sum_up();
            *link = Some(Arc::new(new));
        }
    }
}

fn remove(link: &mut Link, key: Key<'_>) {
    let Some(shared) = link else { return };
    let node = Arc::make_mut(shared);
    if key == node.key() {
        *link = merge(node.left.take(), node.right.take());
        return;
    }
    let side = if key < node.key() { &mut node.left } else { &mut node.right };
    remove(side, key);
    node.sum_up();
}

/// What is before `key`, and what is not.
fn split(link: Link, key: Key<'_>) -> (Link, Link) {
    let Some(mut shared) = link else { return (None, None) };
    let node = Arc::make_mut(&mut shared);
    if node.key() < key {
        let (before, after) = split(node.right.take(), key);
        node.right = before;
        node.sum_up();
        (Some(shared), after)
    } else {
        let (before, after) = split(node.left.take(), key);
        node.left = after;
        node.sum_up();
        (before, Some(shared))
    }
}

/// One tree of two, where all of the first is before all of the second.
fn merge(left: Link, right: Link) -> Link {
    match (left, right) {
        (Some(mut left), Some(mut right)) => Some(if left.is_above(&right) {
            let node = Arc::make_mut(&mut left);
            node.right = merge(node.right.take(), Some(right));
            node.sum_up();
            left
        } else {
            let node = Arc::make_mut(&mut right);
            node.left = merge(Some(left), node.left.take());
            node.sum_up();
            right
        }),
        (left, right) => left.or(right),
    }
}

fn first<'a>(
    link: &'a Link,
    from: u64,
    wanted: &Wanted<'_>,
    looks: &mut usize,
) -> Option<&'a Arc<Vacancy>> {
    let node = link.as_deref()?;
    *looks += 1;
    if !wanted.may_fit_below(node) {
        return None;
    }
    if node.vacancy.share >= from {
        if let Some(found) = first(&node.left, from, wanted, looks) {
            return Some(found);
        }
        if wanted.fits(&node.vacancy) {
            return Some(&node.vacancy);
        }
    }
    first(&node.right, from, wanted, looks)
}

fn last<'a>(link: &'a Link, wanted: &Wanted<'_>, looks: &mut usize) -> Option<&'a Arc<Vacancy>> {
    let node = link.as_deref()?;
    *looks += 1;
    if !wanted.may_fit_below(node) {
        return None;
    }
    let found = last(&node.right, wanted, looks);
    found
        .or_else(|| wanted.fits(&node.vacancy).then_some(&node.vacancy))
        .or_else(|| last(&node.left, wanted, looks))
}
