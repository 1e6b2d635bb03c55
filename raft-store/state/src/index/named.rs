//! Live tasks by the queue that they name, and by their concurrency keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::backlog::{Backlog, Head, Rank};
use crate::{
    Class, ConcurrencyKey, Footprint, LogIndex, QueueName, QueueSettings, Task, TaskId, TaskState,
    Timestamp,
};

/// Live tasks of one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// Number of live tasks.
    pub tasks: u64,
    /// Number of those that wait for a worker.
    pub waiting: u64,
    /// Number of those that have a live attempt.
    pub running: u64,
    /// Sum of the resources of the live attempts.
    pub allocated: Footprint,
}

/// Indexes over the live tasks of all queues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Queues {
    by_name: BTreeMap<QueueName, Named>,
    /// Bounds on what runs with one concurrency key, where they are others than usual.
    key_bounds: BTreeMap<QueueName, u64>,
    /// Concurrency keys of which the backlog may not have the right task.
    changed: BTreeSet<(QueueName, ConcurrencyKey)>,
    /// Number of concurrency keys.
    keys: usize,
}

/// One queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Named {
    load: QueueLoad,
    /// Waiting classes. Of those with a concurrency key, it has the most important one of each key that
    /// may run.
    backlog: Backlog,
    keys: BTreeMap<ConcurrencyKey, KeyTasks>,
    /// Next tasks of all classes with a concurrency key, in the order in which they were queued.
    queueings: BTreeSet<(Timestamp, TaskId)>,
}

/// Tasks that share a concurrency key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct KeyTasks {
    /// Number of live tasks.
    tasks: u64,
    /// Number of those that have a live attempt.
    running: u64,
    /// Next tasks of its classes.
    heads: BTreeMap<Rank, Head>,
    /// The one that the backlog has.
    entered: Option<Head>,
}

impl Queues {
    pub(crate) fn load(&self, name: &QueueName) -> QueueLoad {
        self.by_name.get(name).map(|named| named.load).unwrap_or_default()
    }

