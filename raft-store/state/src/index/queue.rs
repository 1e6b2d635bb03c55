//! The waiting tasks of one class.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::backlog::{Backlog, Head, is_apart};
use crate::{Task, TaskId};

/// Waiting tasks of one class: first in, first out. A requeued task keeps its id and therefore its
/// place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassQueue {
    tasks: BTreeSet<TaskId>,
    /// Head of the queue, as the backlog has it.
    head: Option<Head>,
    /// True while the head may differ from the one that the backlog has.
    pub(super) has_changed: bool,
    /// Tasks that are kept from some workers; each is in the backlog on its own.
    apart: BTreeSet<TaskId>,
}

impl ClassQueue {
    /// Returns the waiting tasks, the next one first.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        let mut tasks = self.tasks.iter().copied().peekable();
        let mut apart = self.apart.iter().copied().peekable();
        std::iter::from_fn(move || match (tasks.peek(), apart.peek()) {
            (Some(task), Some(other)) if other < task => apart.next(),
            (None, Some(_)) => apart.next(),
            (Some(_), _) | (None, None) => tasks.next(),
        })
    }

    /// Returns the task that waits next after `task`, of those that may run on any worker of the
    /// class.
    #[must_use]
    pub fn after(&self, task: TaskId) -> Option<TaskId> {
        self.tasks.range((Bound::Excluded(task), Bound::Unbounded)).next().copied()
    }

    /// Returns the number of waiting tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len() + self.apart.len()
    }

    /// Returns whether no task waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.apart.is_empty()
    }

    /// Returns the number of tasks that wait before `task`, counted up to `most`.
    #[must_use]
    pub fn position(&self, task: TaskId, most: usize) -> usize {
        let before = self.tasks.range(..task).chain(self.apart.range(..task));
        before.take(most).count()
    }

    /// Adds a task. The backlog has it after [`Self::update_head`].
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

    /// Updates the backlog if the head has changed.
    pub(super) fn update_head(
        &mut self,
        tasks: &BTreeMap<TaskId, Arc<Task>>,
        backlog: &mut Backlog,
    ) {
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
