//! Counts live tasks by state.

use crate::TaskState;

/// Numbers of live tasks by state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskCounts([u64; TaskState::NAMES.len()]);

impl TaskCounts {
    /// Returns the states that tasks are in, by name, in the order in which a task goes through
    /// them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = TaskState::NAMES.into_iter().zip(self.0);
        counts.filter(|(_, count)| *count > 0)
    }

    /// Counts a task that went from one state to another, became live, or ended.
    pub(super) fn on_moved(&mut self, from: Option<TaskState>, to: Option<TaskState>) {
        if let Some(count) = from.and_then(|state| self.0.get_mut(state.ordinal())) {
            *count -= 1;
        }
        if let Some(count) = to.and_then(|state| self.0.get_mut(state.ordinal())) {
            *count += 1;
        }
    }
}
