//! Waiting tasks, and the room that there is for them.

use std::sync::Arc;

use super::State;
use crate::backlog::Backlog;
use crate::index::ClassQueue;
use crate::{
    Candidates, Class, Footprint, Head, LogIndex, Moment, Plan, QueueName, Rank, Resources, Since,
    Task, Worker, WorkerId,
};

impl State {
    /// Returns the queue: classes with waiting tasks, highest priority first.
    pub fn queue(&self) -> impl Iterator<Item = (&Arc<Class>, &ClassQueue)> {
        self.index.queue()
    }

    /// Returns the part of the queue after a class, which need not wait any more.
    pub fn queue_after(
        &self,
        class: &Arc<Class>,
    ) -> impl Iterator<Item = (&Arc<Class>, &ClassQueue)> {
        self.index.queue_after(class)
    }

    /// Returns the waiting tasks of one class.
    #[must_use]
    pub fn class_queue(&self, class: &Arc<Class>) -> Option<&ClassQueue> {
        self.index.class_queue(class)
    }

    /// Returns the waiting task that was queued first, held back or not.
    #[must_use]
    pub fn oldest_waiting(&self) -> Option<&Arc<Task>> {
        self.oldest_of(self.queues_in_use())
    }

    /// Returns the waiting task that was queued first, of the queues that are not paused.
    #[must_use]
    pub fn oldest_not_paused(&self) -> Option<&Arc<Task>> {
        self.oldest_of(self.queues_in_use().filter(|name| !self.queue_settings(name).is_paused))
    }

    fn oldest_of<'a>(&self, queues: impl Iterator<Item = &'a QueueName>) -> Option<&Arc<Task>> {
        let oldest = queues.filter_map(|name| self.index.queues().oldest(name)).min();
        self.task(oldest.map(|(_, task)| task)?)
    }

    /// Returns the next task of each waiting class of a queue, and those that stand for themselves, the most
    /// important first. Of those with one concurrency key there is one at most.
    pub fn heads(&self, queue: &QueueName) -> impl Iterator<Item = &Head> {
        self.index.queues().backlog(queue).into_iter().flat_map(Backlog::by_rank)
    }

    /// Returns the current moment. The caller says `at` which entry of the log that is.
    #[must_use]
    pub const fn moment(&self, at: LogIndex) -> Moment {
        Moment { index: at, changes: self.growth.changes() }
    }

    /// Returns the waiting classes of a queue, from rank `from` on, that may fit somewhere now although
    /// nothing that waited fitted at the moment `since`.
    #[must_use]
    pub fn candidates(
        &self,
        queue: &QueueName,
        since: Since,
        from: Rank,
    ) -> Option<Candidates<'_>> {
        let worker = |id: &WorkerId| self.workers.get(id).map(Arc::as_ref);
        let backlog = self.index.queues().backlog(queue)?;
        let since = match since {
            Since::Then(then) if !self.growth.has_opened_after(queue, then.index()) => since,
            Since::Then(_) | Since::Unknown => Since::Unknown,
        };
        let places = (&self.capacity, &self.growth);
        Some(Candidates::new(backlog, places, worker, since, from))
    }

    /// Returns the waiting classes of a queue that a worker could run if it were empty, the most important
    /// first.
    #[must_use]
    pub fn candidates_of<'a>(
        &'a self,
        queue: &QueueName,
        worker: &'a Worker,
    ) -> Option<Candidates<'a>> {
        let backlog = self.index.queues().backlog(queue)?;
        Some(Candidates::of_worker(backlog, worker))
    }

    /// Returns what the workers that take tasks have in total.
    #[must_use]
    pub const fn fleet(&self) -> &Footprint {
        self.capacity.fleet()
    }

    /// Returns what is free on a worker for further attempts; `None` if it takes no tasks.
    #[must_use]
    pub fn free_on(&self, worker: &WorkerId) -> Option<&Resources> {
        self.capacity.free_on(worker)
    }

    /// Starts a plan of where to place tasks, from what is free now on the workers that take tasks.
    #[must_use]
    pub fn plan(&self) -> Plan<'_> {
        self.capacity.plan()
    }
}
