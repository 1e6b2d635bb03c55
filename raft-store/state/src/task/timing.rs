//! When a task may start, when it is too late for it, and how long it waits between attempts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Attempt, Cascade, Dependency, StopReason, Task, TaskReason, TaskResult, TaskState};
use crate::{Fnv1a, Level, Limits, Timestamp};

/// Bounds on the life of a task, as its submitter asks for them. A task that asks for none of them has
/// no such record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Time before which it is not queued.
    pub start: Option<When>,
    /// Longest time from its queueing to its first start.
    pub queue_timeout: Option<Duration>,
    /// Time at which it must be over.
    pub deadline: Option<When>,
    /// Waits between its attempts.
    pub retry: RetryPolicy,
    /// Tasks that must be over before it is queued, by their ids and each once.
    pub dependencies: Box<[Dependency]>,
}

impl Timing {
    /// The level since which tasks have it, and can be retried by hand.
    pub const LEVEL: Level = Level(2);

    /// Returns it, unless it says nothing.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// A point in time, as a submitter names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// So long after the submission.
    After(Duration),
    /// A time by the clock.
    At(Timestamp),
}

impl When {
    /// Returns the time that it means for a task that was submitted at `submitted_at`.
    #[must_use]
    pub fn from(self, submitted_at: Timestamp) -> Timestamp {
        match self {
            Self::After(duration) => submitted_at.after(duration),
            Self::At(at) => at,
        }
    }
}

/// Growth of the waits between attempts, and failures that are final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Factor by which each wait is longer than the one before, in thousandths.
    pub factor_milli: u32,
    /// Longest wait; that of all tasks when absent.
    pub max_backoff: Option<Duration>,
    /// Largest part of a wait by which chance may shorten it, in thousandths.
    pub jitter_milli: u32,
    /// Exit codes after which the task is not tried again.
    pub final_codes: Box<[ExitCodes]>,
}

impl RetryPolicy {
    /// Factor of a task that names none.
    pub const FACTOR_MILLI_DEFAULT: u32 = 2_000;

    /// Returns whether an attempt that ended with this code is the last.
    #[must_use]
    pub fn is_final(&self, code: Option<i32>) -> bool {
        code.is_some_and(|code| self.final_codes.iter().any(|codes| codes.contain(code)))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            factor_milli: Self::FACTOR_MILLI_DEFAULT,
            max_backoff: None,
            jitter_milli: 0,
            final_codes: Box::default(),
        }
    }
}

/// Exit codes from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCodes {
    /// The lowest one.
    pub first: u8,
    /// The highest one.
    pub last: u8,
}

impl ExitCodes {
    fn contain(self, code: i32) -> bool {
        (i32::from(self.first)..=i32::from(self.last)).contains(&code)
    }
}

impl fmt::Display for ExitCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Points in the life of a task that its attempts do not tell, and its result. Only a task with a
/// [`Timing`], one that was retried, or one that has left a result has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Time at which it was queued, if that was after its submission.
    pub queued_at: Option<Timestamp>,
    /// Time at which it ends unless it has started before.
    pub start_by: Option<Timestamp>,
    /// Time at which it ends in any case.
    pub end_by: Option<Timestamp>,
    /// Number of times that a user had it run again after its end.
    pub retries: u32,
    /// True once its dependencies have let it start.
    pub was_released: bool,
    /// The dependency for which it was aborted.
    pub broken: Option<Cascade>,
    /// Its result, once it is over.
    pub result: Option<TaskResult>,
}

/// Event that is due to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its deadline has passed.
    Deadline,
    /// It has waited long enough to be queued.
    Queue,
    /// It has not started within its `queue_timeout`.
    QueueTimeout,
    /// Its attempt has run for longer than its `run_timeout`.
    RunTimeout,
}

impl Task {
    /// Returns the time since which it has been queued or trying to run, for the first time or since it was
    /// last retried by hand.
    #[must_use]
    pub fn queued_at(&self) -> Timestamp {
        self.course.as_ref().and_then(|course| course.queued_at).unwrap_or(self.submitted_at)
    }

