//! The waiting tasks of one class.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::backlog::{Backlog, Head, is_apart};
use crate::{Task, TaskId};

/// The waiting tasks of one class: first in, first out. A task that is queued again keeps its id
/// and so its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassQueue {
    tasks: BTreeSet<TaskId>,
    /// The next of them, as the backlog has it.
    head: Option<Head>,
    /// Whether the next of them may be another one than the backlog has.
    pub(super) has_changed: bool,
    /// Those that are kept from some workers, each in the backlog by itself.
    apart: BTreeSet<TaskId>,
}

impl ClassQueue {
    /// The waiting tasks, the next one first.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        let mut tasks = self.tasks.iter().copied().peekable();
        let mut apart = self.apart.iter().copied().peekable();
        std::iter::from_fn(move || match (tasks.peek(), apart.peek()) {
            (Some(task), Some(other)) if other < task => apart.next(),
            (None, Some(_)) => apart.next(),
            (Some(_), _) | (None, None) => tasks.next(),
        })
    }

    /// The one that waits next after `task`, of those that may run on any worker of the class.
    #[must_use]
    pub fn after(&self, task: TaskId) -> Option<TaskId> {
        self.tasks.range((Bound::Excluded(task), Bound::Unbounded)).next().copied()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len() + self.apart.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.apart.is_empty()
    }

    /// How many wait before `task`, counted up to `most`.
    #[must_use]
    pub fn position(&self, task: TaskId, most: usize) -> usize {
        let before = self.tasks.range(..task).chain(self.apart.range(..task));
        before.take(most).count()
    }

    /// Enters a task; the backlog knows after [`Self::settle`].
    pub(super) fn insert(&mut self, task: &Task, backlog: &mut Backlog) {
        if is_apart(task) {
            self.apart.insert(task.id);
            backlog.enter(&Head::of(task));
        } else {
            self.tasks.insert(task.id);
        }
    }

    pub(super) fn remove(&mut self, task: &Task, backlog: &mut Backlog) {
        if is_apart(task) {
            self.apart.remove(&task.id);
            backlog.leave(&Head::of(task));
        } else {
            self.tasks.remove(&task.id);
        }
    }

    /// Brings the backlog in step with the next of the tasks.
    pub(super) fn settle(&mut self, tasks: &BTreeMap<TaskId, Arc<Task>>, backlog: &mut Backlog) {
        self.has_changed = false;
        let next = self.tasks.first().and_then(|next| tasks.get(next));
        let head = next.map(|next| Head::of(next));
        if head == self.head {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.head, head) {
            backlog.leave(&before);
        }
        if let Some(after) = &self.head {
            backlog.enter(after);
        }
    }
}
