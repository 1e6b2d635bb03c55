//! Schedules: tasks that are submitted again and again, at times of a clock.

mod utc;

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{InvalidId, Level, Limits, LogIndex, TaskId, TaskSpec, TextMap, Timestamp, When};

/// Longest name of a schedule in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Name of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleName(Arc<str>);

impl ScheduleName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScheduleName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_valid = text.len() <= NAME_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(is_word);
        if !is_valid {
            return Err(InvalidId::schedule(text));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for ScheduleName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ScheduleName> for String {
    fn from(name: ScheduleName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Description of a schedule, as a user gives it.
///
/// The state does not read the expression and knows no time zones: whoever proposes a command says
/// which times follow. So masters agree whatever data of time zones each of them has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulePlan {
    /// Cron expression.
    pub cron: String,
    /// Name of its time zone in the IANA database.
    pub zone: String,
    /// Fate of a run whose predecessor is not over.
    pub overlap: Overlap,
    /// Longest time by which a run may be late. Those that are later are missed.
    pub catch_up: Duration,
    /// Task that each run submits.
    pub task: Arc<TaskSpec>,
}

/// Fate of a run that comes while the task of an earlier one is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It starts as soon as the earlier one is over; further ones are left out until then.
    BufferOne,
    /// It starts beside the earlier one.
    Allow,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Name in the cluster.
    pub name: ScheduleName,
    /// Description.
    pub plan: SchedulePlan,
    /// True while nothing is started.
    pub is_paused: bool,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Time at which a user last replaced, paused or resumed it.
    pub changed_at: Timestamp,
    /// Nominal time of the next run; absent when there is none before the end of the calendar.
    pub next: Option<Timestamp>,
    /// Edition of the data of time zones by which `next` was computed.
    pub zone_data: String,
    /// Nominal time of the last run that was decided about. None up to it is decided about again.
    pub last: Option<Timestamp>,
    /// Task of the last run that was started.
    pub last_task: Option<TaskId>,
    /// Nominal time of the run that waits for the end of `last_task`.
    pub waiting: Option<Timestamp>,
    /// Numbers of its runs so far.
    pub counts: RunCounts,
    /// The latest runs, oldest first.
    pub runs: VecDeque<ScheduledRun>,
    /// Log position of the record's last change.
    pub index: LogIndex,
}

/// Numbers of runs by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    /// Runs whose tasks were submitted.
    pub started: u64,
    /// Runs that were left out because an earlier one was not over.
    pub skipped: u64,
    /// Runs that came too late, or for which the queue had no room.
    pub missed: u64,
}

impl RunCounts {
    /// Returns these and others.
    #[must_use]
    pub(crate) const fn plus(self, others: Self) -> Self {
        Self {
            started: self.started + others.started,
            skipped: self.skipped + others.skipped,
            missed: self.missed + others.missed,
        }
    }

    /// Returns these without those before.
    #[must_use]
    pub(crate) const fn minus(self, before: Self) -> Self {
        Self {
            started: self.started - before.started,
            skipped: self.skipped - before.skipped,
            missed: self.missed - before.missed,
        }
    }
}

/// One run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledRun {
    /// Nominal time; of a run that was ordered, the time of the order.
    pub at: Timestamp,
    /// Time at which it was decided about.
    pub decided_at: Timestamp,
    /// True if somebody ordered it.
    pub is_manual: bool,
    /// Outcome.
    pub outcome: RunOutcome,
}

/// Outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunOutcome {
    /// Its task was submitted.
    Started {
        /// The task.
        task: TaskId,
    },
    /// It waits for the end of an earlier run.
    Waiting,
    /// It was left out because an earlier run was not over.
    Skipped {
        /// The task of that run.
        running: TaskId,
    },
    /// It came later than its schedule allows, as did others right after it.
    Missed {
        /// Number of runs that were missed in a row.
        count: u64,
        /// Nominal time of the last one of them.
        until: Timestamp,
    },
    /// Its task could not be submitted.
    Refused {
        /// Name of the kind of refusal.
        reason: Arc<str>,
    },
}

