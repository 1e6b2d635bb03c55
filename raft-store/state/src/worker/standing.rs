//! A worker's state as operators see it.

use std::fmt;

use super::{Scheduling, Worker, WorkerEventKind, WorkerStatus};
use crate::{Timestamp, Trouble};

impl Worker {
    /// Returns its state.
    #[must_use]
    pub fn state(&self) -> WorkerState {
        match (self.status, self.scheduling) {
            (WorkerStatus::Inactive, _) => WorkerState::Inactive,
            (WorkerStatus::Active, _) if self.health.unreachable.is_some() => {
                WorkerState::Unreachable
            }
            (WorkerStatus::Active, _) if self.health.unfit().is_some() => WorkerState::Unfit,
            (WorkerStatus::Active, Scheduling::Draining { .. } | Scheduling::Emptying) => {
                WorkerState::Draining
            }
            (WorkerStatus::Active, Scheduling::Open | Scheduling::Cordoned) => WorkerState::Active,
        }
    }

    /// Returns the reason of its state.
    #[must_use]
    pub fn state_reason(&self) -> String {
        match self.state() {
            WorkerState::Active | WorkerState::Inactive => self.reason.to_string(),
            WorkerState::Unreachable => detail(self.health.unreachable.as_ref()),
            WorkerState::Unfit => detail(self.health.unfit()),
            WorkerState::Draining => "drained by an operator".to_owned(),
            WorkerState::Departed => "unregistered".to_owned(),
        }
    }

    /// Returns the time since which it has been in its state.
    #[must_use]
    pub fn state_since(&self) -> Timestamp {
        let since = |trouble: Option<&Trouble>| trouble.map_or(self.changed_at, |one| one.since);
        let latest = |is_turn: fn(&WorkerEventKind) -> bool| {
            let turn = self.history.iter().rev().find(|event| is_turn(&event.kind));
            turn.map_or(self.changed_at, |turn| turn.at.max(self.changed_at))
        };
        match self.state() {
            WorkerState::Inactive | WorkerState::Departed => self.changed_at,
            WorkerState::Unreachable => since(self.health.unreachable.as_ref()),
            WorkerState::Unfit => since(self.health.unfit()),
            WorkerState::Draining => latest(|kind| *kind == WorkerEventKind::DrainStarted),
            WorkerState::Active => latest(|kind| {
                matches!(
                    kind,
                    WorkerEventKind::Reachable | WorkerEventKind::Fit | WorkerEventKind::Uncordoned
                )
            }),
        }
    }
}

fn detail(trouble: Option<&Trouble>) -> String {
    trouble.map(|trouble| trouble.detail.clone()).unwrap_or_default()
}

/// A worker's state as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkerState {
    /// Connected, and may be given tasks unless an operator has cordoned it.
    Active,
    /// Not connected yet, or no longer.
    Inactive,
    /// Connected, but the leader cannot call it.
    Unreachable,
    /// Connected, but it cannot start programs.
    Unfit,
    /// Connected, and being emptied.
    Draining,
    /// Unregistered, and may not know it yet.
    Departed,
}

impl WorkerState {
    /// Every state, for tables and metrics.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::Inactive,
        Self::Unreachable,
        Self::Unfit,
        Self::Draining,
        Self::Departed,
    ];

    /// Returns its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Unreachable => "unreachable",
            Self::Unfit => "unfit",
            Self::Draining => "draining",
            Self::Departed => "departed",
        }
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
