//! Converts orders about many tasks: the selection that a client writes, and jobs as they are shown.

use cluster_state::{
    Job, JobAction, JobEnd, LabelSelector, Limits, TaskFilter, TaskStateKind, WorkerId,
};

use super::faults::Faults;
use super::spec::LABEL_BYTES_MAX;
use super::{Breach, Invalid, rfc3339};
use crate::problem::ErrorKind;
use crate::v1;

/// Maximum number of states, and of labels, that a selection names.
const CONDITIONS_MAX: usize = 16;

/// Converts a selection of tasks for an order. A retry that names no states means those that have failed.
///
/// # Errors
///
/// If a condition cannot be meant, or none is given and `all` is not, or both are.
pub fn task_filter(wire: v1::TaskSelection, action: JobAction) -> Result<TaskFilter, Invalid> {
    let mut faults = Faults::default();
    let names_some =
        v1::TaskSelection { all: false, ..wire.clone() } != v1::TaskSelection::default();
    let v1::TaskSelection { states, labels, worker, name_prefix, priority, all } = wire;
    for (pointer, count) in [("/states", states.len()), ("/labels", labels.len())] {
        if count > CONDITIONS_MAX {
            return Err(Invalid::too_long(
                pointer,
                &Breach::TooMany { count, max: CONDITIONS_MAX },
            ));
        }
    }
    let states = states
        .into_iter()
        .enumerate()
        .filter_map(|(at, number)| faults.keep(&format!("/states/{at}"), state(number, action)));
    let states = states.collect::<Vec<_>>();
    let labels = labels
        .into_iter()
        .enumerate()
        .filter_map(|(at, text)| faults.keep(&format!("/labels/{at}"), label(&text)));
    let labels = labels.collect::<Vec<_>>();
    let worker = worker
        .and_then(|text| faults.keep("/worker", text.parse::<WorkerId>().map_err(Breach::from)));
    let name_prefix = name_prefix.and_then(|text| faults.keep("/name_prefix", short(text)));
    let priority = priority.and_then(|priority| faults.keep("/priority", priority_of(priority)));

    let mut filter = TaskFilter { states, labels, worker, name_prefix, priority, scope: None };
    match (all, names_some) {
        (true, true) => faults.add("/all", &Breach::Excludes { other: "a condition" }),
        (false, false) => faults.add("/all", &Breach::NoCondition),
        (true, false) | (false, true) => {}
    }
    if action == JobAction::Retry && filter.states.is_empty() {
        filter.states = vec![TaskStateKind::Failed];
    }
    filter.states.sort_unstable();
    filter.states.dedup();
    faults.finish(ErrorKind::InvalidValue, filter)
}

fn state(number: i32, action: JobAction) -> Result<TaskStateKind, Breach> {
    let known = v1::TaskState::try_from(number).ok().and_then(v1::TaskState::kind);
    let fitting = known.filter(|state| action.is_for(*state));
    fitting.ok_or(Breach::StateOfOrder { action: action.name() })
}

fn label(text: &str) -> Result<LabelSelector, Breach> {
    let label = LabelSelector::of(text);
    if label.key.is_empty() {
        return Err(Breach::Required);
    }
    let longest = label.key.len().max(label.value.as_ref().map_or(0, String::len));
    if longest > LABEL_BYTES_MAX {
        return Err(Breach::TooLong { bytes: longest, max: LABEL_BYTES_MAX });
    }
    Ok(label)
}

fn short(text: String) -> Result<String, Breach> {
    match text.len() {
        0 => Err(Breach::Required),
        1..=LABEL_BYTES_MAX => Ok(text),
        bytes => Err(Breach::TooLong { bytes, max: LABEL_BYTES_MAX }),
    }
}

fn priority_of(number: u32) -> Result<u8, Breach> {
    let max = Limits::NEWEST.priority_max;
    let known = u8::try_from(number).ok().filter(|priority| *priority <= max);
    known.ok_or(Breach::OutOfRange { min: 0, max: max.into() })
}

