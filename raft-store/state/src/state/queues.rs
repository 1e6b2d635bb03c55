//! Named queues: what operators have said of them, and what holds their tasks back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::State;
use crate::index::QueueLoad;
use crate::{
    Class, ConcurrencyKey, Head, Hold, Queue, QueueName, QueueSettings, Rank, Task, TaskId,
    Timestamp,
};

impl State {
    /// Returns the queues of which an operator has said something, by name.
    pub fn queues(&self) -> impl ExactSizeIterator<Item = &Arc<Queue>> {
        self.queues.values()
    }

    /// Returns what operators have said of a queue.
    #[must_use]
    pub fn named_queue(&self, name: &QueueName) -> Option<&Arc<Queue>> {
        self.queues.get(name)
    }

    /// Returns whether tasks may name a queue.
    #[must_use]
    pub fn has_queue(&self, name: &QueueName) -> bool {
        name.is_default() || self.queues.contains_key(name)
    }

    /// Returns the settings of a queue.
    #[must_use]
    pub fn queue_settings(&self, name: &QueueName) -> QueueSettings {
        self.named_queue(name).map(|queue| queue.settings).unwrap_or_default()
    }

    /// Returns the names of all queues: the one that always exists, those of which an operator has said
    /// something, and those of live tasks.
    #[must_use]
    pub fn queue_names(&self) -> BTreeSet<QueueName> {
        let known = self.queues.keys().chain(self.index.queues().names()).cloned();
        known.chain([QueueName::default()]).collect()
    }

    /// Returns the names of the queues with live tasks.
    pub fn queues_in_use(&self) -> impl Iterator<Item = &QueueName> {
        self.index.queues().names()
    }

    /// Returns the live tasks of a queue, summed up.
    #[must_use]
    pub fn queue_load(&self, name: &QueueName) -> QueueLoad {
        self.index.queues().load(name)
    }

    /// Returns the number of tasks that may start in a queue now, whatever their concurrency keys.
    ///
    /// # Errors
    ///
    /// Returns what holds all of them back.
    pub fn starts_left(&self, name: &QueueName, now: Timestamp) -> Result<u64, Hold> {
        let Some(queue) = self.named_queue(name) else { return Ok(u64::MAX) };
        if queue.settings.is_paused {
            return Err(Hold::Paused);
        }
        let mut left = u64::MAX;
        if let Some(max) = queue.settings.max_running {
            left = u64::from(max).saturating_sub(self.queue_load(name).running);
            if left == 0 {
                return Err(Hold::MaxRunning { max });
            }
        }
        if let Some(rate) = queue.settings.rate {
            if let Some(until) = queue.used.next_start(rate, now) {
                return Err(Hold::Rate { rate, until });
            }
            left = left.min(queue.used.left(rate, now));
        }
        Ok(left)
    }

    /// Returns what holds back the tasks of a class now, if anything does.
    #[must_use]
    pub fn hold(&self, class: &Class, now: Timestamp) -> Option<Hold> {
        if let Err(hold) = self.starts_left(&class.queue, now) {
            return Some(hold);
        }
        self.key_hold(class)
    }

    /// Returns whether its concurrency key holds back the tasks of a class, and how, whatever else its queue does.
    #[must_use]
    pub fn key_hold(&self, class: &Class) -> Option<Hold> {
        let key = class.concurrency_key.as_ref()?;
        let max = self.queue_settings(&class.queue).max_running_per_key;
        let running = self.index.queues().running_with(&class.queue, key);
        (running >= u64::from(max)).then_some(Hold::Key { max })
    }

    /// Returns the task that starts next of those with the concurrency key of a class, if the key lets one
    /// start now.
    #[must_use]
    pub fn next_with_key_of(&self, class: &Class) -> Option<TaskId> {
        let next = self.index.queues().next_with(&class.queue, class.concurrency_key.as_ref()?);
        next.map(Head::task)
    }

    /// Returns whether a live task of a queue has a concurrency key.
    #[must_use]
    pub fn has_concurrency_key(&self, name: &QueueName, key: &ConcurrencyKey) -> bool {
        self.index.queues().has_key(name, key)
    }

    /// Returns the number of concurrency keys of live tasks.
    #[must_use]
    pub const fn concurrency_keys(&self) -> usize {
        self.index.queues().keys()
    }

    /// Returns the number of tasks that wait in the queue of a task before it, whatever they ask for, counted
    /// up to `most`. Those that a concurrency key holds back do not count.
    #[must_use]
    pub fn position_in_queue(&self, task: &Task, most: usize) -> usize {
        let rank = Rank::of(task);
        let mut ahead = 0;
        for head in self.heads(&task.spec.class.queue).take_while(|head| head.rank() < rank) {
            if ahead >= most {
                break;
            }
            // The tasks behind a head have the same distance to this one as to each other.
            let queue = self.class_queue(head.class());
            let before =
                queue.map_or(1, |queue| queue.ranked_before(&self.tasks, rank, most - ahead));
            ahead += if head.is_apart() { 1 } else { before };
        }
        ahead.min(most)
    }

    pub(crate) fn queues_are_in_step(&self) -> bool {
        let limits = self.limits();
        self.queues.len() <= limits.queues_max
            && self.queues.iter().all(|(name, queue)| {
                *name == queue.name
                    && queue.settings.fault().is_none()
                    && queue.changed_index <= queue.index
            })
            && self.index.queues().names().all(|name| self.has_queue(name))
            && (self.meta().level >= Queue::LEVEL || self.queues.is_empty())
    }

    pub(crate) fn put_queue(&mut self, queue: Arc<Queue>) {
        self.index.queues_mut().set_key_bound(&queue.name, Some(&queue.settings));
        self.queues.insert(queue.name.clone(), queue);
    }

    pub(crate) fn remove_queue(&mut self, name: &QueueName) {
        self.index.queues_mut().set_key_bound(name, None);
        self.queues.remove(name);
    }
}