impl Schedule {
    /// Level from which on a cluster has schedules.
    pub const LEVEL: Level = Level(2);
    /// Label of tasks: the name of their schedule.
    pub const LABEL: &'static str = "cloudai.schedule";
    /// Variable of tasks: the name of their schedule.
    pub const VARIABLE: &'static str = "CLOUDAI_SCHEDULE";
    /// Variable of tasks: the nominal time of their run, RFC 3339 in UTC.
    pub const TIME_VARIABLE: &'static str = "CLOUDAI_SCHEDULED_AT";
    /// Shortest time by which a run must be allowed to be late: an election takes as long.
    pub const CATCH_UP_MIN: Duration = Duration::from_secs(10);
    /// Longest one.
    pub const CATCH_UP_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// Returns the bytes of memory that it takes, by an account that never changes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let SchedulePlan { cron, zone, task, .. } = &self.plan;
        let texts = [self.name.as_str(), cron, zone, &self.zone_data];
        let texts = texts.iter().map(|text| text.len() as u64 + Limits::TEXT_BYTES).sum::<u64>();
        Limits::SCHEDULE_BYTES + texts + task.bytes()
    }

    /// Returns the description of the task of one run.
    pub(crate) fn task_of_run(&self, at: Timestamp) -> Arc<TaskSpec> {
        let with = |map: &TextMap, more: &[(&str, String)]| {
            let mut map = map.to_map();
            map.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            TextMap::from(map)
        };
        let spec = &self.plan.task;
        let name = self.name.to_string();
        let variables = [(Self::VARIABLE, name.clone()), (Self::TIME_VARIABLE, utc::rfc3339(at))];
        Arc::new(TaskSpec {
            env: with(&spec.env, &variables),
            labels: with(&spec.labels, &[(Self::LABEL, name)]),
            // A secret variable would take the place of the plain one.
            secret_env: spec.secret_env.without(&[Self::VARIABLE, Self::TIME_VARIABLE]),
            ..TaskSpec::clone(spec)
        })
    }

    /// Adds a run. Those that are missed in a row are one line of its history.
    pub(crate) fn note(&mut self, run: ScheduledRun, limits: &Limits) {
        match run.outcome {
            RunOutcome::Started { .. } => self.counts.started += 1,
            RunOutcome::Skipped { .. } => self.counts.skipped += 1,
            RunOutcome::Missed { .. } | RunOutcome::Refused { .. } => self.counts.missed += 1,
            RunOutcome::Waiting => {}
        }
        if let RunOutcome::Missed { until, .. } = run.outcome
            && let Some(ScheduledRun { decided_at, outcome, .. }) = self.runs.back_mut()
            && let RunOutcome::Missed { count, until: last } = outcome
        {
            *count += 1;
            (*last, *decided_at) = (until, run.decided_at);
            return;
        }
        self.runs.push_back(run);
        while self.runs.len() > limits.schedule_runs_kept_max {
            self.runs.pop_front();
        }
    }

    /// Says what became of the run that has waited.
    pub(crate) fn end_wait(&mut self, run: ScheduledRun, limits: &Limits) {
        self.waiting = None;
        let is_it = |line: &ScheduledRun| line.outcome == RunOutcome::Waiting;
        if let Some(place) = self.runs.iter().position(is_it) {
            drop(self.runs.remove(place));
        }
        self.note(run, limits);
    }
}

impl TaskSpec {
    /// Returns whether it names points in time, which one run after the other could not share.
    #[must_use]
    pub fn names_points_in_time(&self) -> bool {
        let timing = self.timing.as_deref();
        let times = timing.into_iter().flat_map(|timing| [timing.start, timing.deadline]);
        times.flatten().any(|when| matches!(when, When::At(_)))
    }
}
