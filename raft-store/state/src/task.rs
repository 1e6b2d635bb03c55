//! Tasks and the states that they go through.

mod ahead;
mod attempt;
mod dependency;
mod filter;
mod kind;
mod report;
mod timing;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::ahead::Ahead;
pub use self::attempt::{Attempt, AttemptOutcome, LossReason, StopReason};
pub use self::dependency::{Cascade, Dependency, DependencyKind, KnownEnds, TaskEnd};
pub use self::filter::{LabelSelector, TaskFilter};
pub use self::kind::{AttemptOutcomeKind, TaskStateKind, UnknownState};
pub use self::report::{AttemptReport, AttemptUsage, TaskResult};
pub(crate) use self::timing::Due;
pub use self::timing::{Course, ExitCodes, RetryPolicy, Timing, When};
use crate::{
    AttemptNumber, ConcurrencyKey, Constraint, Level, Limits, LogIndex, Payload, Queue, QueueName,
    Resources, SecretMap, TaskId, TextMap, Timestamp, Worker, WorkerId,
};

/// A user's description of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Name for people; need not be unique.
    pub name: Option<String>,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// Environment variables added to the worker's own.
    pub env: TextMap,
    /// Directory in which the process starts; the attempt's own when absent.
    pub working_dir: Option<String>,
    /// Bytes that its process reads from standard input; nothing when absent. Since level 2.
    pub stdin: Option<Payload>,
    /// Everything that decides where and when it may run.
    pub class: Arc<Class>,
    /// Number of failures of the task itself after which it has failed.
    pub max_attempts: u32,
    /// Wait before the second attempt; grows with each further failure.
    pub retry_backoff: Duration,
    /// Longest run of one attempt; unlimited when absent.
    pub run_timeout: Option<Duration>,
    /// Fate of its attempt when the worker falls silent.
    pub on_disconnect: OnDisconnect,
    /// Labels for people and queries.
    pub labels: TextMap,
    /// Environment variables beside `env` whose values nobody is shown. Since level 2.
    pub secret_env: SecretMap,
    /// Bounds on its life, if it has any. Since level 2.
    pub timing: Option<Box<Timing>>,
}

impl TaskSpec {
    /// The level since which a task may have secret variables.
    pub const SECRETS_LEVEL: Level = Level(2);

    /// The level since which a task may have a standard input.
    pub const STDIN_LEVEL: Level = Level(2);

    /// Returns the lowest level of a cluster whose members read it.
    pub(crate) fn min_level(&self) -> Level {
        let of_stdin = self.stdin.as_ref().map(|_| Self::STDIN_LEVEL);
        let of_secrets = (!self.secret_env.is_empty()).then_some(Self::SECRETS_LEVEL);
        let of_timing = self.timing.as_ref().map(|_| Timing::LEVEL);
        let of_queue = (!self.class.is_plain()).then_some(Queue::LEVEL);
        of_secrets
            .into_iter()
            .chain(of_timing)
            .chain(of_stdin)
            .chain(of_queue)
            .max()
            .unwrap_or(Level::FIRST)
    }

    /// Returns the bytes of memory that a task of this specification takes before its first
    /// attempt, by the account of [`Task::bytes`], with a class of its own.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        Limits::TASK_BYTES + self.text_bytes() + self.class.bytes()
    }

    fn text_bytes(&self) -> u64 {
        let of_map = |map: &TextMap| {
            map.iter().map(|(name, value)| text_bytes(name) + text_bytes(value)).sum::<u64>()
        };
        let of_command = self.command.iter().map(|word| text_bytes(word)).sum::<u64>();
        let optional = [&self.name, &self.working_dir].into_iter().flatten();
        let of_optional = optional.map(|text| text_bytes(text)).sum::<u64>();
        let of_secrets = self
            .secret_env
            .iter()
            .map(|(name, value)| text_bytes(name) + text_bytes(value.reveal()))
            .sum::<u64>();
        let of_timing = self.timing.as_ref().map_or(0, |_| Limits::TIMING_BYTES);
        let of_stdin =
            self.stdin.as_ref().map_or(0, |stdin| stdin.len() as u64 + Limits::TEXT_BYTES);
        let of_dependencies = self.dependencies().len() as u64 * Limits::DEPENDENCY_BYTES;
        of_command
            + of_optional
            + of_map(&self.env)
            + of_map(&self.labels)
            + of_secrets
            + of_stdin
            + of_timing
            + of_dependencies
    }
}

fn text_bytes(text: &str) -> u64 {
    text.len() as u64 + Limits::TEXT_BYTES
}

/// Fate of an attempt whose worker has sent no heartbeat for the heartbeat timeout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDisconnect {
    /// It runs on until the worker's lease ends: a short outage costs nothing.
    #[default]
    Keep,
    /// The worker ends it and the task is requeued: another worker takes over soon.
    Requeue,
}

