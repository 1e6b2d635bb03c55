//! Fires the timers of tasks, and checks those that submissions ask for.

use super::Apply;
use crate::task::Due;
use crate::{Limits, Rejection, StopReason, Task, TaskReason, TaskSpec, TaskState, Timing};

impl Apply<'_> {
    /// Does what is due to a task.
    pub(super) fn fire_timer(&mut self, mut task: Task) {
        match task.due(self.now) {
            Some(Due::Queue) if task.reason == Some(TaskReason::StartTime) => {
                task.queue_first(self.now);
                self.put_task(task);
            }
            Some(Due::Queue) => {
                self.put_task(Task { state: TaskState::Queued, reason: None, ..task });
            }
            Some(Due::QueueTimeout) => self.end_late(task, TaskReason::QueueTimeout),
            Some(Due::RunTimeout) => self.stop_late(task, StopReason::RunTimeout),
            Some(Due::Deadline) if task.live_attempt().is_some() => {
                self.stop_late(task, StopReason::Deadline);
            }
            Some(Due::Deadline) => self.end_late(task, TaskReason::Deadline),
            None => {}
        }
    }

    fn end_late(&mut self, mut task: Task, reason: TaskReason) {
        task.reason = Some(reason);
        self.end(task, TaskState::Failed);
    }

    fn stop_late(&mut self, mut task: Task, reason: StopReason) {
        if let Some(attempt) = task.attempts.last_mut() {
            attempt.stop = Some(reason);
        }
        self.put_task(task);
    }

    /// Checks the bounds that a submission sets to the life of a task. `position` is its place there.
    pub(super) fn check_timing(&self, position: usize, spec: &TaskSpec) -> Result<(), Rejection> {
        let Some(timing) = spec.timing.as_deref() else { return Ok(()) };
        check_policy(timing, self.limits())?;

        let untimely = |field: &str, detail: &str| {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            Err(Rejection::Untimely { position, field: field.into(), detail: detail.into() })
        };
        let horizon = self.now.after(self.limits().task_horizon);
        let start = timing.start.map(|start| start.from(self.now));
        if start.is_some_and(|start| start > horizon) {
            return untimely("not_before", "is more than a year ahead");
        }
        let Some(deadline) = timing.deadline.map(|deadline| deadline.from(self.now)) else {
            return Ok(());
        };
        if deadline > horizon {
            return untimely("deadline", "is more than a year ahead");
        }
        if deadline <= self.now {
            return untimely("deadline", "has passed already");
        }
        if start.is_some_and(|start| deadline <= start) {
            return untimely("deadline", "is not after the time at which the task may start");
        }
        Ok(())
    }
}

/// Checks again what the API has checked with better error messages.
fn check_policy(timing: &Timing, limits: &Limits) -> Result<(), Rejection> {
    let retry = &timing.retry;
    let is_allowed = (1_000..=limits.retry_factor_milli_max).contains(&retry.factor_milli)
        && retry.max_backoff.is_none_or(|most| most <= limits.task_backoff_max)
        && retry.jitter_milli <= 1_000
        && retry.final_codes.len() <= limits.final_codes_max;
    if is_allowed { Ok(()) } else { Err(Rejection::invalid("a retry policy is out of bounds")) }
}
