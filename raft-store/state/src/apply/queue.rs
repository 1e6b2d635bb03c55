//! Applies commands about named queues, and keeps the bounds that they set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Apply;
use crate::{
    Change, Class, Key, PauseQueue, PutQueue, Queue, QueueName, QueueSettings, Record, Rejection,
    Reply, TaskSpec, Used,
};

/// Schedules that a refusal names.
const USERS_NAMED_MAX: usize = 5;

impl Apply<'_> {
    /// Creates a queue, or changes its settings.
    pub(super) fn put_queue_settings(&mut self, command: &PutQueue) -> Result<Reply, Rejection> {
        let PutQueue { name, settings, known_at } = command;
        let known = self.state.named_queue(name).cloned();
        if let Some(known_at) = known_at {
            let changed_at = known.as_ref().map_or(0, |known| known.changed_index.0);
            if changed_at != known_at.0 {
                return Err(Rejection::QueueChanged { queue: name.as_str().into() });
            }
        }
        if let Some(fault) = settings.fault() {
            return Err(Rejection::invalid(fault));
        }
        self.check_room_for_queue(name)?;
        self.change_queue(name, *settings);
        Ok(Reply::Done)
    }

    /// Pauses or resumes a queue. What runs goes on.
    pub(super) fn pause_queue(&mut self, command: &PauseQueue) -> Result<Reply, Rejection> {
        let PauseQueue { name, is_paused } = command;
        self.check_known_queue(name)?;
        let settings = self.state.queue_settings(name);
        if settings.is_paused != *is_paused {
            // One of which nobody has said anything gets a record.
            self.check_room_for_queue(name)?;
            self.change_queue(name, QueueSettings { is_paused: *is_paused, ..settings });
        }
        Ok(Reply::Done)
    }

    /// Deletes a queue in which there are no live tasks, and which no schedule names.
    pub(super) fn delete_queue(&mut self, name: &QueueName) -> Result<Reply, Rejection> {
        if name.is_default() {
            return Err(Rejection::invalid("the queue 'default' always exists"));
        }
        self.check_known_queue(name)?;
        let in_use = |users: String| Rejection::QueueInUse {
            queue: name.as_str().into(),
            users: users.into(),
        };
        let tasks = self.state.queue_load(name).tasks;
        if tasks > 0 {
            return Err(in_use(format!("{tasks} of its tasks are not over")));
        }
        let schedules = self.state.schedules().filter(|one| one.plan.task.class.queue == *name);
        let schedules = schedules.map(|one| one.name.as_str()).take(USERS_NAMED_MAX);
        let schedules = schedules.collect::<Vec<_>>();
        if !schedules.is_empty() {
            return Err(in_use(format!("schedules name it, such as {}", schedules.join(", "))));
        }
        self.state.remove_queue(name);
        self.changes.push(Change::Delete(Key::Queue(name.clone())));
        Ok(Reply::Done)
    }

    fn check_room_for_queue(&self, name: &QueueName) -> Result<(), Rejection> {
        let max = self.limits().queues_max;
        if self.state.named_queue(name).is_none() && self.state.queues().len() >= max {
            return Err(Rejection::limit("queues", max));
        }
        Ok(())
    }

    fn check_known_queue(&self, name: &QueueName) -> Result<(), Rejection> {
        if self.state.has_queue(name) {
            return Ok(());
        }
        Err(Rejection::UnknownQueue { queue: name.as_str().into() })
    }

    fn change_queue(&mut self, name: &QueueName, settings: QueueSettings) {
        let known = self.state.named_queue(name);
        // Another rate counts in other parts: it begins anew.
        let used = known.filter(|known| known.settings.rate == settings.rate);
        let queue = Queue {
            name: name.clone(),
            settings,
            used: used.map_or_else(Used::default, |known| known.used),
            created_at: known.map_or(self.now, |known| known.created_at),
            changed_at: self.now,
            changed_index: self.index,
            index: self.index,
        };
        self.write_queue(queue);
    }

    fn write_queue(&mut self, queue: Queue) {
        let queue = Arc::new(Queue { index: self.index, ..queue });
        self.state.put_queue(Arc::clone(&queue));
        self.changes.push(Change::Put(Record::Queue(queue)));
    }

    /// Refuses tasks that name a queue that does not exist, or bring too many concurrency keys.
    pub(super) fn check_queues<'a>(
        &self,
        tasks: impl Iterator<Item = &'a Arc<TaskSpec>>,
    ) -> Result<(), Rejection> {
        let mut new_keys = BTreeSet::new();
        for task in tasks {
            let class = &task.class;
            if !self.state.has_queue(&class.queue) {
                let queue = class.queue.as_str().into();
                return Err(Rejection::NoSuchQueue { queue });
            }
            let key = class.concurrency_key.as_ref();
            let new = key.filter(|key| !self.state.has_concurrency_key(&class.queue, key));
            new_keys.extend(new.map(|key| (&class.queue, key)));
        }
        let max = self.limits().concurrency_keys_max;
        let new = new_keys.len();
        if new > 0 && self.state.concurrency_keys().saturating_add(new) > max {
            return Err(Rejection::limit("concurrency keys", max));
        }
        Ok(())
    }

    /// Refuses to start a task that its queue holds back. `starts` are those of the same command.
    pub(super) fn check_hold(&self, class: &Class, starts: &Starts) -> Result<(), Rejection> {
        let queue = || class.queue.as_str().into();
        if let Some(hold) = self.state.hold(class, self.now) {
            return Err(Rejection::HeldBack { queue: queue(), hold });
        }
        let Some(named) = self.state.named_queue(&class.queue) else { return Ok(()) };
        let Some(rate) = named.settings.rate else { return Ok(()) };
        let used = starts.used.get(&class.queue).copied().unwrap_or(named.used);
        match used.next_start(rate, self.now) {
            Some(until) => {
                let hold = crate::Hold::Rate { rate, until };
                Err(Rejection::HeldBack { queue: queue(), hold })
            }
            None => Ok(()),
        }
    }

    /// Counts a start that was decided.
    pub(super) fn count_start(&self, class: &Class, starts: &mut Starts) {
        let Some(named) = self.state.named_queue(&class.queue) else { return };
        let Some(rate) = named.settings.rate else { return };
        let used = starts.used.entry(class.queue.clone()).or_insert(named.used);
        *used = used.after_start(rate, self.now);
    }

    /// Records the starts of a command, once for each queue.
    pub(super) fn record_starts(&mut self, starts: Starts) {
        for (name, used) in starts.used {
            let Some(queue) = self.state.named_queue(&name).cloned() else { continue };
            self.write_queue(Queue { used, ..Queue::clone(&queue) });
        }
    }
}

/// Starts that one command decides, in queues that bound their rate.
#[derive(Debug, Default)]
pub(super) struct Starts {
    used: BTreeMap<QueueName, Used>,
}
