//! Applies users' commands: submit and cancel.

use std::sync::Arc;

use super::Apply;
use crate::{
    IdempotencyKey, IdempotencyRecord, Limits, Rejection, Reply, StopReason, SubmitTasks, Task,
    TaskGraph, TaskId, TaskReason, TaskSpec, TaskState,
};

impl Apply<'_> {
    /// Accepts all of the tasks, or none. Under an idempotency key that was used before, accepts
    /// nothing and returns the earlier reply.
    pub(super) fn submit_tasks(
        &mut self,
        command: SubmitTasks,
        graph: &TaskGraph,
    ) -> Result<Reply, Rejection> {
        if let Some(earlier) = self.earlier_submission(command.idempotency_key.as_ref())? {
            return Ok(earlier);
        }
        self.check_submission(&command, graph)?;
        let prospects = self.check_graph(&command.tasks, graph)?;
        let count = u32::try_from(command.tasks.len()).map_err(|_| {
            Rejection::limit("tasks in a submission", self.limits().tasks_per_submit_max)
        })?;

        let first = self.meta.next_task;
        let mut links = graph.links.as_slice();
        for (position, mut spec) in (0_u32..).zip(command.tasks) {
            let (own, rest) = links.split_at(links.partition_point(|link| link.task <= position));
            links = rest;
            let is_blocked = self.link(&mut spec, own, first, &prospects);
            self.accept_task(spec, is_blocked);
        }
        self.begin_cascades(prospects);
        if let Some(IdempotencyKey { key, fingerprint }) = command.idempotency_key {
            self.put_key(IdempotencyRecord { key, fingerprint, first, count, at: self.now });
        }
        Ok(Reply::Submitted { first, count, repeated: false })
    }

    /// Accepts a task that was checked, and returns its id.
    pub(super) fn accept_task(&mut self, spec: Arc<TaskSpec>, is_blocked: bool) -> TaskId {
        let id = self.meta.next_task;
        self.meta.next_task = id.next();
        let mut task = Task {
            id,
            spec,
            state: TaskState::Queued,
            reason: None,
            submitted_at: self.now,
            finished_at: None,
            failures: 0,
            losses: 0,
            attempts: Vec::new(),
            index: self.index,
            course: None,
            ahead: None,
        };
        task.begin(self.now, is_blocked);
        self.put_task(task);
        id
    }

    /// Returns the reply to the submission that was made under a key, if there was one.
    pub(super) fn earlier_submission(
        &self,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Reply>, Rejection> {
        let Some(key) = key else { return Ok(None) };
        let Some(record) = self.state.key(&key.key) else { return Ok(None) };
        if record.fingerprint != key.fingerprint {
            return Err(Rejection::IdempotencyConflict);
        }
        Ok(Some(Reply::Submitted { first: record.first, count: record.count, repeated: true }))
    }

    fn check_submission(&self, command: &SubmitTasks, graph: &TaskGraph) -> Result<(), Rejection> {
        let limits = self.limits();
        let count = command.tasks.len();
        if count == 0 {
            return Err(Rejection::invalid("a submission has at least one task"));
        }
        if count > limits.tasks_per_submit_max {
            return Err(Rejection::limit("tasks in a submission", limits.tasks_per_submit_max));
        }
        // Each task counts with a class of its own, so the account is never too low.
        let bytes = command.tasks.iter().map(|spec| spec.bytes()).sum::<u64>();
        let bytes =
            bytes + graph.links.len() as u64 * (Limits::DEPENDENCY_BYTES + Limits::TIMING_BYTES);
        let key_bytes = self.check_key_room(command.idempotency_key.as_ref())?;
        self.check_tasks_room(count, bytes + key_bytes)?;
        self.check_queues(command.tasks.iter())?;
        command.tasks.iter().enumerate().try_for_each(|(position, spec)| {
            check_spec(spec, limits)?;
            self.check_timing(position, spec)
        })
    }

    /// Refuses tasks that are too many beside the live ones, or would take more memory than these may.
    pub(super) fn check_tasks_room(&self, count: usize, bytes: u64) -> Result<(), Rejection> {
        let max = self.limits().live_tasks_max;
        if self.state.live_tasks().saturating_add(count) > max {
            return Err(Rejection::limit("live tasks", max));
        }
        self.check_room(bytes)
    }

    /// Returns the bytes that a key takes; refuses one for which there is no room.
    pub(super) fn check_key_room(&self, key: Option<&IdempotencyKey>) -> Result<u64, Rejection> {
        let Some(key) = key else { return Ok(0) };
        let max = self.limits().idempotency_keys_max;
        if self.state.keys() >= max {
            return Err(Rejection::limit("idempotency keys", max));
        }
        Ok(Limits::KEY_BYTES + key.key.len() as u64)
    }

    /// Refuses what would take more memory than live tasks may use.
    pub(super) fn check_room(&self, wanted: u64) -> Result<(), Rejection> {
        let (bytes, bytes_max) = (self.state.live_bytes(), self.meta.live_bytes_max);
        if bytes.saturating_add(wanted) > bytes_max {
            return Err(Rejection::QueueFull { bytes, wanted, bytes_max });
        }
        Ok(())
    }

    /// Cancels a task. A waiting task ends at once; a placed task is told to stop first.
    pub(super) fn cancel_task(&mut self, id: TaskId) -> Result<Reply, Rejection> {
        let mut task = Task::clone(&*self.live_task(id)?);
        let state = match task.state {
            TaskState::Blocked | TaskState::Scheduled { .. } | TaskState::Queued => {
                TaskState::Cancelled
            }
            TaskState::Assigned | TaskState::Running => TaskState::Cancelling,
            TaskState::Cancelling => return Ok(Reply::Cancelled(TaskState::Cancelling)),
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Aborted => {
                return Err(Rejection::NotLive { task: id });
            }
        };
        if state == TaskState::Cancelling
            && let Some(attempt) = task.attempts.last_mut()
        {
            attempt.stop = Some(StopReason::Cancelled);
        }

        let finished_at = state.is_terminal().then_some(self.now);
        let reason = Some(TaskReason::CancelledByUser);
        self.put_task(Task { state, reason, finished_at, ..task });
        Ok(Reply::Cancelled(state))
    }
}

/// Checks a task again. The API has done so with better error messages; this check keeps a faulty
/// master from spoiling the state.
pub(super) fn check_spec(spec: &Arc<TaskSpec>, limits: &Limits) -> Result<(), Rejection> {
    if spec.command.is_empty() {
        return Err(Rejection::invalid("a task needs a command"));
    }
    if spec.class.priority > limits.priority_max {
        return Err(Rejection::invalid(&format!("a priority is at most {}", limits.priority_max)));
    }
    if spec.max_attempts == 0 || spec.max_attempts > limits.attempts_max {
        return Err(Rejection::invalid(&format!("max_attempts is 1 to {}", limits.attempts_max)));
    }
    Ok(())
}
