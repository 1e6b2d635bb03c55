//! Converts a query for tasks from the request of a client, and to the one that asks the leader for
//! the same page.

use cluster_state::{LabelSelector, TaskStateKind};
use proto::consistency::Consistency;
use proto::problem::{ErrorKind, Problem};
use proto::v1;

use super::{QueryTexts, TaskQuery};

/// Most states, and labels, that one request names.
const CONDITIONS_MAX: usize = 16;

impl TryFrom<&v1::ListTasksRequest> for TaskQuery {
    type Error = Problem;

    fn try_from(request: &v1::ListTasksRequest) -> Result<Self, Problem> {
        let mut query = Self::try_from(QueryTexts {
            state: None,
            worker: request.worker.as_deref(),
            label: request.label.as_deref(),
            name_prefix: request.name_prefix.as_deref(),
            priority: request.priority,
            limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
            cursor: request.cursor.as_deref(),
        })?;
        if request.states.len().max(request.labels.len()) > CONDITIONS_MAX {
            let detail = format!("at most {CONDITIONS_MAX} states and labels are allowed");
            return Err(Problem::new(ErrorKind::Malformed, detail));
        }
        let states = request.state.iter().chain(&request.states);
        query.filter.states = states.copied().map(state).collect::<Result<_, _>>()?;
        query.filter.labels.extend(request.labels.iter().map(|label| LabelSelector::of(label)));
        match (request.placed, query.filter.worker.clone()) {
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
        let filter = &query.filter;
        let worker = query.placed_on.as_ref().or(filter.worker.as_ref());
        // One of each has a field of its own, which a leader of an earlier release reads, too.
        let (state, states) = match filter.states.as_slice() {
            [one] => (Some(number(*one)), Vec::new()),
            several => (None, several.iter().copied().map(number).collect()),
        };
        let (label, labels) = match filter.labels.as_slice() {
            [one] => (Some(one.to_string()), Vec::new()),
            several => (None, several.iter().map(ToString::to_string).collect()),
        };
        Self {
            state,
            worker: worker.map(ToString::to_string),
            label,
            limit: u32::try_from(query.limit).unwrap_or(u32::MAX),
            cursor: query.cursor.map(|cursor| cursor.to_string()),
            consistency: Consistency::Linearizable.into(),
            placed: query.placed_on.is_some(),
            states,
            labels,
            name_prefix: filter.name_prefix.clone(),
            priority: filter.priority.map(u32::from),
        }
    }
}

fn number(state: TaskStateKind) -> i32 {
    v1::TaskState::from(state).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_is_passed_on_means_the_same() {
        let cursor = Some("t9");
        let cases = [
            (Some("assigned"), Some("w1"), Some("a=b=c"), None),
            (Some("queued,running"), None, Some("a"), Some(3)),
            (None, Some("w1"), None, None),
        ];
        for (state, worker, label, priority) in cases {
            let name_prefix = priority.map(|_| "nightly-");
            let texts =
                QueryTexts { state, worker, label, name_prefix, priority, limit: Some(7), cursor };
            let query = TaskQuery::try_from(texts).unwrap();
            let placed = worker.map(|worker| query.clone().placed_on(worker.parse().unwrap()));
            for query in [Some(query), placed].into_iter().flatten() {
                let passed_on = v1::ListTasksRequest::from(&query);
                let read = TaskQuery::try_from(&passed_on).unwrap();
                assert_eq!(v1::ListTasksRequest::from(&read), passed_on);
                assert_eq!((read.limit, read.cursor), (7, query.cursor));
                assert_eq!((&read.filter, &read.placed_on), (&query.filter, &query.placed_on));
            }
        }
        let labels = vec!["a=b".to_owned(), "c".to_owned()];
        let several = v1::ListTasksRequest { labels, ..v1::ListTasksRequest::default() };
        let query = TaskQuery::try_from(&several).unwrap();
        assert_eq!(v1::ListTasksRequest::from(&query).labels, several.labels);
    }

    #[test]
    fn a_request_that_cannot_be_meant_is_refused() {
        let later = v1::ListTasksRequest { state: Some(77), ..v1::ListTasksRequest::default() };
        let refused = TaskQuery::try_from(&later).unwrap_err();
        assert_eq!(refused.detail, "77 is no state of a task");
        let nowhere = v1::ListTasksRequest { placed: true, ..v1::ListTasksRequest::default() };
        assert!(TaskQuery::try_from(&nowhere).is_err());
        let labels = vec!["a".to_owned(); 17];
        let many = v1::ListTasksRequest { labels, ..v1::ListTasksRequest::default() };
        assert!(TaskQuery::try_from(&many).is_err());
    }
}
