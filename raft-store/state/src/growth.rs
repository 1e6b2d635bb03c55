//! Remembers when workers last gained room, where tasks that did not fit may fit now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{LogIndex, QueueName, WorkerId};

/// Workers that take tasks, by when something began to fit there that had not fitted before.
///
/// No record holds this, so two masters may know different things of the past. Therefore only a
/// leader's own memory of what did not fit depends on it, never a verdict.
#[derive(Default)]
pub(crate) struct Growth {
    by_worker: BTreeMap<WorkerId, LogIndex>,
    in_order: BTreeSet<(LogIndex, WorkerId)>,
    /// Queues in which a task may start that others with its concurrency key held back, each by when that
    /// last began.
    opened: BTreeMap<QueueName, LogIndex>,
    /// Number of changes to workers' records.
    changes: u64,
}

impl fmt::Debug for Growth {
    /// Leaves out the contents, on which masters need not agree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Growth").finish_non_exhaustive()
    }
}

impl Growth {
    pub(crate) fn on_grown(&mut self, worker: &WorkerId, at: LogIndex) {
        match self.by_worker.get_mut(worker) {
            Some(last) if *last == at => return,
            Some(last) => {
                self.in_order.remove(&(std::mem::replace(last, at), worker.clone()));
            }
            None => {
                self.by_worker.insert(worker.clone(), at);
            }
        }
        self.in_order.insert((at, worker.clone()));
    }

    pub(crate) fn on_opened(&mut self, queue: QueueName, at: LogIndex) {
        self.opened.insert(queue, at);
    }

    /// Returns whether a task was held back in a queue until after an entry of the log.
    pub(crate) fn has_opened_after(&self, queue: &QueueName, index: LogIndex) -> bool {
        self.opened.get(queue).is_some_and(|at| *at > index)
    }

    /// Forgets a queue that is empty.
    pub(crate) fn forget_queue(&mut self, queue: &QueueName) {
        self.opened.remove(queue);
    }

    /// Counts a change to a worker's record, which may change the tasks that may run there.
    pub(crate) const fn on_changed(&mut self) {
        self.changes += 1;
    }

    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn remove(&mut self, worker: &WorkerId) {
        self.on_changed();
        if let Some(last) = self.by_worker.remove(worker) {
            self.in_order.remove(&(last, worker.clone()));
        }
    }

    /// Returns the workers that gained room after an entry of the log, the latest first.
    pub(crate) fn after(&self, index: LogIndex) -> impl Iterator<Item = &WorkerId> {
        let latest = self.in_order.iter().rev();
        latest.take_while(move |(at, _)| *at > index).map(|(_, worker)| worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_growth_of_each_worker_counts() {
        let [one, two] = ["w1", "w2"].map(|worker| worker.parse::<WorkerId>().unwrap());
        let mut growth = Growth::default();
        for (worker, at) in [(&one, 3), (&two, 5), (&one, 7), (&one, 7)] {
            growth.on_grown(worker, LogIndex(at));
        }
        let after = |growth: &Growth, at| growth.after(LogIndex(at)).cloned().collect::<Vec<_>>();
        assert_eq!(after(&growth, 2), [one.clone(), two.clone()]);
        assert_eq!(after(&growth, 5), std::slice::from_ref(&one));
        assert_eq!(after(&growth, 7), [] as [WorkerId; 0]);

        growth.remove(&one);
        assert_eq!(after(&growth, 0), [two]);
    }
}
