//! A step stays small, whatever its tasks are.

use cluster_state::{
    Class, Course, LogIndex, OnDisconnect, Payload, TaskResult, TaskSpec, TaskState, TextMap,
    Timestamp,
};

use super::*;

fn payload() -> Payload {
    Payload::from(vec![7; Payload::BYTES_MAX].as_slice())
}

fn failed(id: u64, stdin: Option<Payload>) -> Arc<Task> {
    let spec = TaskSpec {
        name: None,
        command: vec!["true".to_owned()],
        env: TextMap::default(),
        working_dir: None,
        stdin,
        class: Arc::new(Class::default()),
        max_attempts: 1,
        retry_backoff: Duration::ZERO,
        run_timeout: None,
        on_disconnect: OnDisconnect::Keep,
        labels: TextMap::default(),
        secret_env: cluster_state::SecretMap::default(),
        timing: None,
    };
    let course = Course { result: Some(TaskResult::Kept(payload())), ..Course::default() };
    Arc::new(Task {
        id: TaskId(id),
        spec: Arc::new(spec),
        state: TaskState::Failed,
        reason: None,
        submitted_at: Timestamp(id),
        finished_at: Some(Timestamp(id)),
        failures: 1,
        losses: 0,
        attempts: Vec::new(),
        index: LogIndex(id),
        course: Some(Box::new(course)),
        ahead: None,
    })
}

#[test]
fn results_are_left_behind() {
    let (tasks, is_cut) = batch((1..=200).rev().map(|id| failed(id, None)));
    assert_eq!((tasks.len(), is_cut), (200, false));
    assert!(tasks.iter().all(|task| task.result().is_none()));
}

#[test]
fn a_step_is_bounded_by_number_and_by_size() {
    let (tasks, is_cut) = batch((1..=300).rev().map(|id| failed(id, None)));
    assert_eq!((tasks.len(), is_cut), (RETRIED_MAX, true));
    let (tasks, is_cut) = batch((1..=200).rev().map(|id| failed(id, Some(payload()))));
    let bytes = tasks.len() * Payload::BYTES_MAX;
    assert!(is_cut && bytes < BATCH_BYTES && bytes > BATCH_BYTES * 3 / 4, "{bytes}");
}