    /// Returns the number of times that a user had it run again after its end.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.course.as_ref().map_or(0, |course| course.retries)
    }

    /// Returns the last attempt, live or ended, since it was submitted or last retried by hand.
    #[must_use]
    pub fn last_attempt_of_run(&self) -> Option<&Attempt> {
        let last = self.last_attempt()?;
        if self.retries() == 0 || last.outcome.is_none() {
            return Some(last);
        }
        let start = self.spec.timing.as_ref().and_then(|timing| timing.start);
        let queued_at = self.course.as_ref().and_then(|course| course.queued_at);
        let has_waited = matches!(start, Some(When::At(_))) || !self.dependencies().is_empty();
        if queued_at.is_none() && has_waited {
            // It waits for its start time or for other tasks, or never got beyond that.
            return None;
        }
        Some(last).filter(|last| last.finished_at.is_some_and(|at| at > self.queued_at()))
    }

    /// Returns the time of its next timer: a wait ends, or it is too late for something.
    #[must_use]
    pub fn timer(&self) -> Option<Timestamp> {
        let of_state = self.timer_of_state().map(|(at, _)| at);
        of_state.into_iter().chain(self.deadline_ahead()).min()
    }

    /// Returns what is to happen to it now. The deadline comes first where two timers are due: it is
    /// final.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Due> {
        if self.deadline_ahead().is_some_and(|at| at <= now) {
            return Some(Due::Deadline);
        }
        self.timer_of_state().filter(|(at, _)| *at <= now).map(|(_, due)| due)
    }

    /// Returns the timer that its state brings with it.
    fn timer_of_state(&self) -> Option<(Timestamp, Due)> {
        match self.state {
            TaskState::Scheduled { until } => Some((until, Due::Queue)),
            TaskState::Queued => self.course.as_deref()?.start_by.map(|at| (at, Due::QueueTimeout)),
            TaskState::Running => self.run_end().map(|at| (at, Due::RunTimeout)),
            TaskState::Blocked
            | TaskState::Assigned
            | TaskState::Cancelling
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Aborted => None,
        }
    }

    /// Returns its deadline, unless it is over, is being cancelled, or is being stopped for it.
    fn deadline_ahead(&self) -> Option<Timestamp> {
        let is_open = match self.state {
            TaskState::Blocked
            | TaskState::Scheduled { .. }
            | TaskState::Queued
            | TaskState::Assigned
            | TaskState::Running => true,
            TaskState::Cancelling
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Aborted => false,
        };
        let stop = self.live_attempt().and_then(|attempt| attempt.stop);
        let end_by = self.course.as_deref()?.end_by;
        end_by.filter(|_| is_open && stop != Some(StopReason::Deadline))
    }

    /// Returns the time at which its live attempt has run for too long, unless it is told to stop.
    fn run_end(&self) -> Option<Timestamp> {
        let attempt = self.live_attempt().filter(|attempt| attempt.stop.is_none())?;
        Some(attempt.started_at?.after(self.spec.run_timeout?))
    }

    /// Lets it begin, for the first time or once more: it waits for other tasks, or is released.
    pub(crate) fn begin(&mut self, now: Timestamp, is_blocked: bool) {
        let (retries, was_released) = (self.retries(), self.was_released());
        let deadline = self.spec.timing.as_deref().and_then(|timing| timing.deadline);
        let end_by = deadline.map(|deadline| deadline.from(now));
        self.set_course(Course { end_by, retries, was_released, ..Course::default() });
        if is_blocked {
            self.state = TaskState::Blocked;
            self.reason = None;
        } else {
            self.release(now);
        }
    }

    /// Notes the dependency for which it is aborted.
    pub(crate) fn break_off(&mut self, broken: Cascade) {
        let course = self.course.as_deref().cloned().unwrap_or_default();
        self.set_course(Course { broken: Some(broken), ..course });
        self.reason = Some(TaskReason::Dependency);
    }

    /// Returns whether its dependencies have let it start, once at least.
    pub(crate) fn was_released(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.was_released)
    }

    /// Lets it go on after its dependencies, if it has any: it is queued, or waits for its start time. A
    /// delay counts from the submission, and not again when the task is retried.
    pub(crate) fn release(&mut self, now: Timestamp) {
        let retries = self.retries();
        let start = self.spec.timing.as_deref().and_then(|timing| timing.start);
        let start = start.and_then(|start| match start {
            When::After(_) if retries > 0 => None,
            When::After(_) | When::At(_) => {
                Some(start.from(self.submitted_at)).filter(|start| *start > now)
            }
        });
        if !self.dependencies().is_empty() {
            let course = self.course.as_deref().cloned().unwrap_or_default();
            self.set_course(Course { was_released: true, ..course });
        }
        match start {
            Some(until) => {
                self.state = TaskState::Scheduled { until };
                self.reason = Some(TaskReason::StartTime);
            }
            None => self.queue_first(now),
        }
    }

    /// Queues it before its first attempt of this run.
    pub(crate) fn queue_first(&mut self, now: Timestamp) {
        let timeout = self.spec.timing.as_ref().and_then(|timing| timing.queue_timeout);
        let mut course = self.course.as_deref().cloned().unwrap_or_default();
        course.queued_at = Some(now).filter(|now| *now != self.submitted_at);
        course.start_by = timeout.map(|timeout| now.after(timeout));
        self.set_course(course);
        self.state = TaskState::Queued;
        self.reason = None;
    }

    /// Notes that its last attempt was begun, if that was not known.
    pub(crate) fn note_attempt_begun(&mut self, now: Timestamp) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.started_at.get_or_insert(now);
        }
    }

    /// Notes that it has started with its last attempt, if that was not known.
    pub(crate) fn note_start(&mut self, now: Timestamp) {
        self.note_attempt_begun(now);
        let awaited = self.course.as_deref().filter(|course| course.start_by.is_some());
        if let Some(course) = awaited.cloned() {
            self.set_course(Course { start_by: None, ..course });
        }
    }

    /// Returns its result, once it is over.
    #[must_use]
    pub fn result(&self) -> Option<&TaskResult> {
        self.course.as_deref()?.result.as_ref()
    }

    /// Returns its record without its result, which it loses when it runs again.
    #[must_use]
    pub fn without_result(mut self: Arc<Self>) -> Arc<Self> {
        if self.result().is_some() {
            Arc::make_mut(&mut self).set_result(None);
        }
        self
    }

    /// Keeps the result of its last attempt, or none.
    pub(crate) fn set_result(&mut self, result: Option<TaskResult>) {
        if self.result() == result.as_ref() {
            return;
        }
        let course = self.course.as_deref().cloned().unwrap_or_default();
        self.set_course(Course { result, ..course });
    }

    fn set_course(&mut self, course: Course) {
        self.course = (course != Course::default()).then(|| Box::new(course));
    }

    /// Returns the wait after the failure that was just counted.
    #[must_use]
    pub fn backoff(&self, limits: &Limits) -> Duration {
        let default = RetryPolicy::default();
        let policy = self.spec.timing.as_ref().map_or(&default, |timing| &timing.retry);
        let most = policy.max_backoff.unwrap_or(limits.retry_backoff_max).as_nanos();
        let mut wait = self.spec.retry_backoff.as_nanos().min(most);
        for _ in 1..self.failures {
            wait = (wait * u128::from(policy.factor_milli) / 1_000).min(most);
        }
        let jitter = u128::from(policy.jitter_milli) * u128::from(self.chance());
        let cut = (wait * jitter / 1_000) >> u32::BITS;
        from_nanos(wait.saturating_sub(cut))
    }

    /// Returns a number that differs from task to task and from attempt to attempt as if by chance, and
    /// is the same on every master.
    fn chance(&self) -> u32 {
        let attempt = self.last_attempt().map_or(0, |attempt| attempt.number.0);
        let mut hash = Fnv1a::default();
        hash.write(self.id.0.to_le_bytes());
        hash.write(attempt.to_le_bytes());
        // The finalizer of SplitMix64: FNV alone leaves the high bits of short inputs alike.
        let mixed = hash.finish();
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(mixed >> u32::BITS).unwrap_or(u32::MAX)
    }
}

fn from_nanos(nanos: u128) -> Duration {
    const PER_SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / PER_SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(nanos % PER_SECOND).unwrap_or(0))
}

#[cfg(test)]
mod tests;
