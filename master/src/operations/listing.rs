//! One page of tasks, newest first, out of what is live in memory and what is finished on disk.
//! The merge is pure.

use std::sync::Arc;

use cluster_state::{State, Task, TaskId, TaskStateKind, UnknownState, WorkerId};
use proto::consistency::Consistency;
use proto::problem::{ErrorKind, Problem};
use proto::v1;

/// Most tasks on a page.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;
/// Live tasks looked at in one go: the state cannot be written meanwhile.
const LIVE_SCAN_MAX: usize = 5_000;
/// Finished tasks looked at in one go, when most may not match.
const HISTORY_SCAN_MAX: usize = 1_000;

/// Selection of the tasks of a page.
#[derive(Clone, Debug)]
pub(crate) struct TaskQuery {
    state: Option<TaskStateKind>,
    worker: Option<WorkerId>,
    /// Only what is on the worker now, and not what was.
    placed_on: Option<WorkerId>,
    label: Option<(String, Option<String>)>,
    /// Most tasks on the page.
    pub(crate) limit: usize,
    /// Only tasks below this one.
    pub(crate) cursor: Option<TaskId>,
}

impl TaskQuery {
    /// Reads what a request says.
    pub(crate) fn parse(
        state: Option<&str>,
        worker: Option<&str>,
        label: Option<&str>,
        limit: Option<usize>,
        cursor: Option<&str>,
    ) -> Result<Self, Problem> {
        let malformed = |detail: String| Problem::new(ErrorKind::Malformed, detail);
        let state = state
            .map(str::parse)
            .transpose()
            .map_err(|error: UnknownState| malformed(error.to_string()))?;
        let worker = worker
            .map(str::parse)
            .transpose()
            .map_err(|error: cluster_state::InvalidId| malformed(error.to_string()))?;
        let cursor = cursor
            .map(str::parse)
            .transpose()
            .map_err(|_| malformed("cursor is not one that a page ended with".to_owned()))?;
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(malformed(format!("limit {limit} is not between 1 and {LIMIT_MAX}")));
        }
        let label = label.map(|label| match label.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (label.to_owned(), None),
        });
        Ok(Self { state, worker, placed_on: None, label, limit, cursor })
    }

    /// Selects only live tasks whose current attempt is on that worker.
    pub(crate) fn placed_on(self, worker: WorkerId) -> Self {
        Self { placed_on: Some(worker), ..self }
    }

    /// Reads a request.
    pub(crate) fn of(request: &v1::ListTasksRequest) -> Result<Self, Problem> {
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let query = Self::parse(
            None,
            request.worker.as_deref(),
            request.label.as_deref(),
            limit,
            request.cursor.as_deref(),
        )?;
        let state = request.state.map(state).transpose()?;
        let query = Self { state, ..query };
        match (request.placed, query.worker.clone()) {
            (false, _) => Ok(query),
            (true, Some(worker)) => Ok(query.placed_on(worker)),
            (true, None) => {
                let detail = "placed needs a worker on which the tasks are";
                Err(Problem::new(ErrorKind::Malformed, detail))
            }
        }
    }

    /// Returns the request that asks another master for the same page.
    pub(crate) fn request(&self) -> v1::ListTasksRequest {
        let worker = self.placed_on.as_ref().or(self.worker.as_ref());
        let label = self.label.as_ref().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        });
        v1::ListTasksRequest {
            state: self.state.map(|state| v1::TaskState::from(state).into()),
            worker: worker.map(ToString::to_string),
            label,
            limit: u32::try_from(self.limit).unwrap_or(u32::MAX),
            cursor: self.cursor.map(|cursor| cursor.to_string()),
            consistency: Consistency::Linearizable.into(),
            placed: self.placed_on.is_some(),
        }
    }

    /// Returns true if a finished task can match.
    pub(crate) fn wants_finished(&self) -> bool {
        self.placed_on.is_none() && self.state.is_none_or(TaskStateKind::is_terminal)
    }

    fn wants_live(&self) -> bool {
        self.state.is_none_or(|state| !state.is_terminal())
    }

    /// Returns the number of finished tasks to read for the next scan.
    pub(crate) fn history_scan(&self) -> usize {
        if self.is_search() { HISTORY_SCAN_MAX } else { self.limit }
    }

    /// Returns true if tasks have to be examined that are not on the page. One request examines a
    /// bounded number; its page may then hold fewer than requested, or none, and names the position
    /// to go on from.
    pub(crate) fn is_search(&self) -> bool {
        let is_filtered = self.state.is_some() || self.worker.is_some() || self.label.is_some();
        is_filtered && self.placed_on.is_none()
    }

    fn matches(&self, task: &Task) -> bool {
        let worker = task.last_attempt().map(|attempt| &attempt.worker);
        self.state.is_none_or(|state| task.state.kind() == state)
            && (self.worker.is_none() || self.worker.as_ref() == worker)
            && self.label.as_ref().is_none_or(|(key, wanted)| {
                let value = task.spec.labels.get(key);
                value.is_some() && (wanted.is_none() || wanted.as_deref() == value)
            })
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

/// Converts the field of a request.
fn state(wire: i32) -> Result<TaskStateKind, Problem> {
    let known = v1::TaskState::try_from(wire).ok().and_then(v1::TaskState::kind);
    known.ok_or_else(|| Problem::new(ErrorKind::Malformed, format!("{wire} is no state of a task")))
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
