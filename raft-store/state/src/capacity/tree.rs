//! Search tree of workers by how full they are, in which a search skips branches that cannot hold
//! the task.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Entry;
use super::label_filter::{self, LabelFilter};
use crate::treap::{Element, Link, Node, Treap};
use crate::{Class, Resources, Worker, WorkerId};

/// Workers by share in use, then by attempts, then by name.
pub(super) type Tree = Treap<Arc<Entry>>;

/// Upper bound on what any of some workers has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpperBound {
    /// The most of each kind of resource that is free on any of them.
    pub(crate) most: Resources,
    /// The most of each kind that any of them has in total.
    largest: Resources,
    /// Labels that occur on them.
    labels: LabelFilter,
}

impl UpperBound {
    /// Returns whether one of them may have a label, with this value if one is given.
    pub(crate) fn may_have(&self, label: &str, value: Option<&str>) -> bool {
        self.labels.may_contain(label, value)
    }

    /// Extends the bound to other workers.
    fn join(&mut self, other: &Self) {
        self.most.raise_to(&other.most);
        self.largest.raise_to(&other.largest);
        self.labels = self.labels.union(other.labels);
    }
}

impl Element for Arc<Entry> {
    type Summary = UpperBound;

    fn order(&self, other: &Self) -> Ordering {
        let rank = |one: &Entry| (one.share, one.attempts);
        rank(self).cmp(&rank(other)).then_with(|| self.worker.id.cmp(&other.worker.id))
    }

    fn weight(&self) -> u64 {
        weight(&self.worker)
    }

    fn summary(&self) -> UpperBound {
        UpperBound { most: self.free.clone(), largest: self.worker.total(), labels: self.labels }
    }

    fn join(summary: &mut UpperBound, other: &UpperBound) {
        summary.join(other);
    }
}

fn weight(worker: &Worker) -> u64 {
    label_filter::mix(
        label_filter::hash(worker.id.as_str(), None) ^ label_filter::mix(worker.registered_at.0),
    )
}

/// Criteria of a search.
pub(super) struct Wanted<'a> {
    class: &'a Class,
    /// Workers to skip.
    shunned: &'a [WorkerId],
    labels: LabelFilter,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(class: &'a Class, shunned: &'a [WorkerId]) -> Self {
        Self { class, shunned, labels: LabelFilter::needed_by(class) }
    }

    /// Returns whether this worker may run the task and has room for it.
    pub(super) fn fits(&self, entry: &Entry) -> bool {
        entry.free.holds(&self.class.resources)
            && entry.labels.contains(self.labels)
            && self.class.allows(&entry.worker)
            && !self.shunned.contains(&entry.worker.id)
    }

    /// Returns whether this worker may run the task and has room for it when it is empty.
    pub(super) fn could_fit(&self, entry: &Entry) -> bool {
        let worker = &entry.worker;
        !worker.health.is_on_probation()
            && worker.specs.as_ref().is_some_and(|specs| specs.total.holds(&self.class.resources))
            && entry.labels.contains(self.labels)
            && self.class.allows(worker)
            && !self.shunned.contains(&worker.id)
    }

    fn could_fit_below(&self, node: &Node<Arc<Entry>>) -> bool {
        node.summary.largest.holds(&self.class.resources)
            && node.summary.labels.contains(self.labels)
    }

    fn may_fit_below(&self, node: &Node<Arc<Entry>>) -> bool {
        node.summary.most.holds(&self.class.resources) && node.summary.labels.contains(self.labels)
    }
}

/// Finds the emptiest worker that fits, of those whose share is at least `from`. Adds the number of
/// visited nodes to `probes`.
pub(super) fn first<'a>(
    link: &'a Link<Arc<Entry>>,
    from: u64,
    wanted: &Wanted<'_>,
    probes: &mut usize,
) -> Option<&'a Arc<Entry>> {
    let node = link.as_deref()?;
    *probes += 1;
    if !wanted.may_fit_below(node) {
        return None;
    }
    if node.element.share >= from {
        if let Some(found) = first(&node.left, from, wanted, probes) {
            return Some(found);
        }
        if wanted.fits(&node.element) {
            return Some(&node.element);
        }
    }
    first(&node.right, from, wanted, probes)
}

/// Finds the fullest worker that fits. Adds the number of visited nodes to `probes`.
pub(super) fn last<'a>(
    link: &'a Link<Arc<Entry>>,
    wanted: &Wanted<'_>,
    probes: &mut usize,
) -> Option<&'a Arc<Entry>> {
    let node = link.as_deref()?;
    *probes += 1;
    if !wanted.may_fit_below(node) {
        return None;
    }
    let found = last(&node.right, wanted, probes);
    found
        .or_else(|| wanted.fits(&node.element).then_some(&node.element))
        .or_else(|| last(&node.left, wanted, probes))
}

/// Finds the emptiest worker that would fit if it were empty. Adds the number of visited nodes to
/// `probes`.
pub(super) fn first_suited<'a>(
    link: &'a Link<Arc<Entry>>,
    wanted: &Wanted<'_>,
    probes: &mut usize,
) -> Option<&'a Arc<Entry>> {
    let node = link.as_deref()?;
    *probes += 1;
    if !wanted.could_fit_below(node) {
        return None;
    }
    let found = first_suited(&node.left, wanted, probes);
    found
        .or_else(|| wanted.could_fit(&node.element).then_some(&node.element))
        .or_else(|| first_suited(&node.right, wanted, probes))
}
