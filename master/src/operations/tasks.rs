//! Tasks: submitted, shown, listed, cancelled, waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    CancelTask, Class, Command, IdempotencyKey, LogIndex, Rejection, Reply, SubmitTasks, Task,
    TaskId, TaskState,
};
use proto::consistency::Consistency;
use proto::convert;
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::problem::{ErrorKind, Outcome, Problem};
use proto::v1;
use raft_store::{ProposeError, StorageError};
use tokio::time::Instant;

use super::fingerprint::fingerprint;
use super::listing::{self, Slice, TaskQuery};
use super::{Answer, Mark, Operations, Reading};
use crate::leader::placement::PendingReason;
use crate::refusal;

/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// Bytes of an answer about any task, and about any attempt of it with a reason of usual length.
const TASK_BYTES: usize = 1 << 10;
const ATTEMPT_BYTES: usize = 512;
/// Rounds of looking for matches that one page may cost.
const ROUNDS_MAX: usize = 20;

/// Tasks on their way in.
#[derive(Debug, Default)]
pub(crate) struct Submission {
    /// Tasks to run.
    pub(crate) tasks: Vec<v1::TaskSpec>,
    /// Under which name the submission may be repeated.
    pub(crate) idempotency_key: Option<String>,
}

impl Operations {
    /// Accepts all of the tasks, or none.
    pub(crate) async fn submit(
        &self,
        submission: Submission,
    ) -> Result<Answer<Vec<v1::SubmittedTask>>, Problem> {
        let key = submission.idempotency_key.map(check_key).transpose()?;
        let tasks = convert::task_specs(submission.tasks)?;
        let idempotency_key = key.map(|key| {
            let fingerprint = fingerprint(tasks.iter().map(AsRef::as_ref));
            IdempotencyKey { key, fingerprint }
        });

        let command = Command::SubmitTasks(SubmitTasks { tasks, idempotency_key });
        let Answer { body: reply, mark } = self.propose(&command).await?;
        let Reply::Submitted { first, count, repeated } = reply else {
            return Err(unexpected(&reply));
        };
        let ids = (first.0..).map(TaskId).take(usize::try_from(count).unwrap_or(usize::MAX));
        let mut answers = Vec::with_capacity(ids.size_hint().0);
        for id in ids {
            let now = match repeated {
                true => self.find(id).await?.map(|task| task.state),
                false => None,
            };
            answers.push(convert::submitted(id, now.unwrap_or(TaskState::Queued)));
        }
        Ok(mark.on(answers))
    }

    /// Returns one task.
    pub(crate) async fn task(
        &self,
        id: &str,
        reading: Reading,
    ) -> Result<Answer<v1::Task>, Problem> {
        let id = task_id(id)?;
        let mark = self.reach(reading).await?;
        let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
        if is_under_order(&task) && self.asks_leader(reading) {
            let consistency = Consistency::Linearizable.into();
            let request = v1::GetTaskRequest { task_id: id.to_string(), consistency };
            match self.leader_peer().task(request).await {
                Ok(task) => return Ok(mark.on(task)),
                Err(problem) => tracing::debug!(%problem, "the leader did not show its task"),
            }
        }
        Ok(mark.on(self.show(&task)))
    }

