//! Selection of the tasks of a page.

mod wire;

use cluster_state::{Scope, Task, TaskId, TaskStateKind, UnknownState, WorkerId};
use proto::problem::{ErrorKind, Problem};

use crate::ids;

/// Most tasks on a page.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

/// Selection of the tasks of a page.
#[derive(Clone, Debug)]
pub(crate) struct TaskQuery {
    state: Option<TaskStateKind>,
    worker: Option<WorkerId>,
    /// Only what is on the worker now, and not what was.
    pub(crate) placed_on: Option<WorkerId>,
    label: Option<(String, Option<String>)>,
    /// Only tasks that somebody may know of.
    scope: Option<Scope>,
    /// Most tasks on the page.
    pub(crate) limit: usize,
    /// Only tasks below this one.
    pub(crate) cursor: Option<TaskId>,
}

/// Selection of tasks, as a request writes it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueryTexts<'a> {
    /// Name of a state.
    pub(crate) state: Option<&'a str>,
    pub(crate) worker: Option<&'a str>,
    /// `key=value` or `key`.
    pub(crate) label: Option<&'a str>,
    pub(crate) limit: Option<usize>,
    pub(crate) cursor: Option<&'a str>,
}

impl TryFrom<QueryTexts<'_>> for TaskQuery {
    type Error = Problem;

    fn try_from(texts: QueryTexts<'_>) -> Result<Self, Problem> {
        let malformed = |detail: String| Problem::new(ErrorKind::Malformed, detail);
        let state = texts
            .state
            .map(str::parse)
            .transpose()
            .map_err(|error: UnknownState| malformed(error.to_string()))?;
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
        let label = texts.label.map(|label| match label.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (label.to_owned(), None),
        });
        Ok(Self { state, worker, placed_on: None, label, scope: None, limit, cursor })
    }
}

impl TaskQuery {
    /// Selects only live tasks whose current attempt is on that worker.
    pub(crate) fn placed_on(self, worker: WorkerId) -> Self {
        Self { placed_on: Some(worker), ..self }
    }

    /// Selects only tasks within a scope; all when there is none.
    pub(crate) fn within(self, scope: Option<&Scope>) -> Self {
        Self { scope: scope.cloned(), ..self }
    }

    /// Returns true if a finished task can match.
    pub(crate) fn wants_finished(&self) -> bool {
        self.placed_on.is_none() && self.state.is_none_or(TaskStateKind::is_terminal)
    }

    /// Returns true if a live task can match.
    pub(crate) fn wants_live(&self) -> bool {
        self.state.is_none_or(|state| !state.is_terminal())
    }

    /// Returns true if tasks have to be examined that are not on the page. One request examines a
    /// bounded number; its page may then hold fewer than requested, or none, and names the position
    /// to go on from.
    pub(crate) fn is_search(&self) -> bool {
        let is_filtered = self.state.is_some()
            || self.worker.is_some()
            || self.label.is_some()
            || self.scope.is_some();
        is_filtered && self.placed_on.is_none()
    }

    /// Returns true if the task is selected, wherever it is placed.
    pub(crate) fn matches(&self, task: &Task) -> bool {
        let worker = task.last_attempt().map(|attempt| &attempt.worker);
        self.state.is_none_or(|state| task.state.kind() == state)
            && (self.worker.is_none() || self.worker.as_ref() == worker)
            && self.scope.as_ref().is_none_or(|scope| scope.covers(&task.spec.labels))
            && self.label.as_ref().is_none_or(|(key, wanted)| {
                let value = task.spec.labels.get(key);
                value.is_some() && (wanted.is_none() || wanted.as_deref() == value)
            })
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
            "'done' is no state: scheduled, queued, assigned, running, cancelling, completed, \
             failed, cancelled"
        );
        assert_eq!(
            detail(QueryTexts { limit: Some(1_001), ..QueryTexts::default() }),
            "limit 1001 is not between 1 and 1000"
        );
        assert_eq!(
            detail(QueryTexts { cursor: Some("x"), ..QueryTexts::default() }),
            "cursor is not one that a page ended with"
        );
    }
}
