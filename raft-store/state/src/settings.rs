//! Settings of the cluster: what every leader goes by, whichever master leads.

mod key;
mod record;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::key::SettingKey;
pub use self::record::{SettingOrigin, SettingSource, SettingsRecord};
pub use self::rules::SettingFault;
use crate::{LeaseTimes, Level, Limits, Worker};

/// All settings, by the sections of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Times of workers.
    pub worker: WorkerSettings,
    /// The reconnection monitor.
    pub reconnect: ReconnectSettings,
    /// Choice of workers for tasks.
    pub scheduler: SchedulerSettings,
    /// Bounds by which submissions are accepted.
    pub limits: LimitSettings,
    /// Retention of finished tasks.
    pub retention: RetentionSettings,
    /// Votes that are given and taken without an operator.
    pub autopilot: AutopilotSettings,
    /// The feature level.
    pub upgrade: UpgradeSettings,
    /// The trail of orders.
    pub audit: AuditSettings,
}

/// Settings under `worker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// Interval between heartbeats of a worker.
    pub heartbeat_interval: Duration,
    /// Silence after which a worker is inactive.
    pub heartbeat_timeout: Duration,
    /// Time without delivered orders after which a worker is unreachable.
    pub unreachable_after: Duration,
    /// Silence after which a worker's attempts are given to others.
    pub lease: Duration,
    /// Attempts of lost workers given to others per second while a mass loss is unacknowledged.
    pub mass_loss_requeue_rate: u64,
}

/// Settings under `reconnect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconnectSettings {
    /// True if the monitor contacts inactive workers without being asked.
    pub enabled: bool,
    /// Time between two contacts of one worker.
    pub interval: Duration,
    /// Longest time of one contact.
    pub attempt_timeout: Duration,
    /// Time in which a worker that has answered must register.
    pub registration_timeout: Duration,
    /// Concurrent contacts.
    pub max_parallel: u64,
    /// Growth of the interval for a worker that is repeatedly not reached.
    pub backoff: Backoff,
    /// Intervals for workers by the value of their label `priority`.
    pub intervals_by_priority: BTreeMap<String, Duration>,
}

/// Growth of the rest between two contacts with one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// None: the rest is one interval, however often contacts have failed.
    Off,
    /// The rest doubles after each consecutive failure but the first, up to a cap, less some
    /// jitter.
    Exponential,
}

/// Settings under `scheduler`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerSettings {
    /// Preference among the workers that fit.
    pub strategy: Strategy,
}

/// Preference among the workers that could take a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// The emptiest worker, so that the loss of one worker costs least.
    #[default]
    Spread,
    /// The fullest worker, so that large tasks find empty ones.
    Binpack,
}

/// Settings under `limits` that are the cluster's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSettings {
    /// Bytes of memory that live tasks and idempotency keys may take.
    pub live_bytes: u64,
}

/// Settings under `retention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionSettings {
    /// Number of finished tasks kept; the oldest are forgotten first.
    pub tasks: u64,
    /// Least time for which each is kept: older ones are forgotten gradually.
    pub age: Duration,
}

/// Settings under `autopilot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutopilotSettings {
    /// True if the leader gives votes to masters that have caught up, and the votes of masters that
    /// are gone to others.
    pub enabled: bool,
    /// Time for which a master without a vote must stay close to the leader's log before it gets one.
    pub stable_for: Duration,
    /// Absence after which a master loses its vote to one that waits for a vote.
    pub replace_after: Duration,
    /// Number of votes that are given; 0 for one to each master.
    pub voters: u64,
}

/// Settings under `upgrade`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeSettings {
    /// True if the feature level stays although every master could run a higher one.
    pub hold: bool,
}

/// Settings under `audit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSettings {
    /// Number of records kept; the oldest are forgotten first.
    pub records: u64,
    /// Least time for which each is kept: older ones are forgotten gradually.
    pub age: Duration,
    /// True if submissions of tasks are on record, too.
    pub submissions: bool,
}

impl Settings {
    /// The level from which on a cluster has settings.
    pub const LEVEL: Level = Level(2);
}

impl WorkerSettings {
    /// Returns the times that a worker is granted.
    #[must_use]
    pub const fn times(&self) -> LeaseTimes {
        LeaseTimes {
            heartbeat_interval: self.heartbeat_interval,
            heartbeat_timeout: self.heartbeat_timeout,
            lease: self.lease,
        }
    }
}

impl ReconnectSettings {
    /// Label that chooses the interval of a worker.
    const PRIORITY_LABEL: &str = "priority";

    /// Returns the interval between two contacts of a worker.
    #[must_use]
    pub fn interval_of(&self, worker: &Worker) -> Duration {
        let reported = worker.specs.as_ref().map(|specs| &specs.labels);
        let labels = std::iter::once(&worker.labels).chain(reported);
        let priority = labels.filter_map(|labels| labels.get(Self::PRIORITY_LABEL)).next();
        let by_priority = priority.and_then(|value| self.intervals_by_priority.get(value));
        by_priority.copied().unwrap_or(self.interval)
    }
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(30),
            unreachable_after: Duration::from_secs(10),
            lease: Duration::from_secs(5 * 60),
            mass_loss_requeue_rate: 10,
        }
    }
}

impl Default for ReconnectSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(3),
            registration_timeout: Duration::from_secs(10),
            max_parallel: 256,
            backoff: Backoff::Off,
            intervals_by_priority: BTreeMap::new(),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { live_bytes: Limits::LIVE_BYTES_DEFAULT }
    }
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self { tasks: Limits::RETAINED_TASKS, age: Duration::from_secs(7 * 24 * 60 * 60) }
    }
}

impl Default for AuditSettings {
    /// A quarter, as auditors ask for it; submissions are as many as there are tasks.
    fn default() -> Self {
        let age = Duration::from_secs(90 * 24 * 60 * 60);
        Self { records: 50_000, age, submissions: false }
    }
}

impl Default for AutopilotSettings {
    /// As Nomad's autopilot: stable for 10 s. A machine that restarts is back within ten minutes.
    fn default() -> Self {
        Self {
            enabled: true,
            stable_for: Duration::from_secs(10),
            replace_after: Duration::from_mins(10),
            voters: 0,
        }
    }
}
