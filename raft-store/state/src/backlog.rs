//! Waiting classes in order of importance.
//!
//! The state's writers keep them up to date, so the cost of a scheduler's pass depends on how much
//! can be placed, not on how much waits. Every waiting class is in one search tree, ordered by its
//! next task. Classes that need a certain worker or label are in trees of their own, so a search
//! never visits classes that no worker may run.

mod candidates;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

pub use self::candidates::{Candidates, Moment, Since};
use crate::treap::{Element, Treap};
use crate::{Class, ConstraintOp, Limits, LogIndex, Resources, Task, TaskId, Timestamp, WorkerId};

/// Waiting time that counts as much as one point of priority, so that nothing starves behind a
/// steady stream of more important tasks: the gap of 100 is made up in under two hours.
pub const AGEING_STEP: Duration = Duration::from_secs(60);

/// Importance of a waiting task; the smallest rank is the most important.
///
/// All tasks age at the same pace, so the order of two tasks never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Time at which a task of the highest priority would have to be queued to be as important,
    /// in milliseconds since the Unix epoch.
    since: u64,
    task: TaskId,
}

impl Rank {
    /// Rank of the most important task that there can be.
    pub const FIRST: Self = Self { since: 0, task: TaskId(0) };

    /// Returns the rank of a task, waiting or not.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        let lacking = Limits::NEWEST.priority_max.saturating_sub(task.spec.class.priority);
        let handicap = AGEING_STEP * u32::from(lacking);
        Self { since: task.queued_at().after(handicap).0, task: task.id }
    }

    const fn next(self) -> Self {
        Self { since: self.since, task: TaskId(self.task.0.saturating_add(1)) }
    }
}

/// Next task of a waiting class, or a task that is kept apart from its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    rank: Rank,
    queued_at: Timestamp,
    /// Log position of the task's last change, since which it has been waiting.
    arrived: LogIndex,
    class: Arc<Class>,
    represents: Represents,
}

/// Tasks that a queue's head stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Represents {
    /// Its class: if there is no place for it, there is none for the tasks behind it.
    Class,
    /// Itself alone: it is kept from workers on which it failed to start; the others of its class
    /// are not.
    Task,
}

impl Head {
    pub(crate) fn of(task: &Task) -> Self {
        let represents = if is_apart(task) { Represents::Task } else { Represents::Class };
        let class = Arc::clone(&task.spec.class);
        let (rank, queued_at) = (Rank::of(task), task.queued_at());
        Self { rank, queued_at, arrived: task.index, class, represents }
    }

    /// Returns whether it stands for a single task, which is kept from some workers, and not for
    /// its class.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.represents == Represents::Task
    }

    /// Returns its rank.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        self.rank
    }

    /// Returns its class.
    #[must_use]
    pub const fn class(&self) -> &Arc<Class> {
        &self.class
    }

    /// Returns the next task.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.rank.task
    }

    /// Returns the log position since which it has been waiting.
    #[must_use]
    pub const fn arrived(&self) -> LogIndex {
        self.arrived
    }

    /// Returns its place in the order in which tasks were queued.
    pub(crate) const fn queueing(&self) -> (Timestamp, TaskId) {
        (self.queued_at, self.rank.task)
    }

    fn arrival(&self) -> (LogIndex, TaskId) {
        (self.arrived, self.rank.task)
    }
}

pub(crate) fn is_apart(task: &Task) -> bool {
    !task.failed_to_start_on().is_empty()
}

impl Element for Head {
    /// The least of each kind of resource that any of the classes asks for.
    type Summary = Resources;

    fn order(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }

    /// Mixes the id with the finalizer of `SplitMix64`: ids that differ in a digit differ in all
    /// bits. The time of submission is stamped by the leader, so clients cannot choose weights.
    fn weight(&self) -> u64 {
        let moment = self.rank.since.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = self.rank.task.0 ^ moment;
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn summary(&self) -> Resources {
        self.class.resources.clone()
    }

    fn join(summary: &mut Resources, other: &Resources) {
        summary.lower_to(other);
    }
}

type Tree = Treap<Head>;

/// Waiting classes, in search trees by what they need of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Classes that need neither a certain worker nor a label.
    anywhere: Tree,
    /// Classes that name their worker.
    by_worker: BTreeMap<WorkerId, Tree>,
    /// Classes that need a label.
    by_label: BTreeMap<String, ByLabel>,
    /// All heads, in the order in which they began to wait.
    arrivals: BTreeMap<(LogIndex, TaskId), Head>,
    /// Tasks of all heads, in the order in which they were queued.
    queueings: BTreeSet<(Timestamp, TaskId)>,
    /// All heads, the most important first.
    ranks: BTreeMap<Rank, Head>,
    /// Number of heads that stand for a single task.
    apart: usize,
}

