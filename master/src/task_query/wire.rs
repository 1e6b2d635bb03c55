//! Converts a query for tasks from the request of a client, and to the one that asks the leader for
//! the same page.

use cluster_state::TaskStateKind;
use proto::consistency::Consistency;
use proto::problem::{ErrorKind, Problem};
use proto::v1;

use super::{QueryTexts, TaskQuery};

impl TryFrom<&v1::ListTasksRequest> for TaskQuery {
    type Error = Problem;

    fn try_from(request: &v1::ListTasksRequest) -> Result<Self, Problem> {
        let query = Self::try_from(QueryTexts {
            state: None,
            worker: request.worker.as_deref(),
            label: request.label.as_deref(),
            limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
            cursor: request.cursor.as_deref(),
        })?;
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
}

fn state(number: i32) -> Result<TaskStateKind, Problem> {
    let known = v1::TaskState::try_from(number).ok().and_then(v1::TaskState::kind);
    let unknown = || Problem::new(ErrorKind::Malformed, format!("{number} is no state of a task"));
    known.ok_or_else(unknown)
}

impl From<&TaskQuery> for v1::ListTasksRequest {
    fn from(query: &TaskQuery) -> Self {
        let worker = query.placed_on.as_ref().or(query.worker.as_ref());
        let label = query.label.as_ref().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        });
        Self {
            state: query.state.map(|state| v1::TaskState::from(state).into()),
            worker: worker.map(ToString::to_string),
            label,
            limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
            cursor: query.cursor.map(|cursor| cursor.to_string()),
            consistency: Consistency::Linearizable.into(),
            placed: query.placed_on.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_is_passed_on_means_the_same() {
        let (state, cursor) = (Some("assigned"), Some("t9"));
        for (worker, label) in [(Some("w1"), Some("a=b=c")), (None, Some("a")), (Some("w1"), None)]
        {
            let texts = QueryTexts { state, worker, label, limit: Some(7), cursor };
            let query = TaskQuery::try_from(texts).unwrap();
            let placed = worker.map(|worker| query.clone().placed_on(worker.parse().unwrap()));
            for query in [Some(query), placed].into_iter().flatten() {
                let passed_on = v1::ListTasksRequest::from(&query);
                let read = TaskQuery::try_from(&passed_on).unwrap();
                assert_eq!(v1::ListTasksRequest::from(&read), passed_on);
                assert_eq!((read.state, read.limit, read.cursor), (query.state, 7, query.cursor));
                assert_eq!((&read.label, &read.placed_on), (&query.label, &query.placed_on));
            }
        }
    }

    #[test]
    fn a_request_that_cannot_be_meant_is_refused() {
        let later = v1::ListTasksRequest { state: Some(77), ..v1::ListTasksRequest::default() };
        let refused = TaskQuery::try_from(&later).unwrap_err();
        assert_eq!(refused.detail, "77 is no state of a task");
        let nowhere = v1::ListTasksRequest { placed: true, ..v1::ListTasksRequest::default() };
        assert!(TaskQuery::try_from(&nowhere).is_err());
    }
}
