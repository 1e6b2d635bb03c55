//! Converts enums, whose names in JSON are those of the domain.

use std::str::FromStr;

use cluster_state::{
    AttemptOutcomeKind, Scheduling, TaskStateKind, UnknownState, WorkerEventKind, WorkerState,
};

use crate::v1;

impl From<TaskStateKind> for v1::TaskState {
    fn from(state: TaskStateKind) -> Self {
        match state {
            TaskStateKind::Scheduled => Self::Scheduled,
            TaskStateKind::Queued => Self::Queued,
            TaskStateKind::Assigned => Self::Assigned,
            TaskStateKind::Running => Self::Running,
            TaskStateKind::Cancelling => Self::Cancelling,
            TaskStateKind::Completed => Self::Completed,
            TaskStateKind::Failed => Self::Failed,
            TaskStateKind::Cancelled => Self::Cancelled,
            TaskStateKind::Blocked => Self::Blocked,
            TaskStateKind::Aborted => Self::Aborted,
        }
    }
}

impl FromStr for v1::TaskState {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        name.parse::<TaskStateKind>().map(Self::from)
    }
}

impl v1::TaskState {
    /// Returns the states of live tasks.
    pub fn live() -> impl Iterator<Item = Self> {
        TaskStateKind::live().map(Self::from)
    }

    /// Returns the state of the domain; none if it says nothing.
    #[must_use]
    pub const fn kind(self) -> Option<TaskStateKind> {
        match self {
            Self::Unspecified => None,
            Self::Scheduled => Some(TaskStateKind::Scheduled),
            Self::Queued => Some(TaskStateKind::Queued),
            Self::Assigned => Some(TaskStateKind::Assigned),
            Self::Running => Some(TaskStateKind::Running),
            Self::Cancelling => Some(TaskStateKind::Cancelling),
            Self::Completed => Some(TaskStateKind::Completed),
            Self::Failed => Some(TaskStateKind::Failed),
            Self::Cancelled => Some(TaskStateKind::Cancelled),
            Self::Blocked => Some(TaskStateKind::Blocked),
            Self::Aborted => Some(TaskStateKind::Aborted),
        }
    }
}

impl From<AttemptOutcomeKind> for v1::AttemptOutcome {
    fn from(outcome: AttemptOutcomeKind) -> Self {
        match outcome {
            AttemptOutcomeKind::Completed => Self::Completed,
            AttemptOutcomeKind::Failed => Self::Failed,
            AttemptOutcomeKind::StartFailed => Self::StartFailed,
            AttemptOutcomeKind::WorkerUnfit => Self::WorkerUnfit,
            AttemptOutcomeKind::Lost => Self::Lost,
        }
    }
}

impl From<WorkerState> for v1::WorkerState {
    fn from(state: WorkerState) -> Self {
        match state {
            WorkerState::Active => Self::Active,
            WorkerState::Inactive => Self::Inactive,
            WorkerState::Unreachable => Self::Unreachable,
            WorkerState::Unfit => Self::Unfit,
            WorkerState::Draining => Self::Draining,
            WorkerState::Departed => Self::Departed,
        }
    }
}

/// Converts the scheduling of a worker with so many live attempts: a drain ends with the last.
pub(super) const fn scheduling(scheduling: Scheduling, attempts: usize) -> v1::SchedulingState {
    match (scheduling, attempts) {
        (Scheduling::Open, _) => v1::SchedulingState::Open,
        (Scheduling::Cordoned, _) => v1::SchedulingState::Cordoned,
        (Scheduling::Draining { .. } | Scheduling::Emptying, 0) => v1::SchedulingState::Drained,
        (Scheduling::Draining { .. } | Scheduling::Emptying, _) => v1::SchedulingState::Draining,
    }
}

impl From<&WorkerEventKind> for v1::WorkerEventKind {
    fn from(kind: &WorkerEventKind) -> Self {
        match kind {
            WorkerEventKind::Registered => Self::Registered,
            WorkerEventKind::Updated(_) => Self::Updated,
            WorkerEventKind::Connected(_) => Self::Connected,
            WorkerEventKind::Replaced(_) => Self::Replaced,
            WorkerEventKind::Disconnected(_) => Self::Disconnected,
            WorkerEventKind::NameContested(_) => Self::NameContested,
            WorkerEventKind::Cordoned => Self::Cordoned,
            WorkerEventKind::Uncordoned => Self::Uncordoned,
            WorkerEventKind::DrainStarted => Self::DrainStarted,
            WorkerEventKind::DrainDeadlinePassed => Self::DrainDeadlinePassed,
            WorkerEventKind::Unreachable(_) => Self::Unreachable,
            WorkerEventKind::Reachable => Self::Reachable,
            WorkerEventKind::Unfit(_) => Self::Unfit,
            WorkerEventKind::Fit => Self::Fit,
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster_state::{DisconnectReason, Epoch, WhatChanged};

    use super::*;
    use crate::names::name_of;

    #[test]
    fn values_have_the_names_of_the_domain() {
        for state in TaskStateKind::ALL {
            let wire = v1::TaskState::from(state);
            assert_eq!(name_of::<v1::TaskState>(wire.into()), state.name());
            assert_eq!(wire.kind(), Some(state));
        }
        for outcome in AttemptOutcomeKind::ALL {
            let wire = v1::AttemptOutcome::from(outcome);
            assert_eq!(name_of::<v1::AttemptOutcome>(wire.into()), outcome.name());
        }
        for state in WorkerState::ALL {
            let wire = v1::WorkerState::from(state);
            assert_eq!(name_of::<v1::WorkerState>(wire.into()), state.name());
        }
        for event in [
            WorkerEventKind::Registered,
            WorkerEventKind::Updated(WhatChanged::Labels),
            WorkerEventKind::Connected(Epoch(1)),
            WorkerEventKind::Replaced(Epoch(1)),
            WorkerEventKind::Disconnected(DisconnectReason::Shutdown),
            WorkerEventKind::NameContested(String::new()),
            WorkerEventKind::Cordoned,
            WorkerEventKind::Uncordoned,
            WorkerEventKind::DrainStarted,
            WorkerEventKind::DrainDeadlinePassed,
            WorkerEventKind::Unreachable(String::new()),
            WorkerEventKind::Reachable,
            WorkerEventKind::Unfit(String::new()),
            WorkerEventKind::Fit,
        ] {
            let wire = v1::WorkerEventKind::from(&event);
            assert_eq!(name_of::<v1::WorkerEventKind>(wire.into()), event.name());
        }
    }
}
