//! Tasks: shown, listed, cancelled, waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    CancelTask, Class, Command, LogIndex, Rejection, Reply, Task, TaskId, TaskSpec, TaskState,
};
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::problem::{ErrorKind, Outcome, Problem};
use raft_store::{ProposeError, StorageError};
use tokio::time::Instant;

use super::listing::{self, Slice};
use super::views::{ShownTask, TaskPage, TaskStatus, TaskView, View};
use super::{Answer, Mark, Operations, Reading};
use crate::access::{Action, Caller};
use crate::leader::placement::PendingReason;
use crate::peer::forwarded;
use crate::refusal;
use crate::task_query::TaskQuery;

/// Bytes of an answer about any task, and about any attempt of it with a reason of usual length.
const TASK_BYTES: usize = 1 << 10;
const ATTEMPT_BYTES: usize = 512;
/// Bytes of the id of a task that it waits for.
const DEPENDENCY_BYTES: usize = 24;
/// Rounds of looking for matches that one page may cost.
const ROUNDS_MAX: usize = 20;

impl Operations {
    /// Returns one task.
    pub(crate) async fn task(
        &self,
        id: TaskId,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<ShownTask>, Problem> {
        let mark = self.reach(reading).await?;
        let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
        by.check_task(Action::ReadTasks, &task.spec.labels)?;
        if is_under_order(&task) && self.asks_leader(reading) {
            match self.leader_peer().task(id).await {
                Ok(view) => {
                    let (view, environment) = (View::Leaders(view), environment(&task, by));
                    let dependents = self.dependents(id, by);
                    return Ok(mark.on(ShownTask { view, environment, dependents }));
                }
                Err(problem) => tracing::debug!(%problem, "the leader did not show its task"),
            }
        }
        Ok(mark.on(self.shown(task, by)))
    }

    /// Returns one page of tasks, newest first.
    pub(crate) async fn tasks(
        &self,
        query: TaskQuery,
        reading: Reading,
        by: &Caller,
    ) -> Result<Answer<View<TaskPage, forwarded::TaskPage>>, Problem> {
        let mark = self.reach(reading).await?;
        let mut query = query.within(by.scope());
        let asked = query.clone();
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

        // The leader would show what is beyond the scope.
        let may_ask = by.scope().is_none() && self.asks_leader(reading);
        if may_ask && page.iter().any(|task| is_under_order(task)) {
            match self.leader_peer().tasks(&asked).await {
                Ok(page) => return Ok(mark.on(View::Leaders(page))),
                Err(problem) => tracing::debug!(%problem, "the leader did not show its tasks"),
            }
        }
        Ok(mark.on(View::Own(TaskPage { tasks: self.views(&page), next: query.cursor })))
    }

    /// Live tasks are looked at first: one that ends in between is then found twice, not never. One that
    /// is retried in between would not be found, so all is looked at again.
    async fn slice(&self, query: &TaskQuery) -> Result<Slice, Problem> {
        let reader = self.node().reader();
        for _ in 0..ROUNDS_MAX {
            let (live, retried_at) =
                reader.with(|state| (query.scan_live(state), state.meta().last_retry));
            if !query.wants_finished() {
                return Ok(listing::merge(live, listing::Scan::default(), query.limit));
            }
            let finished = reader.finished_tasks_below(query.cursor, query.history_scan()).await;
            let finished = finished.map_err(|error| unreadable(&error))?;
            if reader.with(|state| state.meta().last_retry) == retried_at {
                let history = query.scan_history(finished.tasks, finished.is_complete);
                return Ok(listing::merge(live, history, query.limit));
            }
        }
        let detail = "tasks are retried faster than they can be listed: ask again";
        Err(Problem::new(ErrorKind::Overloaded, detail))
    }

    /// Stops a task; returns the state it is in now.
    pub(crate) async fn cancel(
        &self,
        id: TaskId,
        by: &Caller,
    ) -> Result<Answer<TaskStatus>, Problem> {
        if by.scope().is_some() {
            self.reach(Reading::default()).await?;
            let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
            by.check_task(Action::CancelTasks, &task.spec.labels)?;
        }
        let command = self.ordered(Command::CancelTask(CancelTask { task: id }), by);
        let refused = match self.node().propose(&command).await {
            Ok(committed) => {
                let Reply::Cancelled(state) = committed.reply else {
                    return Err(unexpected(&committed.reply));
                };
                let status = TaskStatus { id, state: state.kind() };
                return Ok(self.mark_at(committed.index).on(status));
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
        id: TaskId,
        patience: Duration,
        by: &Caller,
    ) -> Result<Answer<Arc<Task>>, Problem> {
        let deadline = Instant::now() + patience;
        self.reach(Reading::default()).await?;

        let mut slot = None;
        loop {
            let wait = self.shared.waits.listen(id);
            let mark = self.mark();
            let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
            by.check_task(Action::ReadTasks, &task.spec.labels)?;
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

    /// Returns a view of a task with what the caller may see of it.
    pub(crate) fn shown(&self, task: Arc<Task>, by: &Caller) -> ShownTask {
        let environment = environment(&task, by);
        let dependents = self.dependents(task.id, by);
        ShownTask { view: View::Own(self.view(task)), environment, dependents }
    }

    /// Returns a view of a task with the reason that it waits.
    fn view(&self, task: Arc<Task>) -> TaskView {
        let now = self.node().clock().now();
        let reason = self.node().reader().with(|state| PendingReason::of(state, &task, now));
        let reason = reason.or_else(|| self.sessions().leading().ok()?.undelivered.reason(&task));
        TaskView { task, pending_reason: reason.map(|reason| reason.to_string()) }
    }

    /// Returns views of a page of tasks: the reason that they wait is found once per class, since it
    /// costs a search of all workers. The state is released after each, for its writers. A placed
    /// task has its reason from its own worker.
    fn views(&self, page: &[Arc<Task>]) -> Vec<TaskView> {
        let mut reasons = BTreeMap::<&Class, Option<String>>::new();
        let (reader, now) = (self.node().reader(), self.node().clock().now());
        for task in page.iter().filter(|task| task.state == TaskState::Queued) {
            reasons.entry(&task.spec.class).or_insert_with(|| {
                let reason = reader.with(|state| PendingReason::of(state, task, now));
                reason.map(|reason| reason.of_class())
            });
        }

        let views = page.iter().map(|task| match task.state {
            TaskState::Queued => {
                let pending_reason = reasons.get(&*task.spec.class).cloned().flatten();
                TaskView { task: Arc::clone(task), pending_reason }
            }
            TaskState::Blocked
            | TaskState::Scheduled { .. }
            | TaskState::Assigned
            | TaskState::Cancelling => self.view(Arc::clone(task)),
            TaskState::Running
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Aborted => TaskView { task: Arc::clone(task), pending_reason: None },
        });
        views.collect()
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

    pub(super) fn mark_at(&self, index: LogIndex) -> Mark {
        Mark { index, ..self.mark() }
    }
}

fn environment(task: &Task, by: &Caller) -> Option<Arc<TaskSpec>> {
    by.may_on_task(Action::ReadEnvironment, &task.spec.labels).then(|| Arc::clone(&task.spec))
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

/// Returns the bytes of a task in an answer, as far as its submitter decides: the rest is small.
fn size(task: &Task) -> usize {
    let attempts = task.attempts.len().saturating_mul(ATTEMPT_BYTES);
    let command = task.spec.command.iter().map(|word| word.len().saturating_add(4)).sum::<usize>();
    let labels = task.spec.labels.iter();
    let labels = labels.map(|(key, value)| key.len().saturating_add(value.len())).sum::<usize>();
    let dependencies = task.dependencies().len().saturating_mul(DEPENDENCY_BYTES);
    attempts
        .saturating_add(dependencies)
        .saturating_add(command)
        .saturating_add(labels)
        .saturating_add(TASK_BYTES)
}