/// The properties by which the scheduler tells tasks apart: each class is one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Class {
    /// 0 to 100; higher priorities come first.
    pub priority: u8,
    /// Resources that one attempt occupies.
    pub resources: Resources,
    /// Conditions on the worker's labels; all must hold.
    pub constraints: Vec<Constraint>,
    /// The only worker that may run it; any worker when absent.
    pub worker: Option<WorkerId>,
    /// Queue in which it waits. Since level 2.
    pub queue: QueueName,
    /// Name that it shares with tasks of its queue which must not all run at once. Since level 2.
    pub concurrency_key: Option<ConcurrencyKey>,
}

impl Class {
    /// Returns the bytes of memory that it takes, by the same account as [`Task::bytes`].
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let custom = self.resources.custom.keys().map(|name| text_bytes(name));
        let constraints = self.constraints.iter().map(Constraint::bytes);
        let queue = if self.queue.is_default() { 0 } else { text_bytes(self.queue.as_str()) };
        let key = self.concurrency_key.as_ref();
        let key = key.map_or(0, |key| text_bytes(key.as_str()) + Limits::CONCURRENCY_KEY_BYTES);
        Limits::TEXT_BYTES + custom.sum::<u64>() + constraints.sum::<u64>() + queue + key
    }

    /// Returns whether it needs no named queue and no concurrency key.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.queue.is_default() && self.concurrency_key.is_none()
    }

    /// Returns whether this worker may run its tasks if it has room.
    #[must_use]
    pub fn allows(&self, worker: &Worker) -> bool {
        self.names(worker) && self.violated_by(worker).is_none()
    }

    /// Returns whether it names this worker, or none.
    #[must_use]
    pub fn names(&self, worker: &Worker) -> bool {
        self.worker.as_ref().is_none_or(|only| *only == worker.id)
    }

    /// Returns the first constraint that the labels of this worker do not meet.
    #[must_use]
    pub fn violated_by(&self, worker: &Worker) -> Option<&Constraint> {
        let mut constraints = self.constraints.iter();
        constraints.find(|constraint| !constraint.accepts(worker.label(&constraint.label)))
    }
}

/// A task and its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Id in the cluster.
    pub id: TaskId,
    /// The user's description, shared because it never changes.
    pub spec: Arc<TaskSpec>,
    /// Current state.
    pub state: TaskState,
    /// Reason of the state, where the state alone does not say.
    pub reason: Option<TaskReason>,
    /// Time at which it was accepted.
    pub submitted_at: Timestamp,
    /// Time at which it reached a terminal state.
    pub finished_at: Option<Timestamp>,
    /// Failures of the task itself since it began or was retried; `max_attempts` of them end it.
    pub failures: u32,
    /// Workers lost under it in the same time.
    pub losses: u32,
    /// Placements so far, oldest first; the last one may be live.
    pub attempts: Vec<Attempt>,
    /// Log position of the record's last change.
    pub index: LogIndex,
    /// Points of its course that its attempts do not tell, if there are any. Since level 2.
    pub course: Option<Box<Course>>,
    /// Set while its live attempt waits at its worker for room, as far as is known. Since level 2.
    pub ahead: Option<Ahead>,
}

