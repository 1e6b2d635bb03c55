//! Converts tasks for display.

use std::collections::BTreeMap;

use cluster_state::{AttemptOutcome, Task, TaskId, TaskSpec, TaskStateKind};

use super::{dependencies, report, rfc3339, timing};
use crate::v1;

/// Returns the answer to a submission or a cancellation.
#[must_use]
pub fn submitted(id: TaskId, state: TaskStateKind) -> v1::SubmittedTask {
    let state = v1::TaskState::from(state).into();
    v1::SubmittedTask { task_id: id.to_string(), state }
}

impl v1::Task {
    /// Returns true if the state is final.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.state().kind().is_some_and(TaskStateKind::is_terminal)
    }
}

/// Converts a task; only the scheduler knows why a task waits.
#[must_use]
pub fn task(task: &Task, pending_reason: Option<String>) -> v1::Task {
    let spec = &task.spec;
    let last = task.last_attempt_of_run();
    let last_outcome = last.and_then(|attempt| attempt.outcome.as_ref());

    let mut wire = v1::Task {
        task_id: task.id.to_string(),
        name: spec.name.clone(),
        state: v1::TaskState::from(task.state.kind()).into(),
        pending_reason,
        reason: task.reason_text(),
        priority: u32::from(spec.class.priority),
        command: spec.command.clone(),
        resources: Some((&spec.class.resources).into()),
        labels: spec.labels.to_map(),
        submitted_at: rfc3339(task.submitted_at),
        started_at: last.and_then(|attempt| attempt.started_at).map(rfc3339),
        finished_at: task.finished_at.map(rfc3339),
        exit_code: last_outcome
            .filter(|_| task.state.is_terminal())
            .and_then(AttemptOutcome::exit_code),
        index: task.index.0,
        attempts: task.attempts.iter().map(Into::into).collect(),
        env: BTreeMap::new(),
        secret_env: Vec::new(),
        ..v1::Task::default()
    };
    let class = &spec.class;
    wire.queue = Some(class.queue.to_string()).filter(|_| !class.queue.is_default());
    wire.concurrency_key = class.concurrency_key.as_ref().map(ToString::to_string);
    timing::show(&mut wire, task);
    dependencies::show(&mut wire, task);
    report::show(&mut wire, task);
    wire.stdin_bytes = spec.stdin.as_ref().and_then(|stdin| stdin.len().try_into().ok());
    wire
}

