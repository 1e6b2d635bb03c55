//! Finished tasks that run again.

use cluster_state::{Command, Rejection, Reply, RetryTask, Task, TaskId};
use proto::problem::{ErrorKind, Outcome, Problem};
use raft_store::ProposeError;

use super::tasks::{no_such_task, unexpected};
use super::views::TaskStatus;
use super::{Answer, Operations, Reading};
use crate::access::{Action, Caller};
use crate::refusal;

/// Rounds of reading and proposing. Each fails only if another task was retried in between.
const ROUNDS_MAX: usize = 16;

impl Operations {
    /// Has a task run again that failed or was cancelled; returns the state it is in now.
    pub(crate) async fn retry(
        &self,
        id: TaskId,
        by: &Caller,
    ) -> Result<Answer<TaskStatus>, Problem> {
        let mut round = 0;
        loop {
            round += 1;
            self.reach(Reading::default()).await?;
            // Before the record is read: it may be newer than this, and not older.
            let known_at = self.node().reader().applied().index;
            let task = self.find(id).await?.ok_or_else(|| no_such_task(id))?;
            by.check_task(Action::SubmitTasks, &task.spec.labels)?;
            if !task.state.is_terminal() {
                return Err(still_live(&task));
            }

            let command = self.ordered(Command::RetryTask(RetryTask { task, known_at }), by);
            match self.node().propose(&command).await {
                Ok(committed) => {
                    let Reply::Retried(state) = committed.reply else {
                        return Err(unexpected(&committed.reply));
                    };
                    let status = TaskStatus { id, state: state.kind() };
                    return Ok(self.mark_at(committed.index).on(status));
                }
                Err(ProposeError::Rejected { rejection: Rejection::RetriedMeanwhile, .. })
                    if round < ROUNDS_MAX => {}
                Err(error) => return Err(refusal::of_mutation(&error)),
            }
        }
    }
}

fn still_live(task: &Task) -> Problem {
    let detail = format!("task {} is {}: only a finished task is retried", task.id, task.state);
    Problem::new(ErrorKind::Conflict, detail).with_outcome(Outcome::Rejected)
}
