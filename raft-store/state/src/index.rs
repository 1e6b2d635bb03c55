//! Indexes of the live tasks for the leader's duties.
//!
//! The state's writers keep them up to date, so the cost of a pass depends on how much there is to
//! do, not on how much there is.

mod counts;
mod key;
mod load;
mod named;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

pub use self::counts::TaskCounts;
use self::key::ClassKey;
pub use self::load::WorkerLoad;
use self::load::{Loads, Placement};
pub use self::named::QueueLoad;
use self::named::Queues;
pub use self::queue::ClassQueue;
use crate::{Class, LogIndex, QueueName, Task, TaskId, TaskState, Timestamp, WorkerId};

/// Indexes that are derived from the live tasks alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Waiting tasks by class, in the order of the scheduler.
    queue: BTreeMap<ClassKey, ClassQueue>,
    /// Queues whose heads the backlog may not have yet.
    changed: Vec<ClassKey>,
    queues: Queues,
    /// Queues that may have no live tasks any more.
    emptied: BTreeSet<QueueName>,
    /// Every class of a live task, with the number of its tasks.
    classes: BTreeMap<ClassKey, u64>,
    loads: Loads,
    timers: BTreeSet<(Timestamp, TaskId)>,
    counts: TaskCounts,
    /// Memory of the tasks and their classes.
    bytes: u64,
}

impl Index {
    pub(crate) const fn task_counts(&self) -> &TaskCounts {
        &self.counts
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn load(&self, id: &WorkerId) -> Option<&WorkerLoad> {
        self.loads.get(id)
    }

    pub(crate) fn loads(&self) -> impl Iterator<Item = (&WorkerId, &WorkerLoad)> {
        self.loads.iter()
    }

    pub(crate) fn workers_to_tell(&self) -> impl Iterator<Item = &WorkerId> {
        self.loads.to_tell()
    }

    pub(crate) fn class_queue(&self, class: &Arc<Class>) -> Option<&ClassQueue> {
        self.queue.get(&ClassKey::of(class))
    }

    pub(crate) fn queue(&self) -> impl Iterator<Item = (&Arc<Class>, &ClassQueue)> {
        self.queue.iter().map(|(key, queue)| (key.class(), queue))
    }

    pub(crate) fn queue_after(
        &self,
        class: &Arc<Class>,
    ) -> impl Iterator<Item = (&Arc<Class>, &ClassQueue)> {
        let after = (Bound::Excluded(ClassKey::of(class)), Bound::Unbounded);
        self.queue.range(after).map(|(key, queue)| (key.class(), queue))
    }

    pub(crate) const fn queues(&self) -> &Queues {
        &self.queues
    }

    pub(crate) const fn queues_mut(&mut self) -> &mut Queues {
        &mut self.queues
    }

    pub(crate) fn class(&self, class: &Arc<Class>) -> Option<Arc<Class>> {
        let known = self.classes.get_key_value(&ClassKey::of(class));
        known.map(|(shared, _)| Arc::clone(shared.class()))
    }

    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn due_tasks(&self, now: Timestamp, most: usize) -> Vec<TaskId> {
        let due = (Bound::Unbounded, Bound::Included((now, TaskId(u64::MAX))));
        self.timers.range(due).take(most).map(|(_, task)| *task).collect()
    }

    /// Updates the indexes for one task, given its values before and after a change; `None` stands
    /// for a task that is not live. The caller must call [`Self::update_backlog`] when the command has been
    /// applied.
    pub(crate) fn replace(&mut self, before: Option<&Task>, after: Option<&Task>) {
        self.account(before, after);
        // Before its class enters the backlog.
        self.emptied.extend(self.queues.replace(before, after));
        self.counts.on_moved(before.map(|task| task.state), after.map(|task| task.state));

        let timer = |task: Option<&Task>| task.and_then(|task| Some((task.timer()?, task.id)));
        let (timer_before, timer_after) = (timer(before), timer(after));
        if timer_before != timer_after {
            if let Some(timer) = timer_before {
                self.timers.remove(&timer);
            }
            self.timers.extend(timer_after);
        }

        if let Some(task) = before.filter(|task| task.state == TaskState::Queued) {
            self.change_queue(task, ClassQueue::remove);
        }
        if let Some(task) = after.filter(|task| task.state == TaskState::Queued) {
            self.change_queue(task, ClassQueue::insert);
        }
        self.loads.replace(before.and_then(Placement::of), after.and_then(Placement::of));
    }

    /// Updates the backlog for all tasks that the command at `index` changed. `tasks` are the live ones.
    /// Returns the queues in which a task may start that others with its concurrency key held back, and
    /// those that have no live tasks any more.
    pub(crate) fn update_backlog(
        &mut self,
        tasks: &BTreeMap<TaskId, Arc<Task>>,
        index: LogIndex,
    ) -> (BTreeSet<QueueName>, BTreeSet<QueueName>) {
        for key in std::mem::take(&mut self.changed) {
            let Some(queue) = self.queue.get_mut(&key) else { continue };
            queue.update_head(tasks, &mut self.queues);
            if queue.is_empty() {
                self.queue.remove(&key);
            }
        }
        let opened = self.queues.settle(index);
        let mut emptied = std::mem::take(&mut self.emptied);
        emptied.retain(|name| self.queues.forget_if_empty(name));
        (opened, emptied)
    }

    /// Accounts for memory and for the users of classes. Neither changes with a task's state.
    fn account(&mut self, before: Option<&Task>, after: Option<&Task>) {
        if let (Some(before), Some(after)) = (before, after)
            && Arc::ptr_eq(&before.spec, &after.spec)
        {
            self.bytes = self.bytes - before.attempts_bytes() + after.attempts_bytes();
            return;
        }

        if let Some(before) = before {
            let class = &before.spec.class;
            self.bytes -= before.bytes();
            if decrement(&mut self.classes, &ClassKey::of(class)) == 0 {
                self.bytes -= class.bytes();
            }
        }

        if let Some(after) = after {
            let class = &after.spec.class;
            self.bytes += after.bytes();
            let users = self.classes.entry(ClassKey::of(class)).or_default();
            if *users == 0 {
                self.bytes += class.bytes();
            }
            *users += 1;
        }
    }

    fn change_queue(
        &mut self,
        task: &Task,
        change: impl FnOnce(&mut ClassQueue, &Task, &mut Queues),
    ) {
        let key = ClassKey::of(&task.spec.class);
        if let Some(queue) = self.queue.get_mut(&key) {
            change(queue, task, &mut self.queues);
            if !std::mem::replace(&mut queue.has_changed, true) {
                self.changed.push(key);
            }
            return;
        }
        let mut queue = ClassQueue::default();
        change(&mut queue, task, &mut self.queues);
        queue.has_changed = true;
        self.changed.push(key.clone());
        self.queue.insert(key, queue);
    }
}

/// Decrements a count and returns what is left of it.
fn decrement(counts: &mut BTreeMap<ClassKey, u64>, key: &ClassKey) -> u64 {
    let Some(count) = counts.get_mut(key) else { return 0 };
    *count -= 1;
    let left = *count;
    if left == 0 {
        counts.remove(key);
    }
    left
}
