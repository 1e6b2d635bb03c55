//! Converts assignments, which tell a worker to run an attempt.

use std::collections::BTreeMap;

use bytes::Bytes;
use cluster_state::{AttemptRef, OnDisconnect, Task, TaskSpec};
use prost::Message;

use crate::limits::{BATCH_BYTES, ByteBudget};
use crate::v1;

/// Converts the first live attempts of `tasks`, as many as one message holds.
#[must_use]
pub fn assignments<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<v1::Assignment> {
    let mut budget = ByteBudget::new(BATCH_BYTES);
    let wire = tasks.filter_map(assignment);
    wire.take_while(|assignment| budget.admits(assignment.encoded_len())).collect()
}

fn assignment(task: &Task) -> Option<v1::Assignment> {
    let live = task.live_attempt()?;
    Some(v1::Assignment {
        attempt: Some(AttemptRef { task: task.id, attempt: live.number }.into()),
        command: task.spec.command.clone(),
        env: environment(&task.spec),
        working_dir: task.spec.working_dir.clone(),
        requeue_on_disconnect: task.spec.on_disconnect == OnDisconnect::Requeue,
        resources: Some((&task.spec.class.resources).into()),
        ahead: task.ahead.is_some(),
        stdin: task.spec.stdin.as_ref().map(|stdin| Bytes::copy_from_slice(stdin.bytes())),
    })
}

/// Returns all variables in one map, which workers of every release read.
fn environment(spec: &TaskSpec) -> BTreeMap<String, String> {
    let secrets = spec.secret_env.iter();
    let secrets = secrets.map(|(name, value)| (name.to_owned(), value.reveal().to_owned()));
    let mut variables = spec.env.to_map();
    variables.extend(secrets);
    variables
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use cluster_state::{
        Attempt, AttemptNumber, Class, Epoch, LogIndex, Resources, TaskId, TaskState, TextMap,
        Timestamp,
    };

    use super::*;

    /// Returns a task that is placed, and as large as that.
    fn task(id: u64, bytes: usize) -> Task {
        let class = Class {
            priority: 50,
            resources: Resources::default(),
            constraints: Vec::new(),
            worker: None,
            ..Class::default()
        };
        let spec = TaskSpec {
            name: None,
            command: vec!["true".to_owned(), "x".repeat(bytes)],
            env: TextMap::default(),
            working_dir: None,
            stdin: None,
            class: Arc::new(class),
            max_attempts: 1,
            retry_backoff: Duration::ZERO,
            run_timeout: None,
            on_disconnect: OnDisconnect::Keep,
            labels: TextMap::default(),
            secret_env: cluster_state::SecretMap::default(),
            timing: None,
        };
        let attempt = Attempt {
            number: AttemptNumber(1),
            worker: "w1".parse().unwrap(),
            epoch: Epoch(1),
            assigned_at: Timestamp(0),
            started_at: None,
            finished_at: None,
            stop: None,
            outcome: None,
            usage: None,
        };
        Task {
            id: TaskId(id),
            spec: Arc::new(spec),
            state: TaskState::Assigned,
            reason: None,
            submitted_at: Timestamp(0),
            finished_at: None,
            failures: 0,
            losses: 0,
            attempts: vec![attempt],
            index: LogIndex(1),
            course: None,
            ahead: None,
        }
    }

    #[test]
    fn a_batch_of_large_tasks_fits_into_a_message() {
        let tasks = (1..=200).map(|id| task(id, 120_000)).collect::<Vec<_>>();
        let batch = assignments(tasks.iter());
        assert!(batch.len() > 30, "{}", batch.len());
        let request = v1::AssignTaskRequest { assignments: batch, ..Default::default() };
        assert!(request.encoded_len() <= BATCH_BYTES + crate::limits::ENVELOPE_BYTES);
    }

    #[test]
    fn a_task_above_the_bound_travels_alone() {
        let tasks = [task(1, BATCH_BYTES + 1), task(2, 1)];
        assert_eq!(assignments(tasks.iter()).len(), 1);
        assert_eq!(assignments(tasks.iter().rev()).len(), 1);
    }
}
