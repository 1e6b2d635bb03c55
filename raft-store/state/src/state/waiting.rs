//! Waiting tasks, and the room that there is for them.

use std::sync::Arc;

use super::State;
use crate::index::ClassQueue;
use crate::{
    Candidates, Class, Head, LogIndex, Moment, Plan, Rank, Resources, Since, Task, Worker, WorkerId,
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

    /// Returns the waiting task that was queued first.
    #[must_use]
    pub fn oldest_waiting(&self) -> Option<&Arc<Task>> {
        self.task(self.index.backlog().oldest()?)
    }

    /// Returns the next task of each waiting class, and those that stand for themselves, the most important
    /// first.
    pub fn heads(&self) -> impl Iterator<Item = &Head> {
        self.index.backlog().by_rank()
    }

    /// Returns the current moment. The caller says `at` which entry of the log that is.
    #[must_use]
    pub const fn moment(&self, at: LogIndex) -> Moment {
        Moment { index: at, changes: self.growth.changes() }
    }

    /// Returns the waiting classes, from rank `from` on, that may fit somewhere now although
    /// nothing that waited fitted at the moment `since`.
    #[must_use]
    pub fn candidates(&self, since: Since, from: Rank) -> Candidates<'_> {
        let worker = |id: &WorkerId| self.workers.get(id).map(Arc::as_ref);
        Candidates::new(self.index.backlog(), (&self.capacity, &self.growth), worker, since, from)
    }

    /// Returns the waiting classes that a worker could run if it were empty, the most important first.
    #[must_use]
    pub fn candidates_of<'a>(&'a self, worker: &'a Worker) -> Candidates<'a> {
        Candidates::of_worker(self.index.backlog(), worker)
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
