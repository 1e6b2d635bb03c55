//! The waiting tasks of one class.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::named::Queues;
use crate::backlog::{Head, is_apart};
use crate::{Rank, Task, TaskId, Timestamp};

/// Place of a task in the queue of its class: the time since which it has been queued or trying to run.
/// Of two that were queued together the one that was submitted first comes first.
type Place = (Timestamp, TaskId);

fn place(task: &Task) -> Place {
    (task.queued_at(), task.id)
}

/// Waiting tasks of one class: first in, first out. A task that failed or lost its worker keeps the time
/// of its queueing, and therefore its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassQueue {
    tasks: BTreeSet<Place>,
    /// Head of the queue, as the backlog has it.
    head: Option<Head>,
    /// True while the head may differ from the one that the backlog has.
    pub(super) has_changed: bool,
    /// Tasks that are kept from some workers; each is in the backlog on its own.
    apart: BTreeSet<Place>,
}

impl ClassQueue {
    /// Returns the waiting tasks, the next one first.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        let mut tasks = self.tasks.iter().copied().peekable();
        let mut apart = self.apart.iter().copied().peekable();
        let places = std::iter::from_fn(move || match (tasks.peek(), apart.peek()) {
            (Some(task), Some(other)) if other < task => apart.next(),
            (None, Some(_)) => apart.next(),
            (Some(_), _) | (None, None) => tasks.next(),
        });
        places.map(|(_, task)| task)
    }

    /// Returns the task that waits next after `task`, of those that may run on any worker of the
    /// class.
    #[must_use]
    pub fn after(&self, task: &Task) -> Option<TaskId> {
        let behind = (Bound::Excluded(place(task)), Bound::Unbounded);
        self.tasks.range(behind).next().map(|(_, task)| *task)
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
    pub fn position(&self, task: &Task, most: usize) -> usize {
        let place = place(task);
        let before = self.tasks.range(..place).chain(self.apart.range(..place));
        before.take(most).count()
    }

    /// Returns the number of tasks that wait before a rank, of those that may run on any worker of the
    /// class, counted up to `most`.
    pub(crate) fn ranked_before(
        &self,
        tasks: &BTreeMap<TaskId, Arc<Task>>,
        rank: Rank,
        most: usize,
    ) -> usize {
        let tasks = self.tasks.iter().map_while(|(_, task)| tasks.get(task));
        tasks.take_while(|task| Rank::of(task) < rank).take(most).count()
    }

    /// Adds a task. The backlog has it after [`Self::update_head`].
    pub(super) fn insert(&mut self, task: &Task, queues: &mut Queues) {
        if is_apart(task) {
            self.apart.insert(place(task));
            queues.enter(&Head::of(task));
        } else {
            self.tasks.insert(place(task));
        }
    }

    pub(super) fn remove(&mut self, task: &Task, queues: &mut Queues) {
        if is_apart(task) {
            self.apart.remove(&place(task));
            queues.leave(&Head::of(task));
        } else {
            self.tasks.remove(&place(task));
        }
    }

    /// Updates the backlog if the head has changed.
    pub(super) fn update_head(&mut self, tasks: &BTreeMap<TaskId, Arc<Task>>, queues: &mut Queues) {
        self.has_changed = false;
        let next = self.tasks.first().and_then(|(_, next)| tasks.get(next));
        let head = next.map(|next| Head::of(next));
        if head == self.head {
            return;
        }
        if let Some(before) = std::mem::replace(&mut self.head, head) {
            queues.leave(&before);
        }
        if let Some(after) = &self.head {
            queues.enter(after);
        }
    }
}