    /// Returns one page of tasks, newest first.
    pub(crate) async fn tasks(
        &self,
        mut query: TaskQuery,
        reading: Reading,
    ) -> Result<Answer<v1::TaskPage>, Problem> {
        let mark = self.reach(reading).await?;
        let request = query.request();
        let _scan = if query.is_search() { Some(self.shared.scans.begin().await?) } else { None };
        let mut budget = ByteBudget::new(BATCH_BYTES);
        let mut page = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let slice = self.slice(&query).await?;
            query.limit = query.limit.saturating_sub(slice.tasks.len());
            query.cursor = slice.next;
            let fitting = slice.tasks.iter().take_while(|task| budget.admits(size(task))).count();
            page.extend(slice.tasks.iter().take(fitting).cloned());
            if fitting < slice.tasks.len() {
                query.cursor = page.last().map(|task| task.id);
                break;
            }
            if query.limit == 0 || query.cursor.is_none() {
                break;
            }
        }
        if page.iter().any(|task| is_under_order(task)) && self.asks_leader(reading) {
            match self.leader_peer().tasks(request).await {
                Ok(page) => return Ok(mark.on(page)),
                Err(problem) => tracing::debug!(%problem, "the leader did not show its tasks"),
            }
        }
        let tasks = self.show_all(&page);
        let next_cursor = query.cursor.map(|cursor| cursor.to_string());
        Ok(mark.on(v1::TaskPage { tasks, next_cursor }))
    }

    /// Live tasks are looked at first: one that ends in between is then found twice, not never.
    async fn slice(&self, query: &TaskQuery) -> Result<Slice, Problem> {
        let live = self.node().reader().with(|state| query.scan_live(state));
        if !query.wants_finished() {
            return Ok(listing::merge(live, listing::Scan::default(), query.limit));
        }
        let reader = self.node().reader();
        let finished = reader.finished_tasks_below(query.cursor, query.history_scan()).await;
        let finished = finished.map_err(|error| unreadable(&error))?;
        let history = query.scan_history(finished.tasks, finished.is_complete);
        Ok(listing::merge(live, history, query.limit))
    }

    /// Stops a task; returns the state it is in now.
    pub(crate) async fn cancel(&self, id: &str) -> Result<Answer<v1::SubmittedTask>, Problem> {
        let id = task_id(id)?;
        let refused = match self.node().propose(&Command::CancelTask(CancelTask { task: id })).await
        {
            Ok(committed) => {
                let Reply::Cancelled(state) = committed.reply else {
                    return Err(unexpected(&committed.reply));
                };
                return Ok(self.mark_at(committed.index).on(convert::submitted(id, state)));
            }
            Err(error) => error,
        };
        // A task that is not live has ended or never was, which the state alone cannot tell.
        let ProposeError::Rejected { rejection: Rejection::NotLive { .. }, .. } = refused else {
            return Err(refusal::of_mutation(&refused));
        };
        self.reach(Reading::default()).await?;
        let problem = match self.find(id).await? {
            Some(task) => {
                let detail = format!("task {id} is {} already", task.state);
                Problem::new(ErrorKind::Conflict, detail)
            }
            None => no_such_task(id),
        };
        Err(problem.with_outcome(Outcome::Rejected))
    }

    /// Returns the task when it is terminal, or as it is when the time is over.
    pub(crate) async fn wait(
        &self,
        id: &str,
        patience: Duration,
    ) -> Result<Answer<Arc<Task>>, Problem> {
        let id = task_id(id)?;
        let deadline = Instant::now() + patience;
        self.reach(Reading::default()).await?;
        let mut slot = None;
        loop {
            let wait = self.shared.waits.listen(id);
            let mark = self.mark();
            let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
            let is_over = Instant::now() >= deadline || self.stopping().is_cancelled();
            if task.state.is_terminal() || is_over {
                return Ok(mark.on(task));
            }
            if slot.is_none() {
                slot = Some(self.wait_slot()?);
            }
            tokio::select! {
                () = wait.news() => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = self.stopping().cancelled() => {}
            }
        }
    }

    /// Converts a task for display.
    pub(crate) fn show(&self, task: &Task) -> v1::Task {
        let reason = self.node().reader().with(|state| PendingReason::of(state, task));
        let reason = reason.or_else(|| self.sessions().leading().ok()?.undelivered.reason(task));
        convert::task(task, reason.map(|reason| reason.to_string()))
    }

    /// Converts a page of tasks for display: the reason that they wait is found once per class,
    /// since it costs a search of all workers. The state is released after each, for its writers. A
    /// placed task has its reason from its own worker.
    fn show_all(&self, page: &[Arc<Task>]) -> Vec<v1::Task> {
        let mut reasons = BTreeMap::<&Class, Option<String>>::new();
        for task in page.iter().filter(|task| task.state == TaskState::Queued) {
            reasons.entry(&task.spec.class).or_insert_with(|| {
                let reason = self.node().reader().with(|state| PendingReason::of(state, task));
                reason.map(|reason| without_place(&reason))
            });
        }
        let shown = page.iter().map(|task| match task.state {
            TaskState::Queued => {
                let reason = reasons.get(&*task.spec.class).cloned().flatten();
                convert::task(task, reason)
            }
            TaskState::Scheduled { .. } | TaskState::Assigned | TaskState::Cancelling => {
                self.show(task)
            }
            TaskState::Running
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled => convert::task(task, None),
        });
        shown.collect()
    }

    /// Returns a task, live or finished, as this master knows it.
    pub(super) async fn find(&self, id: TaskId) -> Result<Option<Arc<Task>>, Problem> {
        let found = self.node().reader().task(id).await;
        found.map_err(|error| unreadable(&error))
    }

    /// Proposes and returns the reply with what an answer may claim.
    pub(super) async fn propose(&self, command: &Command) -> Result<Answer<Reply>, Problem> {
        let committed = self.node().propose(command).await;
        let committed = committed.map_err(|error| refusal::of_mutation(&error))?;
        Ok(self.mark_at(committed.index).on(committed.reply))
    }

    fn mark_at(&self, index: LogIndex) -> Mark {
        Mark { index, ..self.mark() }
    }
}

