//! Tasks that wait for others: what is known of those that are over goes with the command.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_state::{
    Command, IdempotencyKey, KnownEnds, Link, LogIndex, Rejection, Reply, SubmitGraph, Task,
    TaskEnd, TaskGraph, TaskId, TaskSpec,
};
use proto::problem::{ErrorKind, Fault, Outcome, Problem};
use raft_store::ProposeError;

use super::views::Dependents;
use super::{Answer, Operations, Reading};
use crate::access::{Action, Caller};
use crate::refusal;

/// Rounds of reading and proposing. Each fails only if one of the tasks has ended in between, or a task
/// was retried.
const ROUNDS_MAX: usize = 32;
/// Dependents of a task that are shown.
const DEPENDENTS_SHOWN_MAX: usize = 100;
/// Dependents of a task that are looked at for a caller with a scope.
const DEPENDENTS_EXAMINED_MAX: usize = 10_000;

/// Finished tasks, as this master knows them.
#[derive(Debug)]
pub(super) struct FinishedTasks {
    /// Log position at which they were read: the records may be newer, and not older.
    pub(super) known_at: LogIndex,
    pub(super) ends: KnownEnds,
    /// Tasks that never were or are forgotten, and those that the caller may not know of.
    pub(super) unknown: BTreeSet<TaskId>,
}

impl Operations {
    /// Proposes tasks of which some wait for others.
    pub(super) async fn propose_graph(
        &self,
        tasks: Vec<Arc<TaskSpec>>,
        links: Vec<Link>,
        idempotency_key: Option<IdempotencyKey>,
        by: &Caller,
    ) -> Result<Answer<Reply>, Problem> {
        let needed = tasks.iter().flat_map(|task| task.dependencies());
        let needed = needed.map(|dependency| dependency.task).collect::<BTreeSet<_>>();
        let mut round = 0;
        loop {
            round += 1;
            let FinishedTasks { known_at, ends, unknown } =
                self.finished(&needed, Some(by)).await?;
            if !unknown.is_empty() && !self.is_repetition(idempotency_key.as_ref()) {
                return Err(no_such_dependency(&tasks, &unknown));
            }
            let graph = TaskGraph { links: links.clone(), ends, known_at };
            let (tasks, idempotency_key) = (tasks.clone(), idempotency_key.clone());
            let command = Command::SubmitGraph(SubmitGraph { tasks, idempotency_key, graph });
            let command = if self.shared.trail.has_submissions() {
                self.ordered(command, by)
            } else {
                command
            };
            match self.node().propose(&command).await {
                Ok(committed) => {
                    return Ok(self.mark_at(committed.index).on(committed.reply));
                }
                Err(error) if round < ROUNDS_MAX && is_outdated(&error) => {}
                Err(error) => return Err(refusal::of_mutation(&error)),
            }
        }
    }

    /// Returns whether the tasks were accepted before: then nothing is decided about them any more.
    fn is_repetition(&self, key: Option<&IdempotencyKey>) -> bool {
        key.is_some_and(|key| self.node().reader().with(|state| state.key(&key.key).is_some()))
    }

    /// Reads which of these tasks are over, and how they have ended: of all tasks, or of those that a
    /// caller may know of.
    async fn finished(
        &self,
        needed: &BTreeSet<TaskId>,
        by: Option<&Caller>,
    ) -> Result<FinishedTasks, Problem> {
        let (mut ends, mut unknown) = (Vec::new(), BTreeSet::new());
        if needed.is_empty() {
            let (known_at, ends) = (LogIndex(0), KnownEnds::default());
            return Ok(FinishedTasks { known_at, ends, unknown });
        }
        self.reach(Reading::default()).await?;
        // Before the records are read.
        let known_at = self.node().reader().applied().index;
        for id in needed {
            let task = self.find(*id).await?;
            let is_known = |task: &Arc<Task>| {
                by.is_none_or(|by| by.may_on_task(Action::ReadTasks, &task.spec.labels))
            };
            let task = task.filter(is_known);
            match task.map(|task| TaskEnd::of(task.state)) {
                Some(end) => ends.extend(end.map(|end| (*id, end))),
                None => {
                    unknown.insert(*id);
                }
            }
        }
        Ok(FinishedTasks { known_at, ends: ends.into_iter().collect(), unknown })
    }

    /// Reads what a task that is to be retried has waited for, whoever retries it: it was accepted with
    /// these dependencies.
    pub(super) async fn finished_dependencies(
        &self,
        task: &Task,
    ) -> Result<FinishedTasks, Problem> {
        let needed = task.needed().collect::<BTreeSet<_>>();
        let finished = self.finished(&needed, None).await?;
        if let Some(forgotten) = finished.unknown.first() {
            let detail = format!(
                "task {} cannot be retried: its dependency {forgotten} is forgotten; submit it anew",
                task.id
            );
            let problem = Problem::new(ErrorKind::Conflict, detail);
            return Err(problem.with_outcome(Outcome::Rejected));
        }
        Ok(finished)
    }

    /// Returns the blocked tasks that wait for this one, as far as the caller may know of them.
    pub(super) fn dependents(&self, id: TaskId, by: &Caller) -> Dependents {
        self.node().reader().with(|state| {
            let all = state.dependents(id).map(|(_, task)| task);
            let Some(scope) = by.scope() else {
                let first = all.take(DEPENDENTS_SHOWN_MAX).collect();
                return Dependents { count: state.dependent_count(id), first };
            };
            let is_known =
                |id: &TaskId| state.task(*id).is_some_and(|task| scope.covers(&task.spec.labels));
            let known = all.take(DEPENDENTS_EXAMINED_MAX).filter(is_known);
            let mut first = known.collect::<Vec<_>>();
            let count = u32::try_from(first.len()).unwrap_or(u32::MAX);
            first.truncate(DEPENDENTS_SHOWN_MAX);
            Dependents { count, first }
        })
    }
}

/// Returns whether the proposer has to read again.
fn is_outdated(error: &ProposeError) -> bool {
    matches!(
        error,
        ProposeError::Rejected {
            rejection: Rejection::DependencyEnded { .. } | Rejection::RetriedMeanwhile,
            ..
        }
    )
}

fn no_such_dependency(tasks: &[Arc<TaskSpec>], unknown: &BTreeSet<TaskId>) -> Problem {
    let positions = tasks.iter().enumerate();
    let named = positions.flat_map(|(position, task)| {
        task.dependencies().iter().map(move |dependency| (position, dependency))
    });
    let wrong = named.filter(|(_, dependency)| unknown.contains(&dependency.task));
    let faults = wrong.map(|(position, dependency)| Fault {
        pointer: format!("/{position}/{}", dependency.kind.field()),
        detail: format!("names {}, which never was or is forgotten", dependency.task),
    });
    proto::convert::Invalid::listed(ErrorKind::InvalidTask, faults.collect()).into()
}
