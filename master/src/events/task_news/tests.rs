//! Tests of events of tasks.

use std::collections::BTreeMap;

use cluster_state::{
    Attempt, AttemptNumber, Command, Course, Epoch, LossReason, Proposal, State, SubmitTasks,
};
use proto::json::Submission;
use serde_json::json;

use super::*;

/// A task with neither name nor labels.
pub(in crate::events) fn task(id: u64, state: TaskState) -> Task {
    let Ok(Submission::One(spec)) = Submission::parse(br#"{"command": ["true"]}"#) else {
        panic!("it is one task");
    };
    let tasks = vec![Arc::new(TaskSpec::try_from(*spec).unwrap())];
    let command = Command::SubmitTasks(SubmitTasks { tasks, idempotency_key: None });
    let proposal = Proposal { proposed_at: Timestamp(0), command };
    let applied = State::new().apply(LogIndex(1), proposal);
    let submitted = applied.changes.iter().find_map(|change| {
        if let Change::Put(Record::Task(task)) = change { Some(Task::clone(task)) } else { None }
    });
    Task { id: TaskId(id), state, ..submitted.unwrap() }
}

fn attempt(assigned_at: u64) -> Attempt {
    Attempt {
        number: AttemptNumber(1),
        worker: "w1".parse().unwrap(),
        epoch: Epoch(1),
        assigned_at: Timestamp(assigned_at),
        started_at: None,
        finished_at: None,
        stop: None,
        outcome: None,
        usage: None,
    }
}

fn news(task: &Task, now: u64) -> Option<TaskNews> {
    let change = Change::Put(Record::Task(Arc::new(task.clone())));
    TaskNews::of_change(&change, Some(Timestamp(now)), Timestamp(now))
}

fn shown(task: &Task, now: u64) -> serde_json::Value {
    json!(news(task, now).unwrap())
}

#[test]
fn a_task_is_told_of_at_each_step_of_its_way() {
    let mut one = task(17, TaskState::Queued);
    Arc::make_mut(&mut one.spec).name = Some("train-7".to_owned());
    let told = |state: &str, attempt: Option<u32>, seconds: u64| {
        let worker = attempt.map(|_| "w1");
        json!({"type": "task_status", "task_id": "t17", "name": "train-7", "state": state,
               "worker_id": worker, "attempt": attempt,
               "timestamp": format!("1970-01-01T00:00:0{seconds}.000Z")})
    };
    assert_eq!(shown(&one, 1_000), told("queued", None, 1));

    one.state = TaskState::Assigned;
    one.attempts.push(attempt(2_000));
    assert_eq!(shown(&one, 2_000), told("assigned", Some(1), 2));
    one.state = TaskState::Running;
    one.attempts[0].started_at = Some(Timestamp(3_000));
    assert_eq!(shown(&one, 3_000), told("running", Some(1), 3));

    one.state = TaskState::Scheduled { until: Timestamp(9_000) };
    one.reason = Some(TaskReason::RetryBackoff);
    one.attempts[0].outcome = Some(AttemptOutcome::Exited { code: 3 });
    let mut failed = told("scheduled", Some(1), 4);
    failed["exit_code"] = json!(3);
    failed["outcome"] = json!("failed");
    failed["reason"] = json!("waiting for retry_backoff after a failed attempt");
    assert_eq!(shown(&one, 4_000), failed);
}

