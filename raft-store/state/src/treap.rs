//! A treap whose nodes summarize the elements below them, so that a search skips branches that
//! cannot hold what it looks for.
//!
//! Weights follow from the elements, so equal contents make equal trees. Nodes are shared until
//! they are written, so copying a tree to plan with it costs nothing.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::sync::Arc;

/// An element of a treap.
pub(crate) trait Element: Clone + Debug + Eq {
    /// Summary of an element and of those below it.
    type Summary: Clone + Debug + Eq;

    /// Compares two elements; no two in a tree are equal.
    fn order(&self, other: &Self) -> Ordering;

    /// Returns the weight, which decides which of two nodes is above the other. It is the same for
    /// equal elements and well mixed. Clients must not be able to choose it, or they could make a
    /// chain of the tree.
    fn weight(&self) -> u64;

    fn summary(&self) -> Self::Summary;

    /// Extends a summary by that of other elements.
    fn join(summary: &mut Self::Summary, other: &Self::Summary);
}

/// A search tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Treap<E: Element> {
    root: Link<E>,
}

pub(crate) type Link<E> = Option<Arc<Node<E>>>;

/// An element, with the elements before and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node<E: Element> {
    pub(crate) element: E,
    weight: u64,
    /// Summary of the element and of everything below it.
    pub(crate) summary: E::Summary,
    pub(crate) left: Link<E>,
    pub(crate) right: Link<E>,
}

impl<E: Element> Default for Treap<E> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<E: Element> Treap<E> {
    pub(crate) const fn root(&self) -> &Link<E> {
        &self.root
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    pub(crate) fn insert(&mut self, element: E) {
        insert(&mut self.root, Node::new(element));
    }

    pub(crate) fn remove(&mut self, element: &E) {
        remove(&mut self.root, element);
    }
}

#[cfg(test)]
impl<E: Element> Treap<E> {
    pub(crate) fn depth(&self) -> usize {
        fn depth<E: Element>(link: &Link<E>) -> usize {
            link.as_deref().map_or(0, |node| 1 + depth(&node.left).max(depth(&node.right)))
        }
        depth(&self.root)
    }
}

impl<E: Element> Node<E> {
    fn new(element: E) -> Self {
        let (weight, summary) = (element.weight(), element.summary());
        Self { element, weight, summary, left: None, right: None }
    }

    fn is_above(&self, other: &Self) -> bool {
        let order = self.weight.cmp(&other.weight);
        order.then_with(|| self.element.order(&other.element)) == Ordering::Greater
    }

    /// Recomputes the summary after a branch has changed.
    fn sum_up(&mut self) {
        self.summary = self.element.summary();
        for child in [&self.left, &self.right].into_iter().flatten() {
            E::join(&mut self.summary, &child.summary);
        }
    }
}

fn insert<E: Element>(link: &mut Link<E>, mut new: Node<E>) {
    match link {
        Some(above) if above.is_above(&new) => {
            let above = Arc::make_mut(above);
            let is_before = new.element.order(&above.element) == Ordering::Less;
            insert(if is_before { &mut above.left } else { &mut above.right }, new);
            above.sum_up();
        }
        Some(_) | None => {
            (new.left, new.right) = split(link.take(), &new.element);
            new.sum_up();
            *link = Some(Arc::new(new));
        }
    }
}

fn remove<E: Element>(link: &mut Link<E>, element: &E) {
    let Some(shared) = link else { return };
    let node = Arc::make_mut(shared);
    match element.order(&node.element) {
        Ordering::Equal => {
            *link = merge(node.left.take(), node.right.take());
            return;
        }
        Ordering::Less => remove(&mut node.left, element),
        Ordering::Greater => remove(&mut node.right, element),
    }
    node.sum_up();
}

/// Splits a tree into the elements before `at` and the others.
fn split<E: Element>(link: Link<E>, at: &E) -> (Link<E>, Link<E>) {
    let Some(mut shared) = link else { return (None, None) };
    let node = Arc::make_mut(&mut shared);
    if node.element.order(at) == Ordering::Less {
        let (before, after) = split(node.right.take(), at);
        node.right = before;
        node.sum_up();
        (Some(shared), after)
    } else {
        let (before, after) = split(node.left.take(), at);
        node.left = after;
        node.sum_up();
        (before, Some(shared))
    }
}

/// Joins two trees; all elements of `left` come before all of `right`.
fn merge<E: Element>(left: Link<E>, right: Link<E>) -> Link<E> {
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
