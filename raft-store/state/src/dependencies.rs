//! Index of the live tasks that wait for others. It is derived from the live tasks alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Dependency, DependencyKind, Task, TaskId, TaskState};

/// Blocked tasks, and what they wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DependencyIndex {
    /// Each blocked task behind each of its dependencies, whether that is live or not.
    edges: BTreeSet<(TaskId, DependencyKind, TaskId)>,
    /// Number of blocked tasks behind each dependency.
    dependents: BTreeMap<TaskId, u32>,
    /// Blocked tasks, each with the number of its dependencies that are live.
    blocked: BTreeMap<TaskId, u32>,
    /// Blocked tasks without a live dependency: they are to be released or aborted.
    ready: BTreeSet<TaskId>,
}

impl DependencyIndex {
    /// Builds the index afresh.
    pub(crate) fn of(tasks: &BTreeMap<TaskId, Arc<Task>>) -> Self {
        let mut index = Self::default();
        for task in tasks.values().filter(|task| task.state == TaskState::Blocked) {
            index.insert(task, tasks);
        }
        index
    }

    /// Updates the index for one task, given its values before and after a change; `None` stands for a
    /// task that is not live. `tasks` are those that are live after the change.
    pub(crate) fn replace(
        &mut self,
        tasks: &BTreeMap<TaskId, Arc<Task>>,
        before: Option<&Task>,
        after: Option<&Task>,
    ) {
        let blocked =
            |task: Option<&Task>| task.is_some_and(|task| task.state == TaskState::Blocked);
        match (before, after) {
            (Some(task), _) if blocked(before) && !blocked(after) => self.remove(task),
            (_, Some(task)) if blocked(after) && !blocked(before) => self.insert(task, tasks),
            _ => {}
        }
        match (before, after) {
            (None, Some(task)) => self.on_live(task.id),
            (Some(task), None) => self.on_over(task.id),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn insert(&mut self, task: &Task, tasks: &BTreeMap<TaskId, Arc<Task>>) {
        let mut live = 0_u32;
        for Dependency { kind, task: dependency } in task.dependencies() {
            if self.edges.insert((*dependency, *kind, task.id)) {
                let count = self.dependents.entry(*dependency).or_default();
                *count = count.saturating_add(1);
                live = live.saturating_add(u32::from(tasks.contains_key(dependency)));
            }
        }
        self.blocked.insert(task.id, live);
        if live == 0 {
            self.ready.insert(task.id);
        }
    }

    fn remove(&mut self, task: &Task) {
        for Dependency { kind, task: dependency } in task.dependencies() {
            if self.edges.remove(&(*dependency, *kind, task.id))
                && let Some(count) = self.dependents.get_mut(dependency)
            {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.dependents.remove(dependency);
                }
            }
        }
        self.blocked.remove(&task.id);
        self.ready.remove(&task.id);
    }

    /// Counts a task that has become live for those that wait for it: it was retried, or restored after
    /// them.
    fn on_live(&mut self, id: TaskId) {
        if !self.dependents.contains_key(&id) {
            return;
        }
        let Self { edges, blocked, ready, .. } = self;
        for (_, _, dependent) in edges.range(bounds(id)) {
            if let Some(live) = blocked.get_mut(dependent) {
                *live = live.saturating_add(1);
                ready.remove(dependent);
            }
        }
    }

    fn on_over(&mut self, id: TaskId) {
        if !self.dependents.contains_key(&id) {
            return;
        }
        let Self { edges, blocked, ready, .. } = self;
        for (_, _, dependent) in edges.range(bounds(id)) {
            if let Some(live) = blocked.get_mut(dependent) {
                *live = live.saturating_sub(1);
                if *live == 0 {
                    ready.insert(*dependent);
                }
            }
        }
    }

    /// Returns the tasks that wait for this one, those first that it must complete for.
    pub(crate) fn dependents(
        &self,
        id: TaskId,
    ) -> impl Iterator<Item = (DependencyKind, TaskId)> + '_ {
        self.edges.range(bounds(id)).map(|(_, kind, dependent)| (*kind, *dependent))
    }

    /// Returns the number of tasks that wait for this one.
    pub(crate) fn dependent_count(&self, id: TaskId) -> u32 {
        self.dependents.get(&id).copied().unwrap_or(0)
    }

    /// Returns a task that is aborted if this one does not complete.
    pub(crate) fn first_to_abort(&self, id: TaskId) -> Option<TaskId> {
        let first = self.dependents(id).next();
        first.filter(|(kind, _)| *kind == DependencyKind::Success).map(|(_, dependent)| dependent)
    }

    /// Returns the number of live tasks that a blocked one waits for; none if it is not blocked.
    pub(crate) fn live_dependencies(&self, id: TaskId) -> Option<u32> {
        self.blocked.get(&id).copied()
    }

    /// Returns a task that waits for nothing any more.
    pub(crate) fn first_ready(&self) -> Option<TaskId> {
        self.ready.first().copied()
    }
}

fn bounds(id: TaskId) -> std::ops::RangeInclusive<(TaskId, DependencyKind, TaskId)> {
    (id, DependencyKind::Success, TaskId(0))..=(id, DependencyKind::Any, TaskId(u64::MAX))
}
