//! Submissions of tasks of which some wait for others.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{IdempotencyKey, SubmitTasks};
use crate::{DependencyKind, KnownEnds, LogIndex, TaskSpec};

/// See [`crate::Command::SubmitGraph`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitGraph {
    /// The tasks. Those that they wait for by their ids are in their specifications.
    pub tasks: Vec<Arc<TaskSpec>>,
    /// The name under which the submission may be repeated.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The rest of what is known of their dependencies.
    pub graph: TaskGraph,
}

impl SubmitGraph {
    /// Returns the submission, and what its tasks wait for beside.
    #[must_use]
    pub fn into_parts(self) -> (SubmitTasks, TaskGraph) {
        let Self { tasks, idempotency_key, graph } = self;
        let submission = SubmitTasks { tasks, idempotency_key };
        (submission, graph)
    }
}

/// Dependencies of a submission, beside those that its tasks name by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskGraph {
    /// Dependencies between tasks of the submission, in order and each once.
    pub links: Vec<Link>,
    /// Ends of finished tasks that tasks of the submission wait for.
    pub ends: KnownEnds,
    /// Log position at which the proposer knew those ends: what happened later may contradict them.
    pub known_at: LogIndex,
}

/// Dependency between two tasks of a submission, which are named by their positions in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The task that waits.
    pub task: u32,
    /// The task that must be over first.
    pub after: u32,
    /// Condition under which the first need not wait any more.
    pub kind: DependencyKind,
}

impl TaskGraph {
    /// Returns tasks that wait for each other in a circle, each for the next one and the last for the
    /// first, if there are any. The submission has `tasks` tasks.
    #[must_use]
    pub fn cycle(&self, tasks: usize) -> Option<Vec<u32>> {
        let mut open = vec![0_u32; tasks];
        let mut by_dependency = self.links.clone();
        by_dependency.sort_unstable_by_key(|link| (link.after, link.task));
        for link in &self.links {
            if let Some(count) = open.get_mut(place(link.task)) {
                *count = count.saturating_add(1);
            }
        }

        let positions = (0_u32..).zip(&open);
        let mut free = positions.filter(|(_, count)| **count == 0);
        let mut free = free.by_ref().map(|(position, _)| position).collect::<Vec<_>>();
        while let Some(done) = free.pop() {
            let from = by_dependency.partition_point(|link| link.after < done);
            let dependents = by_dependency.get(from..).unwrap_or_default().iter();
            for link in dependents.take_while(|link| link.after == done) {
                let Some(count) = open.get_mut(place(link.task)) else { continue };
                *count = count.saturating_sub(1);
                if *count == 0 {
                    free.push(link.task);
                }
            }
        }

        let is_stuck = |task: u32| open.get(place(task)).is_some_and(|count| *count > 0);
        let mut at = (0_u32..).zip(&open).find(|(_, count)| **count > 0)?.0;
        // Each task that is left waits for another that is left, so the way leads back at some time.
        let mut visited = vec![None::<usize>; tasks];
        let mut way = Vec::new();
        loop {
            let place = visited.get_mut(place(at))?;
            if let Some(begin) = *place {
                return Some(way.split_off(begin));
            }
            *place = Some(way.len());
            way.push(at);
            let from = self.links.partition_point(|link| link.task < at);
            let needed = self.links.get(from..).unwrap_or_default().iter();
            let mut needed = needed.take_while(|link| link.task == at);
            at = needed.find(|link| is_stuck(link.after))?.after;
        }
    }
}

/// Returns a position as an index.
fn place(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(tasks: usize, links: &[(u32, u32)]) -> Option<Vec<u32>> {
        let kind = DependencyKind::Success;
        let mut links = links.iter().map(|(task, after)| Link { task: *task, after: *after, kind });
        let mut links = links.by_ref().collect::<Vec<_>>();
        links.sort_unstable();
        TaskGraph { links, ..TaskGraph::default() }.cycle(tasks)
    }

    #[test]
    fn a_circle_is_found_wherever_it_is() {
        assert_eq!(cycle(0, &[]), None);
        assert_eq!(cycle(4, &[(1, 0), (2, 0), (3, 1), (3, 2)]), None);
        assert_eq!(cycle(1, &[(0, 0)]), Some(vec![0]));
        // The tasks before and behind the circle are no part of it.
        assert_eq!(
            cycle(6, &[(1, 0), (1, 3), (2, 1), (3, 2), (4, 3), (5, 4)]),
            Some(vec![1, 3, 2])
        );
    }

    #[test]
    fn a_long_chain_costs_no_stack() {
        let mut links = (1..10_000).map(|task| (task, task - 1)).collect::<Vec<_>>();
        assert_eq!(cycle(10_000, &links), None);
        links.push((0, 9_999));
        assert_eq!(cycle(10_000, &links).map(|way| way.len()), Some(10_000));
    }
}
