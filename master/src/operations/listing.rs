//! One page of tasks, newest first, out of what is live in memory and what is finished on disk.
//! The merge is pure.

use std::sync::Arc;

use cluster_state::{State, Task, TaskId, WorkerId};

use crate::task_query::TaskQuery;

/// Live tasks looked at in one go: the state cannot be written meanwhile.
const LIVE_SCAN_MAX: usize = 5_000;
/// Finished tasks looked at in one go, when most may not match.
const HISTORY_SCAN_MAX: usize = 1_000;

impl TaskQuery {
    /// Returns the number of finished tasks to read for the next scan.
    pub(crate) fn history_scan(&self) -> usize {
        if self.is_search() { HISTORY_SCAN_MAX } else { self.limit }
    }

    /// Looks at live tasks below the cursor.
    pub(crate) fn scan_live(&self, state: &State) -> Scan {
        if !self.wants_live() {
            return Scan::default();
        }
        if let Some(worker) = &self.placed_on {
            return self.scan_placed(state, worker);
        }
        let mut scan = Scan::default();
        let below = state.tasks_below(self.cursor).rev();
        for (looked_at, task) in below.enumerate() {
            if looked_at == LIVE_SCAN_MAX || scan.tasks.len() == self.limit {
                return scan;
            }
            scan.reached = Some(task.id);
            if self.matches(task) {
                scan.tasks.push(Arc::clone(task));
            }
        }
        scan.reached = None;
        scan
    }

    /// Scans the tasks on a worker, which the state knows: nothing else has to be examined.
    fn scan_placed(&self, state: &State, worker: &WorkerId) -> Scan {
        let mut scan = Scan::default();
        let Some(load) = state.load(worker) else { return scan };
        let below = load.attempts.iter().rev();
        let below = below.filter(|id| self.cursor.is_none_or(|cursor| **id < cursor));
        for task in below.filter_map(|id| state.task(*id)).filter(|task| self.matches(task)) {
            if scan.tasks.len() == self.limit {
                scan.reached = scan.tasks.last().map(|task| task.id);
                break;
            }
            scan.tasks.push(Arc::clone(task));
        }
        scan
    }

    /// Looks at finished tasks below the cursor: `records` is what a read of
    /// [`Self::history_scan`] found, and whether that is all there is.
    pub(crate) fn scan_history(&self, records: Vec<Arc<Task>>, is_exhausted: bool) -> Scan {
        let reached = records.last().map(|task| task.id).filter(|_| !is_exhausted);
        let matching = records.into_iter().filter(|task| self.matches(task));
        Scan { tasks: matching.collect(), reached }
    }
}

/// Content of one source from the cursor down.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Matching tasks, newest first.
    tasks: Vec<Arc<Task>>,
    /// The lowest id looked at; none when the source was looked at to its end.
    reached: Option<TaskId>,
}

/// Part of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Newest first.
    pub(crate) tasks: Vec<Arc<Task>>,
    /// Position to go on from; none at the end.
    pub(crate) next: Option<TaskId>,
}

/// Joins what both sources hold, down to where both were looked at. A task that ended between the
/// two scans is in both: its final record counts.
pub(crate) fn merge(live: Scan, history: Scan, limit: usize) -> Slice {
    let frontier = live.reached.max(history.reached);
    let mut tasks = history.tasks;
    tasks.extend(live.tasks);
    // Stable: of two records of one task the one from history comes first and stays.
    tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
    tasks.dedup_by_key(|task| task.id);
    tasks.retain(|task| frontier.is_none_or(|frontier| task.id >= frontier));

    if tasks.len() > limit {
        tasks.truncate(limit);
        let next = tasks.last().map(|task| task.id);
        return Slice { tasks, next };
    }
    Slice { tasks, next: frontier }
}

#[cfg(test)]
mod tests;
