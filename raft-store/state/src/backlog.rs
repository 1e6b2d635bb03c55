//! What waits, by importance. Kept by the state's writers, so that a pass of the scheduler costs
//! what can be placed, not what waits.
//!
//! Every class that waits stands in one tree, in the order in which its next task is to be placed.
//! Which tree depends on what only some workers have: a name, or a label. So classes that no worker
//! may run are not come by.

mod candidates;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

pub use self::candidates::{Candidates, Moment, Since};
use crate::treap::{Element, Treap};
use crate::{Class, ConstraintOp, Limits, LogIndex, Resources, Task, TaskId, WorkerId};

/// Waiting so long counts as much as one point of priority, so that nothing starves behind a
/// steady stream of more important tasks: the gap of 100 is made up in under two hours.
pub const AGEING_STEP: Duration = Duration::from_secs(60);

/// How important a waiting task is: the smaller, the more.
///
/// All tasks age at the same pace, so which of two is the more important never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// When a task of the highest priority would have to be submitted to be as important, in
    /// milliseconds since the Unix epoch.
    since: u64,
    task: TaskId,
}

impl Rank {
    /// That of the most important task there can be.
    pub const FIRST: Self = Self { since: 0, task: TaskId(0) };

    /// That of a task, waiting or not.
    #[must_use]
    pub fn of(task: &Task) -> Self {
        let lacking = Limits::PRIORITY_MAX.saturating_sub(task.spec.class.priority);
        let handicap = AGEING_STEP * u32::from(lacking);
        Self { since: task.submitted_at.after(handicap).0, task: task.id }
    }

    const fn next(self) -> Self {
        Self { since: self.since, task: TaskId(self.task.0.saturating_add(1)) }
    }
}

/// A class that waits, as its next task stands in line; or a task that stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    rank: Rank,
    /// Log position of the task's last change: from there on it waits.
    arrived: LogIndex,
    class: Arc<Class>,
    stands: Stands,
}

/// For whom a task stands in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// For its class: when there is no place for it, there is none for those behind it.
    ForClass,
    /// For itself: it is kept from workers where it failed to start, others of its class are not.
    Apart,
}

impl Head {
    pub(crate) fn of(task: &Task) -> Self {
        let stands = if is_apart(task) { Stands::Apart } else { Stands::ForClass };
        let class = Arc::clone(&task.spec.class);
        Self { rank: Rank::of(task), arrived: task.index, class, stands }
    }

    /// Whether it stands for itself and not for its class, because it is kept from some workers.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.stands == Stands::Apart
    }

    /// Where it stands.
    #[must_use]
    pub const fn rank(&self) -> Rank {
        self.rank
    }

    /// The class.
    #[must_use]
    pub const fn class(&self) -> &Arc<Class> {
        &self.class
    }

    /// The task that is next.
    #[must_use]
    pub const fn task(&self) -> TaskId {
        self.rank.task
    }

    fn arrival(&self) -> (LogIndex, TaskId) {
        (self.arrived, self.rank.task)
    }
}

pub(crate) fn is_apart(task: &Task) -> bool {
    !task.failed_to_start_on().is_empty()
}

impl Element for Head {
    /// The least of each kind that one of the classes asks for.
    type Summary = Resources;

    fn order(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }

    /// The finalizer of `SplitMix64`: ids that differ in a digit differ in all bits. The moment of
    /// the submission is the leader's.
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

/// The classes that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Those that ask for nothing that only some workers have.
    anywhere: Tree,
    /// Those that name their worker.
    by_worker: BTreeMap<WorkerId, Tree>,
    /// Those that need a label.
    by_label: BTreeMap<String, ByLabel>,
    /// All of them, in the order in which their next tasks began to wait.
    arrivals: BTreeMap<(LogIndex, TaskId), Head>,
    /// Their next tasks, which are given ids in the order of submission.
    submissions: BTreeSet<TaskId>,
    /// How many of them stand for themselves.
    apart: usize,
}

/// Classes that need one label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ByLabel {
    /// Those that would take more than one value.
    any_value: Tree,
    by_value: BTreeMap<String, Tree>,
}

/// What a worker certainly has that may run a class.
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
        // One with its value is the narrowest.
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
        self.submissions.insert(head.task());
        self.arrivals.insert(head.arrival(), head.clone());
    }

    /// Takes out a class as it was entered.
    pub(crate) fn leave(&mut self, head: &Head) {
        if self.arrivals.remove(&head.arrival()).is_some() {
            self.apart -= usize::from(head.is_apart());
            self.submissions.remove(&head.task());
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

    /// The labels that something waits for, each with its values.
    fn labels(&self) -> impl Iterator<Item = Place<'_>> {
        self.by_label.iter().flat_map(|(label, by_label)| {
            let values = by_label.by_value.keys();
            let values = values.map(move |value| Place::Label(label, Some(value)));
            values.chain(std::iter::once(Place::Label(label, None)))
        })
    }

    /// The task that was submitted first of all that wait.
    pub(crate) fn oldest(&self) -> Option<TaskId> {
        self.submissions.first().copied()
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
