//! Selection of the tasks of a page.

mod wire;

use cluster_state::{
    LabelSelector, Limits, Scope, Task, TaskFilter, TaskId, TaskStateKind, UnknownState, WorkerId,
};
use proto::problem::{ErrorKind, Problem};

use crate::ids;

/// Most tasks on a page.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

/// Selection of the tasks of a page.
#[derive(Clone, Debug)]
pub(crate) struct TaskQuery {
    filter: TaskFilter,
    /// Only what is on the worker now, and not what was.
    pub(crate) placed_on: Option<WorkerId>,
    /// Most tasks on the page.
    pub(crate) limit: usize,
    /// Only tasks below this one.
    pub(crate) cursor: Option<TaskId>,
}

/// Selection of tasks, as a request writes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueryTexts<'a> {
    /// Names of states, with commas between them.
    pub(crate) state: Option<&'a str>,
    pub(crate) worker: Option<&'a str>,
    /// `key=value` or `key`.
    pub(crate) label: Option<&'a str>,
    /// Beginning of the name.
    pub(crate) name_prefix: Option<&'a str>,
    pub(crate) priority: Option<u32>,
    pub(crate) limit: Option<usize>,
    pub(crate) cursor: Option<&'a str>,
}

impl TryFrom<QueryTexts<'_>> for TaskQuery {
    type Error = Problem;

    fn try_from(texts: QueryTexts<'_>) -> Result<Self, Problem> {
        let states = texts.state.into_iter().flat_map(|names| names.split(','));
        let states = states
            .map(str::parse)
            .collect::<Result<Vec<_>, UnknownState>>()
            .map_err(|error| malformed(error.to_string()))?;
        let worker = texts
            .worker
            .map(str::parse)
            .transpose()
            .map_err(|error: cluster_state::InvalidId| malformed(error.to_string()))?;
        let cursor = ids::cursor(texts.cursor)?;
        let limit = texts.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(malformed(format!("limit {limit} is not between 1 and {LIMIT_MAX}")));
        }
        let filter = TaskFilter {
            states,
            labels: texts.label.map(LabelSelector::of).into_iter().collect(),
            worker,
            name_prefix: texts.name_prefix.map(str::to_owned),
            priority: texts.priority.map(priority).transpose()?,
            scope: None,
        };
        Ok(Self { filter, placed_on: None, limit, cursor })
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(ErrorKind::Malformed, detail)
}

fn priority(number: u32) -> Result<u8, Problem> {
    let known = u8::try_from(number).ok().filter(|known| *known <= Limits::NEWEST.priority_max);
    known.ok_or_else(|| malformed(format!("priority {number} is not between 0 and 100")))
}

impl TaskQuery {
    /// Selects only live tasks whose current attempt is on that worker.
    pub(crate) fn placed_on(self, worker: WorkerId) -> Self {
        Self { placed_on: Some(worker), ..self }
    }

    /// Selects only tasks within a scope; all when there is none.
    pub(crate) fn within(self, scope: Option<&Scope>) -> Self {
        Self { filter: TaskFilter { scope: scope.cloned(), ..self.filter }, ..self }
    }

    /// Returns true if a finished task can match.
    pub(crate) fn wants_finished(&self) -> bool {
        self.placed_on.is_none() && self.wants(TaskStateKind::is_terminal)
    }

    /// Returns true if a live task can match.
    pub(crate) fn wants_live(&self) -> bool {
        self.wants(|state| !state.is_terminal())
    }

    fn wants(&self, kind: impl Fn(TaskStateKind) -> bool) -> bool {
        TaskStateKind::ALL.into_iter().any(|state| kind(state) && self.filter.selects(state))
    }

    /// Returns true if tasks have to be examined that are not on the page. One request examines a
    /// bounded number; its page may then hold fewer than requested, or none, and names the position
    /// to go on from.
    pub(crate) fn is_search(&self) -> bool {
        self.filter != TaskFilter::default() && self.placed_on.is_none()
    }

    /// Returns true if the task is selected, wherever it is placed.
    pub(crate) fn matches(&self, task: &Task) -> bool {
        self.filter.matches(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_cannot_mean_is_refused() {
        let detail = |texts: QueryTexts<'_>| TaskQuery::try_from(texts).unwrap_err().detail;
        assert_eq!(
            detail(QueryTexts { state: Some("done"), ..QueryTexts::default() }),
            "'done' is no state: blocked, scheduled, queued, assigned, running, cancelling, \
             completed, failed, cancelled, aborted"
        );
        assert_eq!(
            detail(QueryTexts { limit: Some(1_001), ..QueryTexts::default() }),
            "limit 1001 is not between 1 and 1000"
        );
        assert_eq!(
            detail(QueryTexts { priority: Some(101), ..QueryTexts::default() }),
            "priority 101 is not between 0 and 100"
        );
        assert_eq!(
            detail(QueryTexts { cursor: Some("x"), ..QueryTexts::default() }),
            "cursor is not one that a page ended with"
        );
    }
}
