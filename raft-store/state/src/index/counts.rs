//! Counts live tasks by state.

use crate::{TaskState, TaskStateKind};

/// Numbers of live tasks by state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskCounts([u64; TaskStateKind::ALL.len()]);

impl TaskCounts {
    /// Returns the states of live tasks with the number of tasks in each, in the order in which a
    /// task goes through them.
    pub fn iter(&self) -> impl Iterator<Item = (TaskStateKind, u64)> + '_ {
        let counts = TaskStateKind::ALL.into_iter().zip(self.0);
        counts.filter(|(kind, _)| !kind.is_terminal())
    }

    /// Counts a task that went from one state to another, became live, or ended.
    pub(super) fn on_moved(&mut self, from: Option<TaskState>, to: Option<TaskState>) {
        if let Some(count) = from.and_then(|state| self.0.get_mut(state.kind() as usize)) {
            *count -= 1;
        }
        if let Some(count) = to.and_then(|state| self.0.get_mut(state.kind() as usize)) {
            *count += 1;
        }
    }
}
