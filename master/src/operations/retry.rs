//! Finished tasks that run again.

use std::time::Duration;

use cluster_state::{Command, Rejection, Reply, RetryTask, Task, TaskId};
use proto::problem::{ErrorKind, Outcome, Problem};
use raft_store::ProposeError;
use tokio::sync::{Mutex, MutexGuard};

use super::tasks::{no_such_task, unexpected};
use super::views::TaskStatus;
use super::{Answer, Operations, Reading};
use crate::access::{Action, Caller};
use crate::refusal;

/// Rounds of reading and proposing. Each fails only if another master had a task retried in between.
const ROUNDS_MAX: usize = 16;
/// The longest wait for the orders before.
const PATIENCE: Duration = Duration::from_secs(5);

/// The turns of orders to retry. The order that takes effect first turns down all others that were read
/// at that time, so those of one master are carried out one after the other.
#[derive(Debug, Default)]
pub(super) struct RetryTurns(Mutex<()>);

impl RetryTurns {
    /// Waits for a turn, which ends when it is dropped.
    async fn next(&self) -> Result<MutexGuard<'_, ()>, Problem> {
        tokio::time::timeout(PATIENCE, self.0.lock()).await.map_err(|_| {
            let detail = "too many tasks are being retried: ask again";
            Problem::new(ErrorKind::Overloaded, detail).with_outcome(Outcome::Rejected)
        })
    }
}

impl Operations {
    /// Has a task run again that failed, was cancelled or was aborted; returns the state it is in now.
    pub(crate) async fn retry(
        &self,
        id: TaskId,
        by: &Caller,
    ) -> Result<Answer<TaskStatus>, Problem> {
        let _turn = self.shared.retry_turns.next().await?;
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

            let ends = self.finished_dependencies(&task).await?.ends;
            let retry = RetryTask { task, known_at, ends };
            let command = self.ordered(Command::RetryTask(retry), by);
            match self.node().propose(&command).await {
                Ok(committed) => {
                    let Reply::Retried(state) = committed.reply else {
                        return Err(unexpected(&committed.reply));
                    };
                    let status = TaskStatus { id, state: state.kind() };
                    return Ok(self.mark_at(committed.index).on(status));
                }
                Err(ProposeError::Rejected {
                    rejection: Rejection::RetriedMeanwhile | Rejection::DependencyEnded { .. },
                    ..
                }) if round < ROUNDS_MAX => {}
                Err(error) => return Err(refusal::of_mutation(&error)),
            }
        }
    }
}

fn still_live(task: &Task) -> Problem {
    let detail = format!("task {} is {}: only a finished task is retried", task.id, task.state);
    Problem::new(ErrorKind::Conflict, detail).with_outcome(Outcome::Rejected)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_its_turn_and_is_then_told_to_come_back() {
        let turns = RetryTurns::default();
        let turn = turns.next().await.unwrap();
        let asked_at = Instant::now();
        let refused = turns.next().await.unwrap_err();
        assert_eq!((refused.kind, asked_at.elapsed()), (ErrorKind::Overloaded, PATIENCE));
        assert!(refused.kind.retry_after().is_some());
        drop(turn);
        assert!(turns.next().await.is_ok());
    }
}