impl Task {
    /// Returns the attempt that has not ended.
    #[must_use]
    pub fn live_attempt(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|attempt| attempt.outcome.is_none())
    }

    /// Returns the last attempt, live or ended.
    #[must_use]
    pub fn last_attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// Returns the bytes of memory that it takes while it is live, without its class, which it
    /// shares. This is an account in fixed figures and not a measurement: every master must come to
    /// the same sum.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        Limits::TASK_BYTES + self.attempts_bytes() + self.spec.text_bytes() + self.course_bytes()
    }

    /// Returns the bytes of its course, as far as they are not counted with its timing. They stay the
    /// same while it is live.
    fn course_bytes(&self) -> u64 {
        if self.course.is_some() && self.spec.timing.is_none() { Limits::TIMING_BYTES } else { 0 }
    }

    /// Returns the part of [`Self::bytes`] that grows while it is live.
    pub(crate) const fn attempts_bytes(&self) -> u64 {
        self.attempts.len() as u64 * Limits::ATTEMPT_BYTES
    }

    /// Returns the number after that of the last attempt.
    #[must_use]
    pub(crate) fn next_attempt_number(&self) -> AttemptNumber {
        self.attempts.last().map_or(AttemptNumber(1), |last| last.number.next())
    }

    /// Returns whether it has had the attempt. One that is older than all those of a full record counts
    /// as had.
    pub(crate) fn has_known(&self, number: AttemptNumber, limits: &Limits) -> bool {
        let is_kept = self.attempts.iter().any(|attempt| attempt.number == number);
        let oldest =
            self.attempts.first().filter(|_| self.attempts.len() >= limits.attempts_kept_max);
        is_kept || oldest.is_some_and(|oldest| number < oldest.number)
    }

    /// Returns the workers on which its program did not start, each once. Leaves out workers that
    /// could start no program at all: they get no tasks until they can.
    #[must_use]
    pub fn failed_to_start_on(&self) -> Vec<WorkerId> {
        let failed = self
            .attempts
            .iter()
            .filter(|attempt| matches!(attempt.outcome, Some(AttemptOutcome::StartFailed { .. })));
        let workers = failed.map(|attempt| attempt.worker.clone()).collect::<BTreeSet<_>>();
        workers.into_iter().collect()
    }

    /// The level since which losses count by workers.
    const LOSSES_LEVEL: Level = Level(2);

    /// Returns whether so many workers were lost under it that it may be the cause.
    #[must_use]
    pub(crate) fn has_lost_too_many(&self, level: Level) -> bool {
        let limits = Limits::at(level);
        if level < Self::LOSSES_LEVEL || self.losses < limits.losses_max {
            return self.losses >= limits.losses_max;
        }
        let since = self.queued_at();
        let of_run = self.attempts.iter().filter(|attempt| attempt.assigned_at >= since);
        let lost = of_run.filter(|attempt| match attempt.outcome {
            Some(AttemptOutcome::Lost(reason)) => reason.counts(),
            Some(AttemptOutcome::WorkerUnfit { .. }) => true,
            Some(
                AttemptOutcome::Exited { .. }
                | AttemptOutcome::Signaled { .. }
                | AttemptOutcome::StartFailed { .. },
            )
            | None => false,
        });
        let workers = lost.map(|attempt| &attempt.worker).collect::<BTreeSet<_>>();
        let different = u32::try_from(workers.len()).unwrap_or(u32::MAX);
        different >= limits.losses_max || self.losses >= limits.losses_in_all_max
    }

    /// Returns whether the live attempt must be stopped.
    #[must_use]
    pub fn must_stop(&self) -> bool {
        self.live_attempt().is_some_and(|attempt| attempt.stop.is_some())
    }
}

/// State of a task. Only a user's order to retry it changes a terminal state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskState {
    /// Waits for a point in time: its start time, or the end of a backoff.
    Scheduled {
        /// Time at which it is queued.
        until: Timestamp,
    },
    /// Waits for a worker.
    Queued,
    /// Placed on a worker that has not confirmed its start.
    Assigned,
    /// Its process runs.
    Running,
    /// Cancelled by a user while its process may still run.
    Cancelling,
    /// Its process exited with code 0.
    Completed,
    /// Failed for good.
    Failed,
    /// Cancelled by a user.
    Cancelled,
    /// Waits for other tasks to be over. Since level 2.
    Blocked,
    /// Ended without having run, because a task that it waited for has not completed. Since level 2.
    Aborted,
}

impl TaskState {
    /// Returns whether it is final.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        self.kind().is_terminal()
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

/// Reason of a task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskReason {
    /// A user cancelled it.
    CancelledByUser,
    /// It failed as often as it may.
    AttemptsExhausted,
    /// Too many workers were lost under it.
    LossesExhausted,
    /// It waits before the next attempt.
    RetryBackoff,
    /// Its worker could not start any program and it waits for another.
    WorkerUnfit,
    /// Its worker was lost and it waits for another.
    WorkerLost,
    /// It waits for its start time. Since level 2.
    StartTime,
    /// It did not start within its `queue_timeout`. Since level 2.
    QueueTimeout,
    /// Its deadline passed before it was over. Since level 2.
    Deadline,
    /// It failed with an exit code after which it is not tried again. Since level 2.
    FinalExitCode,
    /// A task that had to complete first has ended otherwise. Since level 2.
    Dependency,
}

impl fmt::Display for TaskReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CancelledByUser => "cancelled by user",
            Self::AttemptsExhausted => "failed as often as max_attempts allows",
            Self::LossesExhausted => "too many workers were lost while running it",
            Self::RetryBackoff => "waiting for retry_backoff after a failed attempt",
            Self::WorkerLost => "its worker was lost",
            Self::WorkerUnfit => "its worker could not start programs",
            Self::StartTime => "waiting for its start time",
            Self::QueueTimeout => "queue-timeout: it did not start in time",
            Self::Deadline => "deadline: it was not over in time",
            Self::FinalExitCode => "failed with an exit code of no_retry_exit_codes",
            Self::Dependency => "a task that had to complete first has not",
        })
    }
}