/// Adds the environment of a task to what is shown of it: of secret variables the names.
pub fn show_environment(wire: &mut v1::Task, spec: &TaskSpec) {
    wire.env = spec.env.to_map();
    wire.secret_env = spec.secret_env.names().map(str::to_owned).collect();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster_state::{
        Attempt, AttemptNumber, Course, Epoch, LogIndex, LossReason, Payload, TaskReason,
        TaskResult, TaskState, Timestamp, Timing, When,
    };

    use super::*;
    use crate::convert::show_result;

    fn attempt(number: u32, outcome: AttemptOutcome) -> Attempt {
        Attempt {
            number: AttemptNumber(number),
            worker: "worker-1".parse().unwrap(),
            epoch: Epoch(1),
            assigned_at: Timestamp(1_000),
            started_at: Some(Timestamp(2_000)),
            finished_at: Some(Timestamp(3_000)),
            stop: None,
            outcome: Some(outcome),
            usage: None,
        }
    }

    fn failed_task() -> Task {
        let spec = v1::TaskSpec {
            name: Some("train-7".to_owned()),
            command: vec!["false".to_owned()],
            labels: [("team".to_owned(), "x".to_owned())].into(),
            ..v1::TaskSpec::default()
        };
        Task {
            id: TaskId(17),
            spec: Arc::new(TaskSpec::try_from(spec).unwrap()),
            state: TaskState::Failed,
            reason: Some(TaskReason::AttemptsExhausted),
            submitted_at: Timestamp(0),
            finished_at: Some(Timestamp(3_000)),
            failures: 1,
            losses: 1,
            attempts: vec![
                attempt(1, AttemptOutcome::Lost(LossReason::WorkerRestarted)),
                attempt(2, AttemptOutcome::Exited { code: 1 }),
            ],
            index: LogIndex(1_042),
            course: None,
            ahead: None,
        }
    }

    #[test]
    fn a_task_has_the_documented_json_form() {
        let json = serde_json::to_value(task(&failed_task(), None)).unwrap();
        let expected = serde_json::json!({
            "task_id": "t17", "name": "train-7", "state": "failed", "pending_reason": null,
            "reason": "failed as often as max_attempts allows", "priority": 50,
            "command": ["false"],
            "resources": {"cpu": 1.0, "memory_mb": 512, "storage_mb": 0, "gpu": 0, "custom": {}},
            "labels": {"team": "x"},
            "submitted_at": "1970-01-01T00:00:00.000Z",
            "started_at": "1970-01-01T00:00:02.000Z",
            "finished_at": "1970-01-01T00:00:03.000Z",
            "exit_code": 1, "index": 1042,
            "attempts": [
                {"number": 1, "worker_id": "worker-1", "started_at": "1970-01-01T00:00:02.000Z",
                 "finished_at": "1970-01-01T00:00:03.000Z", "exit_code": null, "outcome": "lost",
                 "reason": "the worker restarted"},
                {"number": 2, "worker_id": "worker-1", "started_at": "1970-01-01T00:00:02.000Z",
                 "finished_at": "1970-01-01T00:00:03.000Z", "exit_code": 1, "outcome": "failed",
                 "reason": null},
            ],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn lists_tell_how_large_a_result_is_and_only_who_asks_for_the_task_gets_it() {
        let with = |result| Task {
            course: Some(Box::new(Course { result: Some(result), ..Course::default() })),
            ..failed_task()
        };
        let kept = with(TaskResult::Kept(Payload::from(b"{}".as_slice())));
        let mut wire = task(&kept, None);
        assert_eq!((wire.result_bytes, wire.result.clone()), (Some(2), None));
        show_result(&mut wire, &kept);
        assert_eq!(wire.result.as_deref(), Some(b"{}".as_slice()));

        let wire = task(&with(TaskResult::TooLarge { bytes: 70_000 }), None);
        let told = "result-too-large: the file had 70000 bytes, at most 65536 are kept";
        assert_eq!((wire.result_bytes, wire.result_error.as_deref()), (None, Some(told)));
    }

    #[test]
    fn a_retried_task_shows_nothing_of_the_run_before_as_its_own() {
        let course = |queued_at: u64| {
            Some(Box::new(Course {
                queued_at: Some(Timestamp(queued_at)),
                retries: 1,
                ..Course::default()
            }))
        };
        // It was cancelled before it was placed again.
        let waiting = Task { state: TaskState::Cancelled, course: course(4_000), ..failed_task() };
        let wire = task(&waiting, None);
        assert_eq!((wire.started_at, wire.exit_code, wire.attempts.len()), (None, None, 2));

        let over = Task { course: course(500), ..failed_task() };
        let wire = task(&over, None);
        assert_eq!((wire.started_at.is_some(), wire.exit_code), (true, Some(1)));

        // Its start time is ahead, as it was when it was retried.
        let mut unqueued = failed_task();
        let start = Some(When::At(Timestamp(9_000)));
        Arc::make_mut(&mut unqueued.spec).timing = Timing { start, ..Timing::default() }.boxed();
        unqueued.course = Some(Box::new(Course { retries: 1, ..Course::default() }));
        unqueued.state = TaskState::Cancelled;
        let wire = task(&unqueued, None);
        assert_eq!((wire.started_at, wire.exit_code), (None, None));
    }

    #[test]
    fn only_a_finished_task_has_an_exit_code() {
        let waiting = Task { state: TaskState::Queued, finished_at: None, ..failed_task() };
        let wire = task(&waiting, Some("no worker has enough cpu".to_owned()));
        assert_eq!(wire.exit_code, None);
        assert_eq!(wire.pending_reason.as_deref(), Some("no worker has enough cpu"));
    }
}
