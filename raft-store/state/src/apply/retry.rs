//! Applies users' orders to have finished tasks run again.

use super::Apply;
use crate::{Course, KnownEnds, LogIndex, Rejection, Reply, RetryTask, Task, TaskState, When};

impl Apply<'_> {
    /// Has a finished task run again. Its failures count from zero; its attempts are numbered on, and are
    /// kept.
    ///
    /// Finished tasks are on disk only, where `apply` may not look, so the command carries the record. It
    /// would be out of date if the task had been retried, and had ended again, after the proposer read
    /// it: then attempts would be numbered twice. So an order is refused if any other one took effect
    /// meanwhile; the proposer reads again. That the record was forgotten meanwhile does no harm: the
    /// task is back.
    pub(super) fn retry_task(&mut self, command: RetryTask) -> Result<Reply, Rejection> {
        let RetryTask { task, known_at, ends } = command;
        if let Some(live) = self.state.task(task.id) {
            return Err(not_retryable(live));
        }
        if known_at < self.meta.last_retry {
            return Err(Rejection::RetriedMeanwhile);
        }
        if task.id >= self.meta.next_task || task.index > known_at {
            return Err(Rejection::invalid("a task that is not known"));
        }
        self.run_again(&task, &ends, known_at).map(Reply::Retried)
    }

    /// Queues a finished task again, or has it wait for its dependencies. The caller makes sure that the
    /// record is not out of date.
    pub(super) fn run_again(
        &mut self,
        task: &Task,
        ends: &KnownEnds,
        known_at: LogIndex,
    ) -> Result<TaskState, Rejection> {
        // Those that it would not complete for must be aborted before.
        if self.state.cascade(task.id).is_some() {
            return Err(Rejection::RetriedMeanwhile);
        }
        self.check_retry(task)?;
        let is_blocked = self.check_retried(task, ends, known_at)?;

        let retries = task.retries().saturating_add(1);
        let mut task = Task {
            failures: 0,
            losses: 0,
            finished_at: None,
            course: Some(Box::new(Course {
                retries,
                was_released: task.was_released(),
                ..Course::default()
            })),
            ..Task::clone(task)
        };
        task.begin(self.now, is_blocked);
        self.check_room(task.bytes() + task.spec.class.bytes())?;
        let state = task.state;
        self.meta.last_retry = self.index;
        self.put_task(task);
        Ok(state)
    }

    fn check_retry(&self, task: &Task) -> Result<(), Rejection> {
        let refused =
            |detail: &str| Err(Rejection::NotRetryable { task: task.id, detail: detail.into() });
        match task.state {
            TaskState::Failed | TaskState::Cancelled | TaskState::Aborted => {}
            TaskState::Blocked
            | TaskState::Scheduled { .. }
            | TaskState::Queued
            | TaskState::Assigned
            | TaskState::Running
            | TaskState::Cancelling
            | TaskState::Completed => return Err(not_retryable(task)),
        }
        if !task.spec.secret_env.is_empty() {
            return refused(
                "the values of its secret variables were dropped when it was over; submit it anew",
            );
        }
        if let Err(error) = self.check_queues([&task.spec].into_iter()) {
            return refused(&error.to_string());
        }
        let deadline = task.spec.timing.as_ref().and_then(|timing| timing.deadline);
        if let Some(When::At(at)) = deadline
            && at <= self.now
        {
            return refused("its deadline has passed");
        }

        let limits = self.limits();
        if self.state.live_tasks() >= limits.live_tasks_max {
            return Err(Rejection::limit("live tasks", limits.live_tasks_max));
        }
        Ok(())
    }
}

fn not_retryable(task: &Task) -> Rejection {
    let detail = format!("it is {}, not failed, cancelled or aborted", task.state);
    Rejection::NotRetryable { task: task.id, detail: detail.into() }
}
