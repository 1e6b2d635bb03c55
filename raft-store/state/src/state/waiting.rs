//! What waits, and where there is room for it.

use std::sync::Arc;

use super::State;
use crate::index::ClassQueue;
use crate::{Candidates, Class, LogIndex, Moment, Plan, Rank, Since, Task, WorkerId};

impl State {
    /// The queue: classes with waiting tasks, highest priority first.
    pub fn queue(&self) -> impl Iterator<Item = (&Arc<Class>, &ClassQueue)> {
        self.index.queue()
    }

    /// The waiting tasks of one class.
    #[must_use]
    pub fn class_queue(&self, class: &Arc<Class>) -> Option<&ClassQueue> {
        self.index.class_queue(class)
    }

    /// The task that was submitted first of all that wait.
    #[must_use]
    pub fn oldest_waiting(&self) -> Option<&Arc<Task>> {
        self.task(self.index.backlog().oldest()?)
    }

    /// Names the state as it is `at` an entry of the log.
    #[must_use]
    pub const fn moment(&self, at: LogIndex) -> Moment {
        Moment { index: at, changes: self.growth.changes() }
    }

    /// The waiting classes, from `from` on, that may fit somewhere now and did not, or did not wait
    /// yet, at the moment that `since` names.
    #[must_use]
    pub fn candidates(&self, since: Since, from: Rank) -> Candidates<'_> {
        let worker = |id: &WorkerId| self.workers.get(id).map(Arc::as_ref);
        Candidates::new(self.index.backlog(), (&self.room, &self.growth), worker, since, from)
    }

    /// Starts planning where to place tasks: on workers that take tasks, from what is free now.
    #[must_use]
    pub fn plan(&self) -> Plan<'_> {
        self.room.plan()
    }
}