/// Classes that need one label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ByLabel {
    /// Classes that accept more than one value.
    any_value: Tree,
    by_value: BTreeMap<String, Tree>,
}

/// Narrowest property that a class requires of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Anywhere,
    Worker(&'a WorkerId),
    Label(&'a str, Option<&'a str>),
}

impl<'a> Place<'a> {
    fn of(class: &'a Class) -> Self {
        if let Some(worker) = &class.worker {
            return Self::Worker(worker);
        }
        let needs = class.constraints.iter().filter_map(|constraint| match &constraint.op {
            ConstraintOp::Equals(value) => Some((constraint.label.as_str(), Some(value.as_str()))),
            ConstraintOp::In(_) | ConstraintOp::Exists => Some((constraint.label.as_str(), None)),
            ConstraintOp::NotEquals(_) => None,
        });
        // A label with its value is the narrowest.
        let narrowest = needs.max_by_key(|(_, value)| value.is_some());
        narrowest.map_or(Self::Anywhere, |(label, value)| Self::Label(label, value))
    }
}

impl Backlog {
    pub(crate) fn enter(&mut self, head: &Head) {
        let tree = match Place::of(&head.class) {
            Place::Anywhere => &mut self.anywhere,
            Place::Worker(worker) => self.by_worker.entry(worker.clone()).or_default(),
            Place::Label(label, value) => {
                let by_label = self.by_label.entry(label.to_owned()).or_default();
                match value {
                    None => &mut by_label.any_value,
                    Some(value) => by_label.by_value.entry(value.to_owned()).or_default(),
                }
            }
        };
        tree.insert(head.clone());
        self.apart += usize::from(head.is_apart());
        self.queueings.insert(head.queueing());
        self.ranks.insert(head.rank, head.clone());
        self.arrivals.insert(head.arrival(), head.clone());
    }

    /// Removes a head, which must be as it was entered.
    pub(crate) fn leave(&mut self, head: &Head) {
        if self.arrivals.remove(&head.arrival()).is_some() {
            self.apart -= usize::from(head.is_apart());
            self.queueings.remove(&head.queueing());
            self.ranks.remove(&head.rank);
        }
        match Place::of(&head.class) {
            Place::Anywhere => self.anywhere.remove(head),
            Place::Worker(worker) => leave_tree(&mut self.by_worker, worker, head),
            Place::Label(label, value) => {
                let Some(by_label) = self.by_label.get_mut(label) else { return };
                match value {
                    None => by_label.any_value.remove(head),
                    Some(value) => leave_tree(&mut by_label.by_value, value, head),
                }
                if by_label.any_value.is_empty() && by_label.by_value.is_empty() {
                    self.by_label.remove(label);
                }
            }
        }
    }

    fn tree(&self, place: Place<'_>) -> Option<&Tree> {
        match place {
            Place::Anywhere => Some(&self.anywhere),
            Place::Worker(worker) => self.by_worker.get(worker),
            Place::Label(label, None) => Some(&self.by_label.get(label)?.any_value),
            Place::Label(label, Some(value)) => self.by_label.get(label)?.by_value.get(value),
        }
    }

    /// Returns the labels that waiting classes need, each with its values.
    fn labels(&self) -> impl Iterator<Item = Place<'_>> {
        self.by_label.iter().flat_map(|(label, by_label)| {
            let values = by_label.by_value.keys();
            let values = values.map(move |value| Place::Label(label, Some(value)));
            values.chain(std::iter::once(Place::Label(label, None)))
        })
    }

    /// Returns the waiting task that was queued first.
    pub(crate) fn oldest(&self) -> Option<(Timestamp, TaskId)> {
        self.queueings.first().copied()
    }

    /// Returns all heads, the most important first.
    pub(crate) fn by_rank(&self) -> impl Iterator<Item = &Head> {
        self.ranks.values()
    }

    fn arrived_after(&self, index: LogIndex) -> impl Iterator<Item = &Head> {
        let after = (Bound::Excluded((index, TaskId(u64::MAX))), Bound::Unbounded);
        self.arrivals.range(after).map(|(_, head)| head)
    }
}

fn leave_tree<K, Q>(trees: &mut BTreeMap<K, Tree>, key: &Q, head: &Head)
where
    K: Ord + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    let Some(tree) = trees.get_mut(key) else { return };
    tree.remove(head);
    if tree.is_empty() {
        trees.remove(key);
    }
}
