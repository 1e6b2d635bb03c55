//! Events of tasks, small until somebody reads them: the cluster makes tens of thousands a second,
//! whether anybody watches or not. Pure.

use std::sync::Arc;

use cluster_state::{
    Ahead, AttemptOutcome, Cascade, Change, LogIndex, Record, StopReason, Task, TaskId, TaskReason,
    TaskSpec, TaskState, TaskStateKind, TextMap, Timestamp, WorkerId,
};
use proto::convert;
use serde::{Serialize, Serializer};

/// A task has another state, or another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskNews {
    task: TaskId,
    at: Timestamp,
    state: TaskStateKind,
    reason: Option<TaskReason>,
    /// Number of the last attempt since it was submitted or retried by hand; zero before the first.
    attempt: u32,
    /// Its worker.
    worker: Option<WorkerId>,
    stop: Option<StopReason>,
    end: Option<End>,
    face: Face,
}

/// End of the last attempt, or of a task that had none.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Attempt(AttemptOutcome),
    /// The task was aborted for a dependency.
    Aborted(Cascade),
}

/// Name and labels of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Face {
    /// It has none.
    Blank,
    /// Shared with the task, and with all other events of it.
    Shared(Arc<TaskSpec>),
    /// Copied: the specification has secret values, which go with the task when it is over, or a standard
    /// input, which may be large.
    Copied(Arc<(Option<String>, TextMap)>),
}

impl Face {
    fn of(spec: &Arc<TaskSpec>) -> Self {
        if spec.name.is_none() && spec.labels.iter().len() == 0 {
            Self::Blank
        } else if spec.secret_env.has_values() || spec.stdin.is_some() {
            Self::Copied(Arc::new((spec.name.clone(), spec.labels.clone())))
        } else {
            Self::Shared(Arc::clone(spec))
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Blank => None,
            Self::Shared(spec) => spec.name.as_deref(),
            Self::Copied(face) => face.0.as_deref(),
        }
    }

    fn label(&self, key: &str) -> Option<&str> {
        match self {
            Self::Blank => None,
            Self::Shared(spec) => spec.labels.get(key),
            Self::Copied(face) => face.1.get(key),
        }
    }

    /// Returns the bytes that nobody but events holds. The specification of a live task is the
    /// task's own; that of one that is over is counted with its last event.
    fn bytes(&self, is_last: bool) -> usize {
        match self {
            Self::Blank => 0,
            Self::Shared(spec) if is_last => usize::try_from(spec.bytes()).unwrap_or(usize::MAX),
            Self::Shared(_) => 0,
            Self::Copied(face) => {
                let labels = face.1.iter().map(|(key, value)| key.len() + value.len() + TEXT_BYTES);
                COPY_BYTES + face.0.as_ref().map_or(0, String::len) + labels.sum::<usize>()
            }
        }
    }
}

/// Bytes that a copied name with an empty table of labels takes, and one label beside its text.
const COPY_BYTES: usize = 64;
const TEXT_BYTES: usize = 32;

impl TaskNews {
    /// Returns the news in a change that was made at `now`, the log time of its entry; none if the
    /// task's state and attempt are what they were. Without a time everything counts as news.
    pub(super) fn of_change(
        change: &Change,
        now: Option<Timestamp>,
        at: Timestamp,
    ) -> Option<Self> {
        let Change::Put(Record::Task(task)) = change else { return None };
        is_news(task, now).then(|| Self::of(task, at))
    }

    fn of(task: &Task, at: Timestamp) -> Self {
        let last = task.last_attempt_of_run();
        Self {
            task: task.id,
            at,
            state: task.state.kind(),
            reason: task.reason,
            attempt: last.map_or(0, |last| last.number.0),
            worker: last.map(|last| last.worker.clone()),
            stop: last.and_then(|last| last.stop),
            end: match task.broken() {
                Some(broken) => Some(End::Aborted(broken)),
                None => last.and_then(|last| last.outcome.clone()).map(End::Attempt),
            },
            face: Face::of(&task.spec),
        }
    }

    /// Returns the task's id.
    pub(super) const fn task(&self) -> TaskId {
        self.task
    }

    /// Returns the value of one of the task's labels.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.face.label(key)
    }

    /// Returns the bytes that a ring spends on it.
    pub(super) fn bytes(&self) -> usize {
        let detail = match self.outcome() {
            Some(
                AttemptOutcome::StartFailed { detail } | AttemptOutcome::WorkerUnfit { detail },
            ) => detail.len(),
            Some(
                AttemptOutcome::Exited { .. }
                | AttemptOutcome::Signaled { .. }
                | AttemptOutcome::Lost(_),
            )
            | None => 0,
        };
        Self::BYTES.saturating_add(detail).saturating_add(self.face.bytes(self.state.is_terminal()))
    }

    const fn outcome(&self) -> Option<&AttemptOutcome> {
        match &self.end {
            Some(End::Attempt(outcome)) => Some(outcome),
            Some(End::Aborted(_)) | None => None,
        }
    }

    /// Returns the reason of the task's end if it says more than how its last attempt ended.
    fn reason_of_end(&self) -> Option<String> {
        if let Some(End::Aborted(broken)) = &self.end {
            return Some(broken.to_string());
        }
        match self.reason? {
            reason @ (TaskReason::QueueTimeout
            | TaskReason::Deadline
            | TaskReason::FinalExitCode
            | TaskReason::Dependency) => Some(reason.to_string()),
            TaskReason::CancelledByUser
            | TaskReason::AttemptsExhausted
            | TaskReason::LossesExhausted
            | TaskReason::RetryBackoff
            | TaskReason::WorkerUnfit
            | TaskReason::WorkerLost
            | TaskReason::StartTime => None,
        }
    }

    /// Bytes in a ring of an event without texts.
    pub(super) const BYTES: usize = size_of::<(LogIndex, Self)>();
}

/// Returns whether a record that was just written has another state or attempt than before. A record
/// is also written when its attempt is to be stopped, or has another epoch; an attempt's own times
/// tell that from its beginning.
fn is_news(task: &Task, now: Option<Timestamp>) -> bool {
    let (Some(now), Some(live)) = (now, task.live_attempt()) else { return true };
    if task.state == TaskState::Assigned {
        // It may be confirmed at once that the attempt waits at its worker.
        return live.assigned_at == now && task.ahead != Some(Ahead::Told);
    }
    task.state != TaskState::Running || live.started_at == Some(now)
}

impl Serialize for TaskNews {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let outcome = self.outcome();
        let of_attempt = convert::attempt_reason(self.stop, outcome);
        let shown = Shown {
            kind: "task_status",
            task_id: self.task.to_string(),
            name: self.face.name(),
            state: self.state.name(),
            worker_id: self.worker.as_ref(),
            attempt: (self.attempt > 0).then_some(self.attempt),
            exit_code: outcome.and_then(AttemptOutcome::exit_code),
            outcome: outcome.map(|end| end.kind().name()),
            reason: self.reason_of_end().or(of_attempt).or_else(|| Some(self.reason?.to_string())),
            timestamp: convert::rfc3339(self.at),
        };
        shown.serialize(to)
    }
}

/// An event as clients see it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    task_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    state: &'static str,
    /// Worker and number of the last attempt since the task was submitted or retried; null before the
    /// first.
    worker_id: Option<&'a WorkerId>,
    attempt: Option<u32>,
    /// End of that attempt; absent while it is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Reason why the task came too late or is not tried again, or of that end, or else of the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    timestamp: String,
}

#[cfg(test)]
pub(super) mod tests;