    /// Returns the queues with live tasks, by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &QueueName> {
        self.by_name.keys()
    }

    pub(crate) fn backlog(&self, name: &QueueName) -> Option<&Backlog> {
        self.by_name.get(name).map(|named| &named.backlog)
    }

    /// Returns the waiting task of a queue that was queued first, held back or not.
    pub(crate) fn oldest(&self, name: &QueueName) -> Option<(Timestamp, TaskId)> {
        let named = self.by_name.get(name)?;
        let with_key = named.queueings.first().copied();
        named.backlog.oldest().into_iter().chain(with_key).min()
    }

    /// Returns the number of tasks with a concurrency key that have a live attempt.
    pub(crate) fn running_with(&self, name: &QueueName, key: &ConcurrencyKey) -> u64 {
        let tasks = self.by_name.get(name).and_then(|named| named.keys.get(key));
        tasks.map_or(0, |tasks| tasks.running)
    }

    /// Returns the most important waiting task with a concurrency key, if the key lets one start.
    pub(crate) fn next_with(&self, name: &QueueName, key: &ConcurrencyKey) -> Option<&Head> {
        self.by_name.get(name)?.keys.get(key)?.entered.as_ref()
    }

    pub(crate) fn has_key(&self, name: &QueueName, key: &ConcurrencyKey) -> bool {
        self.by_name.get(name).is_some_and(|named| named.keys.contains_key(key))
    }

    /// Returns the number of concurrency keys of live tasks.
    pub(crate) const fn keys(&self) -> usize {
        self.keys
    }

    /// Sets the bound on what runs with one concurrency key of a queue.
    pub(crate) fn set_key_bound(&mut self, name: &QueueName, settings: Option<&QueueSettings>) {
        let usual = QueueSettings::default().max_running_per_key;
        let bound = settings.map_or(usual, |settings| settings.max_running_per_key);
        let before = self.key_bound(name);
        if bound == usual {
            self.key_bounds.remove(name);
        } else {
            self.key_bounds.insert(name.clone(), bound.into());
        }
        if before != u64::from(bound)
            && let Some(named) = self.by_name.get(name)
        {
            self.changed.extend(named.keys.keys().map(|key| (name.clone(), key.clone())));
        }
    }

    fn key_bound(&self, name: &QueueName) -> u64 {
        let usual = || QueueSettings::default().max_running_per_key.into();
        self.key_bounds.get(name).copied().unwrap_or_else(usual)
    }

    /// Counts a task as it was before a change and is after it. Returns the queue that has no live task any
    /// more.
    pub(crate) fn replace(
        &mut self,
        before: Option<&Task>,
        after: Option<&Task>,
    ) -> Option<QueueName> {
        let (was, is) = (before.map(Part::of), after.map(Part::of));
        if was == is {
            return None;
        }
        let class = &before.or(after)?.spec.class;
        if !self.by_name.contains_key(&class.queue) {
            self.by_name.insert(class.queue.clone(), Named::default());
        }
        let named = self.by_name.get_mut(&class.queue)?;
        if let Some(part) = was {
            named.load.tasks -= 1;
            named.load.waiting -= u64::from(part.waits);
            named.load.running -= u64::from(part.runs);
            if part.runs {
                named.load.allocated.remove(&class.resources);
            }
        }
        if let Some(part) = is {
            named.load.tasks += 1;
            named.load.waiting += u64::from(part.waits);
            named.load.running += u64::from(part.runs);
            if part.runs {
                named.load.allocated.add(&class.resources);
            }
        }
        let is_empty = named.load.tasks == 0;
        if let Some(key) = &class.concurrency_key {
            self.count_key(class, key, (was, is));
        }
        // Its last class has left the backlog, or leaves it when the heads are updated.
        is_empty.then(|| class.queue.clone())
    }

    fn count_key(
        &mut self,
        class: &Class,
        key: &ConcurrencyKey,
        (was, is): (Option<Part>, Option<Part>),
    ) {
        let Some(named) = self.by_name.get_mut(&class.queue) else { return };
        let tasks = match named.keys.get_mut(key) {
            Some(tasks) => tasks,
            None => {
                self.keys += 1;
                named.keys.entry(key.clone()).or_default()
            }
        };
        let count = |part: Option<Part>| part.map_or((0, 0), |part| (1, u64::from(part.runs)));
        let ((tasks_before, runs_before), (tasks_after, runs_after)) = (count(was), count(is));
        tasks.tasks = tasks.tasks - tasks_before + tasks_after;
        tasks.running = tasks.running - runs_before + runs_after;
        self.changed.insert((class.queue.clone(), key.clone()));
    }

    /// Adds the next task of a class. One with a concurrency key waits for [`Self::settle`].
    pub(super) fn enter(&mut self, head: &Head) {
        let class = head.class();
        let Some(named) = self.by_name.get_mut(&class.queue) else { return };
        let Some(key) = &class.concurrency_key else { return named.backlog.enter(head) };
        if let Some(tasks) = named.keys.get_mut(key) {
            tasks.heads.insert(head.rank(), head.clone());
            named.queueings.insert(head.queueing());
            self.changed.insert((class.queue.clone(), key.clone()));
        }
    }

    /// Removes the next task of a class, which must be as it was entered.
    pub(super) fn leave(&mut self, head: &Head) {
        let class = head.class();
        let Some(named) = self.by_name.get_mut(&class.queue) else { return };
        let Some(key) = &class.concurrency_key else { return named.backlog.leave(head) };
        if let Some(tasks) = named.keys.get_mut(key) {
            tasks.heads.remove(&head.rank());
            named.queueings.remove(&head.queueing());
            self.changed.insert((class.queue.clone(), key.clone()));
        }
    }

    /// Has the backlog have the most important task of each concurrency key with which another one may run.
    /// Forgets keys and queues without live tasks. Returns the queues in which a task may start that was held
    /// back. `index` is the command's.
    pub(super) fn settle(&mut self, index: LogIndex) -> BTreeSet<QueueName> {
        let mut opened = BTreeSet::new();
        for (name, key) in std::mem::take(&mut self.changed) {
            let bound = self.key_bound(&name);
            let Some(named) = self.by_name.get_mut(&name) else { continue };
            let Some(tasks) = named.keys.get_mut(&key) else { continue };
            let may_run = tasks.running < bound;
            let next = tasks.heads.values().next().filter(|_| may_run).cloned();
            if next != tasks.entered {
                if let Some(before) = std::mem::replace(&mut tasks.entered, next) {
                    named.backlog.leave(&before);
                }
                if let Some(after) = &tasks.entered {
                    named.backlog.enter(after);
                    // One that is new is found as what has arrived.
                    if after.arrived() < index {
                        opened.insert(name.clone());
                    }
                }
            }
            if tasks.tasks == 0 {
                named.keys.remove(&key);
                self.keys -= 1;
            }
        }
        opened
    }

    /// Forgets a queue if it has no live tasks.
    pub(super) fn forget_if_empty(&mut self, name: &QueueName) -> bool {
        let is_empty = self.by_name.get(name).is_some_and(|named| named.load.tasks == 0);
        if is_empty {
            self.by_name.remove(name);
        }
        is_empty
    }
}

/// Counts in which a task takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    waits: bool,
    runs: bool,
}

impl Part {
    fn of(task: &Task) -> Self {
        Self { waits: task.state == TaskState::Queued, runs: task.live_attempt().is_some() }
    }
}
