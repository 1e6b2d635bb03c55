//! Tasks that wait for others, and those whose end is still to be passed on.

use super::State;
use crate::dependencies::DependencyIndex;
use crate::{Cascade, DependencyKind, Task, TaskEnd, TaskId, Timestamp};

impl State {
    /// Returns the blocked tasks that wait for this one: those that it must complete for first, then
    /// those for which it must only be over.
    pub fn dependents(&self, id: TaskId) -> impl Iterator<Item = (DependencyKind, TaskId)> + '_ {
        self.dependencies.dependents(id)
    }

    /// Returns the number of blocked tasks that wait for this one.
    #[must_use]
    pub fn dependent_count(&self, id: TaskId) -> u32 {
        self.dependencies.dependent_count(id)
    }

    /// Returns the number of live tasks that a blocked one waits for; none if it is not blocked.
    #[must_use]
    pub fn live_dependencies(&self, id: TaskId) -> Option<u32> {
        self.dependencies.live_dependencies(id)
    }

    /// Returns the tasks that have ended without success and whose dependents are not all aborted yet.
    pub fn cascades(&self) -> impl Iterator<Item = Cascade> + '_ {
        self.cascades.iter().map(|(task, end)| Cascade { task: *task, end: *end })
    }

    /// Returns the time for which the ends of tasks are to be passed on, if they are: at once.
    pub(crate) fn time_to_pass_on(&self) -> Option<Timestamp> {
        self.has_ends_to_pass_on().then_some(self.meta.now)
    }

    pub(crate) fn has_ends_to_pass_on(&self) -> bool {
        !self.cascades.is_empty() || self.dependencies.first_ready().is_some()
    }

    /// Returns the end of a task whose dependents are not all aborted yet.
    pub(crate) fn cascade(&self, task: TaskId) -> Option<TaskEnd> {
        self.cascades.get(&task).copied()
    }

    /// Returns the dependency for which a blocked task is to be aborted.
    pub(crate) fn broken_dependency(&self, task: &Task) -> Option<Cascade> {
        if self.cascades.is_empty() {
            return None;
        }
        let needed = task.dependencies().iter().filter(|one| one.kind == DependencyKind::Success);
        let mut broken =
            needed.filter_map(|one| Some(Cascade { task: one.task, end: self.cascade(one.task)? }));
        broken.next()
    }

    pub(crate) const fn dependency_index(&self) -> &DependencyIndex {
        &self.dependencies
    }

    pub(crate) fn put_cascade(&mut self, Cascade { task, end }: Cascade) {
        self.cascades.insert(task, end);
    }

    pub(crate) fn remove_cascade(&mut self, task: TaskId) {
        self.cascades.remove(&task);
    }

    /// Returns whether the index equals one built afresh, and cascades are those of ended tasks.
    pub(crate) fn dependencies_are_in_step(&self) -> bool {
        let is_in_step = self.dependencies == DependencyIndex::of(&self.tasks);
        let is_over = |cascade: Cascade| {
            self.task(cascade.task).is_none() && cascade.end != TaskEnd::Completed
        };
        is_in_step && self.cascades().all(is_over)
    }
}
