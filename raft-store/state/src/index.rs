//! What duties ask for, derived from the live tasks and kept in step by the state's writers, so
//! that a pass costs what there is to do and not what there is.

mod counts;
mod key;
mod load;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

pub use self::counts::TaskCounts;
use self::key::ClassKey;
pub use self::load::WorkerLoad;
use self::load::{Loads, Placement};
pub use self::queue::ClassQueue;
use crate::backlog::Backlog;
use crate::{Class, Task, TaskId, TaskState, Timestamp, WorkerId};

/// Derived from the live tasks alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Waiting tasks by class, ordered as the scheduler wants them.
    queue: BTreeMap<ClassKey, ClassQueue>,
    /// Queues that are to be brought in step with the backlog.
    changed: Vec<ClassKey>,
    backlog: Backlog,
    /// Every class of a live task, with how many have it.
    classes: BTreeMap<ClassKey, u64>,
    loads: Loads,
    timers: BTreeSet<(Timestamp, TaskId)>,
    counts: TaskCounts,
    /// Memory that the tasks and their classes take.
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

    pub(crate) const fn backlog(&self) -> &Backlog {
        &self.backlog
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

    /// Brings in step what is derived from one task: as it was and as it is, each time while it is
    /// live. [`Self::settle`] is to follow when the command has been applied.
    pub(crate) fn replace(&mut self, before: Option<&Task>, after: Option<&Task>) {
        self.account(before, after);
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

    /// Brings in step what all tasks of a command change together. `tasks` are the live ones.
    pub(crate) fn settle(&mut self, tasks: &BTreeMap<TaskId, Arc<Task>>) {
        for key in std::mem::take(&mut self.changed) {
            let Some(queue) = self.queue.get_mut(&key) else { continue };
            queue.settle(tasks, &mut self.backlog);
            if queue.is_empty() {
                self.queue.remove(&key);
            }
        }
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
        change: impl FnOnce(&mut ClassQueue, &Task, &mut Backlog),
    ) {
        let key = ClassKey::of(&task.spec.class);
        if let Some(queue) = self.queue.get_mut(&key) {
            change(queue, task, &mut self.backlog);
            if !std::mem::replace(&mut queue.has_changed, true) {
                self.changed.push(key);
            }
            return;
        }
        let mut queue = ClassQueue::default();
        change(&mut queue, task, &mut self.backlog);
        queue.has_changed = true;
        self.changed.push(key.clone());
        self.queue.insert(key, queue);
    }
}

/// Returns how many are left.
fn decrement(counts: &mut BTreeMap<ClassKey, u64>, key: &ClassKey) -> u64 {
    let Some(count) = counts.get_mut(key) else { return 0 };
    *count -= 1;
    let left = *count;
    if left == 0 {
        counts.remove(key);
    }
    left
}