/// Converts a job.
#[must_use]
pub fn job(job: &Job) -> v1::Job {
    let (state, reason) = match &job.end {
        None => (v1::JobState::Running, None),
        Some((_, JobEnd::Completed)) => (v1::JobState::Completed, None),
        Some((_, JobEnd::Stopped { reason })) => (v1::JobState::Stopped, Some(reason.to_string())),
    };
    let action = match job.action {
        JobAction::Cancel => v1::JobAction::Cancel,
        JobAction::Retry => v1::JobAction::Retry,
    };
    let parts = job.passed.saturating_mul(100).checked_div(job.total()).unwrap_or(100);
    v1::Job {
        job_id: job.id.to_string(),
        action: action.into(),
        state: state.into(),
        selection: Some(selection(&job.filter)),
        done: job.done,
        refused: job.refused,
        percent: u32::try_from(parts).unwrap_or(100),
        reason,
        ordered_by: job.by.clone(),
        started_at: rfc3339(job.started_at),
        finished_at: job.end.as_ref().map(|(at, _)| rfc3339(*at)),
        index: job.index.0,
    }
}

fn selection(filter: &TaskFilter) -> v1::TaskSelection {
    let states = filter.states.iter().map(|state| v1::TaskState::from(*state).into());
    v1::TaskSelection {
        states: states.collect(),
        labels: filter.labels.iter().map(ToString::to_string).collect(),
        worker: filter.worker.as_ref().map(ToString::to_string),
        name_prefix: filter.name_prefix.clone(),
        priority: filter.priority.map(u32::from),
        all: filter.is_all(),
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{JobId, LogIndex, TaskId, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::json::read;

    fn filter(action: JobAction, body: &str) -> Result<TaskFilter, Vec<String>> {
        let wire = read::<v1::TaskSelection>(body.as_bytes()).unwrap();
        task_filter(wire, action)
            .map_err(|invalid| invalid.faults().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_selection_without_conditions_must_say_that_all_are_meant() {
        let all = filter(JobAction::Cancel, r#"{"all": true}"#).unwrap();
        assert_eq!(all, TaskFilter::default());
        let failed = filter(JobAction::Retry, r#"{"all": true}"#).unwrap();
        assert_eq!(failed.states, [TaskStateKind::Failed]);
        assert_eq!(
            filter(JobAction::Cancel, "{}").unwrap_err(),
            ["/all: is required where no condition says which tasks are meant"]
        );
        assert_eq!(
            filter(JobAction::Cancel, r#"{"all": true, "priority": 9}"#).unwrap_err(),
            ["/all: cannot be given beside a condition"]
        );
    }

    #[test]
    fn every_fault_of_a_selection_is_told() {
        let body = r#"{"states": ["queued", "failed", "done"], "labels": ["team=x", "=y"],
            "worker": "a b", "name_prefix": "", "priority": 101}"#;
        let faults = filter(JobAction::Cancel, body).unwrap_err();
        let pointers =
            faults.iter().map(|fault| fault.split(':').next().unwrap()).collect::<Vec<_>>();
        assert_eq!(
            pointers,
            ["/states/1", "/states/2", "/labels/1", "/worker", "/name_prefix", "/priority"]
        );
        assert_eq!(faults[0], "/states/1: is no state of tasks to cancel");
        let live = filter(JobAction::Retry, r#"{"states": ["queued"]}"#).unwrap_err();
        assert_eq!(live, ["/states/0: is no state of tasks to retry"]);
    }

    #[test]
    fn a_job_is_shown_with_its_selection() {
        let body = r#"{"states": ["running", "queued", "queued"], "labels": ["team=x", "gpu"]}"#;
        let shown = Job {
            id: JobId(17),
            action: JobAction::Cancel,
            filter: filter(JobAction::Cancel, body).unwrap(),
            by: "user:ada".to_owned(),
            from: TaskId(11),
            to: TaskId(111),
            passed: 50,
            done: 7,
            refused: 0,
            started_at: Timestamp(0),
            end: None,
            index: LogIndex(20),
        };
        let expected = json!({
            "job_id": "j17", "action": "cancel", "state": "running",
            "selection": {
                "states": ["queued", "running"], "labels": ["team=x", "gpu"], "worker": null,
                "name_prefix": null, "priority": null, "all": false,
            },
            "done": 7, "refused": 0, "percent": 50, "reason": null, "ordered_by": "user:ada",
            "started_at": "1970-01-01T00:00:00.000Z", "finished_at": null, "index": 20,
        });
        assert_eq!(serde_json::to_value(job(&shown)).unwrap(), expected);
        let end = (Timestamp(0), JobEnd::Stopped { reason: "the queue is full".into() });
        let stopped = job(&Job { end: Some(end), to: shown.from, passed: 0, ..shown });
        assert_eq!((stopped.state(), stopped.percent), (v1::JobState::Stopped, 100));
        assert_eq!(stopped.reason.as_deref(), Some("the queue is full"));
    }
}