/// Parses a task's id in a client's text; one that cannot be an id names no task.
pub(super) fn task_id(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|error: cluster_state::InvalidId| {
        Problem::new(ErrorKind::NotFound, error.to_string())
    })
}

pub(super) fn no_such_task(id: TaskId) -> Problem {
    Problem::new(ErrorKind::NotFound, format!("there is no task {id}"))
}

/// Reports a reply of another command's kind, which the state machine never gives.
pub(super) fn unexpected(reply: &Reply) -> Problem {
    tracing::error!(?reply, "a command was answered with another command's reply");
    Problem::new(ErrorKind::Internal, "the command took effect, but its answer makes no sense")
        .with_outcome(Outcome::Unknown)
}

fn unreadable(error: &StorageError) -> Problem {
    tracing::error!(%error, "cannot read finished tasks");
    Problem::new(ErrorKind::Internal, "finished tasks cannot be read on this master")
}

/// Returns true if a worker must be told something about it: the leader alone knows why that fails.
const fn is_under_order(task: &Task) -> bool {
    matches!(task.state, TaskState::Assigned | TaskState::Cancelling)
}

/// Omits the number of tasks that wait before one, which differs within a class: a page does not
/// show it.
fn without_place(reason: &PendingReason) -> String {
    match reason {
        PendingReason::AllBusy { workers, .. } => {
            format!("all {workers} workers that fit are busy")
        }
        PendingReason::Backoff(_)
        | PendingReason::Untold { .. }
        | PendingReason::Refused { .. }
        | PendingReason::NoWorkers
        | PendingReason::NoneActive(_)
        | PendingReason::NoneOpen(_)
        | PendingReason::NoneHealthy(_)
        | PendingReason::NoneAllowed
        | PendingReason::NoneLargeEnough => reason.to_string(),
    }
}

/// Returns the bytes of a task in an answer, as far as its submitter decides: the rest is small.
fn size(task: &Task) -> usize {
    let attempts = task.attempts.len().saturating_mul(ATTEMPT_BYTES);
    let command = task.spec.command.iter().map(|word| word.len().saturating_add(4)).sum::<usize>();
    let labels = task.spec.labels.iter();
    let labels = labels.map(|(key, value)| key.len().saturating_add(value.len())).sum::<usize>();
    attempts.saturating_add(command).saturating_add(labels).saturating_add(TASK_BYTES)
}

fn check_key(key: String) -> Result<Arc<str>, Problem> {
    let is_printable = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !is_printable {
        let detail =
            format!("the idempotency key is not 1 to {KEY_BYTES_MAX} printable ASCII characters");
        let problem = Problem::new(ErrorKind::Malformed, detail);
        return Err(problem.with_outcome(Outcome::Rejected));
    }
    Ok(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_printable() {
        assert!(check_key("order-17 of 2025".to_owned()).is_ok());
        for key in [String::new(), "x".repeat(256), "a\nb".to_owned(), "ä".to_owned()] {
            assert!(check_key(key).is_err());
        }
    }
}
