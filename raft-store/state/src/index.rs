//! What duties ask for, derived from the live tasks and kept in step by the state's writers, so
//! that a pass costs what there is to do and not what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::backlog::{Backlog, Head};
use crate::{Class, Resources, Task, TaskId, TaskState, Timestamp, WorkerId};

/// Derived from the live tasks alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Waiting tasks by class, ordered as the scheduler wants them.
    queue: BTreeMap<QueueKey, ClassQueue>,
    backlog: Backlog,
    /// Every class of a live task, with how many have it.
    classes: BTreeMap<Arc<Class>, u64>,
    loads: BTreeMap<WorkerId, WorkerLoad>,
    to_tell: BTreeSet<WorkerId>,
    timers: BTreeSet<(Timestamp, TaskId)>,
    counts: BTreeMap<&'static str, u64>,
    /// Memory that the tasks and their classes take.
    bytes: u64,
}

/// Orders classes by falling priority.
type QueueKey = (std::cmp::Reverse<u8>, Arc<Class>);

/// The waiting tasks of one class: first in, first out. A task that is queued again keeps its id
/// and so its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassQueue {
    tasks: BTreeSet<TaskId>,
    /// The next of them, as the backlog has it.
    head: Option<Head>,
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

    fn insert(&mut self, task: &Task, backlog: &mut Backlog) {
        let head = Head::of(task);
        if head.is_apart() {
            self.apart.insert(task.id);
            backlog.enter(&head);
            return;
        }
        self.tasks.insert(task.id);
        if self.tasks.first() == Some(&task.id) {
            self.put_head(Some(head), backlog);
        }
    }

    fn remove(&mut self, task: &Task, others: &BTreeMap<TaskId, Arc<Task>>, backlog: &mut Backlog) {
        let head = Head::of(task);
        if head.is_apart() {
            self.apart.remove(&task.id);
            backlog.leave(&head);
            return;
        }
        let was_head = self.tasks.first() == Some(&task.id);
        self.tasks.remove(&task.id);
        if was_head {
            let next = self.tasks.first().and_then(|next| others.get(next));
            self.put_head(next.map(|next| Head::of(next)), backlog);
        }
    }

    fn put_head(&mut self, head: Option<Head>, backlog: &mut Backlog) {
        if let Some(before) = std::mem::replace(&mut self.head, head) {
            backlog.leave(&before);
        }
        if let Some(after) = &self.head {
            backlog.enter(after);
        }
    }
}

/// What is placed on one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// The sum over its live attempts.
    pub allocated: Resources,
    /// Tasks with a live attempt there.
    pub attempts: BTreeSet<TaskId>,
    /// Those whose start it has not confirmed.
    pub unconfirmed: BTreeSet<TaskId>,
    /// Those that it must stop.
    pub stopping: BTreeSet<TaskId>,
}

impl Index {
    pub(crate) const fn task_counts(&self) -> &BTreeMap<&'static str, u64> {
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
        self.to_tell.iter()
    }

    pub(crate) fn class_queue(&self, class: &Arc<Class>) -> Option<&ClassQueue> {
        self.queue.get(&(std::cmp::Reverse(class.priority), Arc::clone(class)))
    }

    pub(crate) fn queue(&self) -> impl Iterator<Item = (&Arc<Class>, &ClassQueue)> {
        self.queue.iter().map(|((_, class), queue)| (class, queue))
    }

    pub(crate) const fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(crate) fn class(&self, class: &Arc<Class>) -> Option<Arc<Class>> {
        self.classes.get_key_value(class).map(|(shared, _)| Arc::clone(shared))
    }

    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn due_tasks(&self, now: Timestamp, most: usize) -> Vec<TaskId> {
        let due = (Bound::Unbounded, Bound::Included((now, TaskId(u64::MAX))));
        self.timers.range(due).take(most).map(|(_, task)| *task).collect()
    }

    /// Enters a live task that is not in the index.
    pub(crate) fn insert(&mut self, task: &Task) {
        *self.counts.entry(task.state.name()).or_default() += 1;
        let class_users = self.classes.entry(Arc::clone(&task.spec.class)).or_default();
        if *class_users == 0 {
            self.bytes += task.spec.class.bytes();
        }
        *class_users += 1;
        self.bytes += task.bytes();
        if let Some(at) = task.timer() {
            self.timers.insert((at, task.id));
        }
        if task.state == TaskState::Queued {
            let queue = self.queue.entry(queue_key(task)).or_default();
            queue.insert(task, &mut self.backlog);
        }
        let Some(attempt) = task.live_attempt() else { return };

        let load = self.loads.entry(attempt.worker.clone()).or_default();
        load.attempts.insert(task.id);
        // The commands that place attempts check the sum against the worker's total first.
        let sum = load.allocated.checked_add(&task.spec.class.resources);
        assert!(sum.is_some(), "what is allocated on {} fits its type", attempt.worker);
        load.allocated = sum.unwrap_or_default();
        if task.state == TaskState::Assigned {
            load.unconfirmed.insert(task.id);
        }
        if task.must_stop() {
            load.stopping.insert(task.id);
        }
        if load.has_work_to_tell() {
            self.to_tell.insert(attempt.worker.clone());
        }
    }

    /// Takes out a task as it was inserted; `others` are the live tasks without it.
    pub(crate) fn remove(&mut self, task: &Task, others: &BTreeMap<TaskId, Arc<Task>>) {
        decrement(&mut self.counts, &task.state.name());
        decrement(&mut self.classes, &task.spec.class);
        self.bytes -= task.bytes();
        if !self.classes.contains_key(&task.spec.class) {
            self.bytes -= task.spec.class.bytes();
        }
        if let Some(at) = task.timer() {
            self.timers.remove(&(at, task.id));
        }
        if task.state == TaskState::Queued {
            let key = queue_key(task);
            if let Some(queue) = self.queue.get_mut(&key) {
                queue.remove(task, others, &mut self.backlog);
                if queue.is_empty() {
                    self.queue.remove(&key);
                }
            }
        }
        let Some(attempt) = task.live_attempt() else { return };

        let Some(load) = self.loads.get_mut(&attempt.worker) else { return };
        load.attempts.remove(&task.id);
        load.unconfirmed.remove(&task.id);
        load.stopping.remove(&task.id);
        let rest = load.allocated.checked_sub(&task.spec.class.resources);
        assert!(rest.is_some(), "what {} gives back was allocated on {}", task.id, attempt.worker);
        load.allocated = rest.unwrap_or_default();
        if !load.has_work_to_tell() {
            self.to_tell.remove(&attempt.worker);
        }
        if load.attempts.is_empty() {
            self.loads.remove(&attempt.worker);
        }
    }
}

impl WorkerLoad {
    fn has_work_to_tell(&self) -> bool {
        !self.unconfirmed.is_empty() || !self.stopping.is_empty()
    }
}

fn queue_key(task: &Task) -> QueueKey {
    (std::cmp::Reverse(task.spec.class.priority), Arc::clone(&task.spec.class))
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, u64>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}