#[test]
fn the_end_says_its_reason() {
    let ended = |state, reason, stop, outcome| {
        let mut one = task(17, state);
        let live = attempt(1);
        one.reason = reason;
        one.attempts.push(Attempt { stop, outcome: Some(outcome), ..live });
        let shown = shown(&one, 5_000);
        (shown["outcome"].clone(), shown["reason"].clone())
    };
    let exited = AttemptOutcome::Exited { code: 0 };
    assert_eq!(
        ended(TaskState::Completed, None, None, exited.clone()),
        (json!("completed"), json!(null))
    );
    let cancelled = Some(TaskReason::CancelledByUser);
    assert_eq!(
        ended(TaskState::Cancelled, cancelled, Some(StopReason::Cancelled), exited),
        (json!("completed"), json!("cancelled by user"))
    );
    let detail = "no such file".to_owned();
    let exhausted = Some(TaskReason::AttemptsExhausted);
    assert_eq!(
        ended(TaskState::Failed, exhausted, None, AttemptOutcome::StartFailed { detail }),
        (json!("start-failed"), json!("could not be started: no such file"))
    );
    assert_eq!(
        ended(TaskState::Failed, exhausted, None, AttemptOutcome::Exited { code: 1 }),
        (json!("failed"), json!("failed as often as max_attempts allows"))
    );
    let final_code = Some(TaskReason::FinalExitCode);
    assert_eq!(
        ended(TaskState::Failed, final_code, None, AttemptOutcome::Signaled { signal: 11 }),
        (json!("failed"), json!("failed with an exit code of no_retry_exit_codes"))
    );
    let late = (json!("completed"), json!("deadline: it was not over in time"));
    let (deadline, exited) = (Some(TaskReason::Deadline), AttemptOutcome::Exited { code: 0 });
    assert_eq!(ended(TaskState::Failed, deadline, Some(StopReason::Deadline), exited), late);
    let lost = AttemptOutcome::Lost(LossReason::LeaseExpired);
    assert_eq!(
        ended(TaskState::Queued, Some(TaskReason::WorkerLost), None, lost),
        (json!("lost"), json!("the worker's lease expired"))
    );
}

#[test]
fn a_retry_is_told_of_without_the_run_before() {
    let mut one = task(17, TaskState::Failed);
    one.attempts.push(Attempt {
        finished_at: Some(Timestamp(3_000)),
        outcome: Some(AttemptOutcome::Exited { code: 3 }),
        ..attempt(2_000)
    });
    assert_eq!(shown(&one, 3_000)["exit_code"], 3);
    one.state = TaskState::Queued;
    let queued_at = Some(Timestamp(4_000));
    one.course = Some(Box::new(Course { queued_at, retries: 1, ..Course::default() }));
    let queued = json!({"type": "task_status", "task_id": "t17", "state": "queued",
        "worker_id": null, "attempt": null, "timestamp": "1970-01-01T00:00:04.000Z"});
    assert_eq!(shown(&one, 4_000), queued);
    one.state = TaskState::Assigned;
    one.attempts.push(Attempt { number: AttemptNumber(2), ..attempt(5_000) });
    assert_eq!(shown(&one, 5_000)["attempt"], 2);
}

#[test]
fn a_record_that_is_written_for_another_reason_is_no_news() {
    let mut one = task(17, TaskState::Assigned);
    one.attempts.push(attempt(2_000));
    assert!(news(&one, 2_000).is_some());
    one.attempts[0].epoch = Epoch(2);
    assert_eq!(news(&one, 3_000), None);

    one.state = TaskState::Running;
    one.attempts[0].started_at = Some(Timestamp(4_000));
    assert!(news(&one, 4_000).is_some());
    one.attempts[0].stop = Some(StopReason::RunTimeout);
    assert_eq!(news(&one, 5_000), None);
    // Without the time of the entry, a step told twice is better than one left out.
    let change = Change::Put(Record::Task(Arc::new(one)));
    assert!(TaskNews::of_change(&change, None, Timestamp(5_000)).is_some());
}

#[test]
fn an_event_is_small_and_says_what_it_holds_besides() {
    const { assert!(TaskNews::BYTES <= 96) };
    let mut one = task(17, TaskState::Queued);
    assert_eq!(news(&one, 0).unwrap().bytes(), TaskNews::BYTES);

    // A live task has its specification itself, and one that is over has left it to its events.
    Arc::make_mut(&mut one.spec).name = Some("x".repeat(1_000));
    assert_eq!(news(&one, 0).unwrap().bytes(), TaskNews::BYTES);
    one.state = TaskState::Completed;
    assert!(news(&one, 0).unwrap().bytes() > TaskNews::BYTES + 1_000);
}

#[test]
fn secret_values_are_not_held_by_events() {
    let mut one = task(17, TaskState::Queued);
    let spec = Arc::make_mut(&mut one.spec);
    spec.name = Some("train".to_owned());
    let secrets = [("TOKEN".to_owned(), "hush".to_owned())];
    spec.secret_env = BTreeMap::from(secrets).into();
    let told = news(&one, 0).unwrap();
    assert_eq!((Arc::strong_count(&one.spec), json!(told)["name"].as_str()), (1, Some("train")));
    assert!(told.bytes() > TaskNews::BYTES);
}
