//! Commands about schedules.

use serde::{Deserialize, Serialize};

use super::IdempotencyKey;
use crate::{LogIndex, ScheduleName, SchedulePlan, Term, Timestamp};

/// See [`crate::Command::PutSchedule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutSchedule {
    /// Name of the schedule.
    pub name: ScheduleName,
    /// Description.
    pub plan: SchedulePlan,
    /// True if nothing is to be started until it is resumed.
    pub is_paused: bool,
    /// Nominal time of the first run, later than the command.
    pub next: Option<Timestamp>,
    /// Edition of the data of time zones by which it was computed.
    pub zone_data: String,
    /// Fate of a schedule of that name.
    pub known: KnownSchedule,
}

/// Schedule that there must be under the name of one that is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnownSchedule {
    /// Nothing.
    None,
    /// A schedule, which it replaces. What is known of its runs stays.
    Some,
}

/// See [`crate::Command::DeleteSchedule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSchedule {
    /// Name of the schedule.
    pub name: ScheduleName,
}

/// See [`crate::Command::PauseSchedule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseSchedule {
    /// Name of the schedule.
    pub name: ScheduleName,
    /// True to pause it, false to resume it.
    pub is_paused: bool,
}

/// See [`crate::Command::RunSchedule`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSchedule {
    /// Name of the schedule.
    pub name: ScheduleName,
    /// The name under which the order may be repeated.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// See [`crate::Command::AdvanceSchedules`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvanceSchedules {
    /// The leader's term.
    pub term: Term,
    /// Edition of the data of time zones by which the times were computed.
    pub zone_data: String,
    /// One step of each of some schedules.
    pub steps: Vec<ScheduleStep>,
}

/// Nominal times of one schedule that are due, and the one after them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleStep {
    /// Name of the schedule.
    pub schedule: ScheduleName,
    /// Log position of the record from which the leader went on. If the record has changed since, the
    /// step has no effect.
    pub known_at: LogIndex,
    /// Nominal times that have come, beginning with the next one on record. None of them has been
    /// decided about.
    pub due: Vec<Timestamp>,
    /// Nominal time after them.
    pub next: Option<Timestamp>,
}
