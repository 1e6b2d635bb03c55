//! Submissions of tasks.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_state::{
    Command, IdempotencyKey, Reply, SubmitTasks, TaskId, TaskSpec, TaskStateKind, Timestamp,
};
use proto::convert::TaskBatch;
use proto::problem::{ErrorKind, Outcome, Problem};

use super::fingerprint::fingerprint;
use super::tasks::unexpected;
use super::views::TaskStatus;
use super::{Answer, Operations};
use crate::access::{Action, Caller};

/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// Key under which a submission may be repeated without further effect.
#[derive(Clone, Debug)]
pub(crate) struct SubmissionKey(Arc<str>);

impl TryFrom<String> for SubmissionKey {
    type Error = Problem;

    fn try_from(key: String) -> Result<Self, Problem> {
        let is_printable = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !is_printable {
            let detail = format!(
                "the idempotency key is not 1 to {KEY_BYTES_MAX} printable ASCII characters"
            );
            let problem = Problem::new(ErrorKind::Malformed, detail);
            return Err(problem.with_outcome(Outcome::Rejected));
        }
        Ok(Self(key.into()))
    }
}

impl From<SubmissionKey> for Arc<str> {
    fn from(SubmissionKey(key): SubmissionKey) -> Self {
        key
    }
}

/// Tasks that a submission has brought into being, now or when it was made for the first time.
#[derive(Debug)]
struct Accepted {
    first: TaskId,
    count: usize,
    /// True if they may have gone on since.
    is_repetition: bool,
    /// Positions of those that wait for their start time at first.
    scheduled: BTreeSet<usize>,
    /// Positions of those that wait for other tasks, unless these are over.
    blocked: BTreeSet<usize>,
}

impl Operations {
    /// Accepts all of the tasks, or none.
    pub(crate) async fn submit(
        &self,
        batch: TaskBatch,
        key: Option<SubmissionKey>,
        by: &Caller,
    ) -> Result<Answer<Vec<TaskStatus>>, Problem> {
        let Answer { body: accepted, mark } = self.propose_tasks(batch, key, by).await?;
        let mut answers = Vec::with_capacity(accepted.count);
        for position in 0..accepted.count {
            answers.push(self.accepted(&accepted, position).await?);
        }
        Ok(mark.on(answers))
    }

    /// Accepts one task.
    pub(crate) async fn submit_one(
        &self,
        task: TaskSpec,
        key: Option<SubmissionKey>,
        by: &Caller,
    ) -> Result<Answer<TaskStatus>, Problem> {
        let Answer { body: accepted, mark } = self.propose_tasks(task.into(), key, by).await?;
        Ok(mark.on(self.accepted(&accepted, 0).await?))
    }

    async fn propose_tasks(
        &self,
        batch: TaskBatch,
        key: Option<SubmissionKey>,
        by: &Caller,
    ) -> Result<Answer<Accepted>, Problem> {
        for task in &batch.tasks {
            by.check_task(Action::SubmitTasks, &task.labels)?;
        }
        let idempotency_key = key.map(|SubmissionKey(key)| {
            let fingerprint = fingerprint(&batch);
            IdempotencyKey { key, fingerprint }
        });
        let TaskBatch { tasks, links } = batch;
        let positions = tasks.iter().enumerate();
        let waits = positions.filter(|(_, task)| !task.dependencies().is_empty());
        let mut blocked = waits.map(|(position, _)| position).collect::<BTreeSet<_>>();
        blocked.extend(links.iter().filter_map(|link| usize::try_from(link.task).ok()));
        let now = self.node().clock().now();
        let scheduled = tasks.iter().enumerate().filter(|(_, task)| starts_after(task, now));
        let scheduled = scheduled.map(|(position, _)| position).collect();
        let Answer { body: reply, mark } = if blocked.is_empty() {
            self.propose_plain(tasks, idempotency_key, by).await?
        } else {
            self.propose_graph(tasks, links, idempotency_key, by).await?
        };
        let Reply::Submitted { first, count, repeated } = reply else {
            return Err(unexpected(&reply));
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(mark.on(Accepted { first, count, is_repetition: repeated, scheduled, blocked }))
    }

    /// Proposes tasks that wait for no others.
    async fn propose_plain(
        &self,
        tasks: Vec<Arc<TaskSpec>>,
        idempotency_key: Option<IdempotencyKey>,
        by: &Caller,
    ) -> Result<Answer<Reply>, Problem> {
        let command = Command::SubmitTasks(SubmitTasks { tasks, idempotency_key });
        if self.shared.trail.has_submissions() {
            self.order(command, by).await
        } else {
            self.propose(&command).await
        }
    }

    /// Returns one of the accepted tasks as it is now.
    async fn accepted(&self, accepted: &Accepted, position: usize) -> Result<TaskStatus, Problem> {
        let offset = u64::try_from(position).unwrap_or(u64::MAX);
        let id = TaskId(accepted.first.0.saturating_add(offset));
        let is_blocked = accepted.blocked.contains(&position);
        let is_looked_up = accepted.is_repetition || is_blocked;
        let now = if is_looked_up { self.find(id).await? } else { None };
        let begun = if is_blocked {
            TaskStateKind::Blocked
        } else if accepted.scheduled.contains(&position) {
            TaskStateKind::Scheduled
        } else {
            TaskStateKind::Queued
        };
        Ok(TaskStatus { id, state: now.map_or(begun, |task| task.state.kind()) })
    }
}

/// Returns whether the task waits for its start time at first.
fn starts_after(task: &TaskSpec, now: Timestamp) -> bool {
    let start = task.timing.as_ref().and_then(|timing| timing.start);
    start.is_some_and(|start| start.from(now) > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_printable() {
        assert!(SubmissionKey::try_from("order-17 of 2025".to_owned()).is_ok());
        for key in [String::new(), "x".repeat(256), "a\nb".to_owned(), "ä".to_owned()] {
            assert!(SubmissionKey::try_from(key).is_err());
        }
    }
}
