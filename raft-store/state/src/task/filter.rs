//! Selection of tasks by what they are, and where they stand.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Task, TaskStateKind};
use crate::{Scope, WorkerId};

/// Conditions on tasks, all of which must hold. Without any, every task is selected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFilter {
    /// States, one of which a task must have; empty, any will do.
    pub states: Vec<TaskStateKind>,
    /// Labels that it must have.
    pub labels: Vec<LabelSelector>,
    /// Worker of its last attempt.
    pub worker: Option<WorkerId>,
    /// Beginning of its name.
    pub name_prefix: Option<String>,
    /// Its priority.
    pub priority: Option<u8>,
    /// The only tasks that somebody may know of.
    pub scope: Option<Scope>,
}

impl TaskFilter {
    /// Returns whether the task is selected.
    #[must_use]
    pub fn matches(&self, task: &Task) -> bool {
        let spec = &task.spec;
        let has_name = |prefix: &String| {
            spec.name.as_ref().is_some_and(|name| name.starts_with(prefix.as_str()))
        };
        let worker = || task.last_attempt().map(|attempt| &attempt.worker);
        self.selects(task.state.kind())
            && self.priority.is_none_or(|priority| priority == spec.class.priority)
            && self.scope.as_ref().is_none_or(|scope| scope.covers(&spec.labels))
            && (self.worker.is_none() || self.worker.as_ref() == worker())
            && self.name_prefix.as_ref().is_none_or(has_name)
            && self.labels.iter().all(|label| label.accepts(spec.labels.get(&label.key)))
    }

    /// Returns whether a task in that state may be selected.
    #[must_use]
    pub fn selects(&self, state: TaskStateKind) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// Returns whether it selects all tasks within its scope.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self { scope: self.scope.clone(), ..Self::default() }
    }

    /// Returns the bytes of its texts and lists.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let labels = self.labels.iter().map(LabelSelector::bytes).sum::<usize>();
        let worker = self.worker.as_ref().map_or(0, |worker| worker.as_str().len());
        let name = self.name_prefix.as_ref().map_or(0, String::len);
        let scope = self
            .scope
            .as_ref()
            .map_or(0, |scope| scope.key.len().saturating_add(scope.value.len()));
        [labels, worker, name, scope].into_iter().fold(self.states.len(), usize::saturating_add)
    }
}

/// A label that a task must have, whatever its value or with this one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LabelSelector {
    /// Key of the label.
    pub key: String,
    /// Its value; absent, any will do.
    pub value: Option<String>,
}

impl LabelSelector {
    /// Reads `KEY=VALUE` or `KEY`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.to_owned(), value: Some(value.to_owned()) },
            None => Self { key: text.to_owned(), value: None },
        }
    }

    fn accepts(&self, value: Option<&str>) -> bool {
        value.is_some() && (self.value.is_none() || self.value.as_deref() == value)
    }

    fn bytes(&self) -> usize {
        self.key.len().saturating_add(self.value.as_ref().map_or(0, String::len)).saturating_add(1)
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::{
        Class, LogIndex, OnDisconnect, Resources, SecretMap, TaskId, TaskSpec, TaskState, Timestamp,
    };

    fn task() -> Task {
        let class = Class {
            priority: 7,
            resources: Resources::default(),
            constraints: Vec::new(),
            worker: None,
            ..Class::default()
        };
        let labels = BTreeMap::from([("team".to_owned(), "blue".to_owned())]);
        let spec = TaskSpec {
            name: Some("nightly-1".to_owned()),
            command: vec!["true".to_owned()],
            env: BTreeMap::new().into(),
            working_dir: None,
            stdin: None,
            class: Arc::new(class),
            max_attempts: 1,
            retry_backoff: Duration::ZERO,
            run_timeout: None,
            on_disconnect: OnDisconnect::Keep,
            labels: labels.into(),
            secret_env: SecretMap::default(),
            timing: None,
        };
        Task {
            id: TaskId(1),
            spec: Arc::new(spec),
            state: TaskState::Queued,
            reason: None,
            submitted_at: Timestamp(0),
            finished_at: None,
            failures: 0,
            losses: 0,
            attempts: Vec::new(),
            index: LogIndex(1),
            course: None,
            ahead: None,
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = TaskFilter {
            states: vec![TaskStateKind::Queued, TaskStateKind::Running],
            labels: vec![LabelSelector::of("team=blue"), LabelSelector::of("team")],
            name_prefix: Some("nightly-".to_owned()),
            priority: Some(7),
            ..TaskFilter::default()
        };
        assert!(filter.matches(&task()) && !filter.is_all() && filter.bytes() > 20);

        let blue = Scope { key: "team".to_owned(), value: "blue".to_owned() };
        let red = Scope { value: "red".to_owned(), ..blue.clone() };
        for (other, is_met) in [
            (TaskFilter { states: vec![TaskStateKind::Failed], ..filter.clone() }, false),
            (TaskFilter { labels: vec![LabelSelector::of("team=")], ..filter.clone() }, false),
            (TaskFilter { labels: vec![LabelSelector::of("zone")], ..filter.clone() }, false),
            (TaskFilter { name_prefix: Some("n2".to_owned()), ..filter.clone() }, false),
            (TaskFilter { priority: Some(8), ..filter.clone() }, false),
            (TaskFilter { worker: Some("w1".parse().unwrap()), ..filter.clone() }, false),
            (TaskFilter { scope: Some(red), ..filter.clone() }, false),
            (TaskFilter { scope: Some(blue.clone()), ..filter }, true),
            (TaskFilter { scope: Some(blue), ..TaskFilter::default() }, true),
        ] {
            assert_eq!(other.matches(&task()), is_met, "{other:?}");
        }
        assert!(TaskFilter::default().is_all());
    }
}
