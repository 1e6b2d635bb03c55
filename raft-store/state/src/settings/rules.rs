//! Rules that settings must keep, in the configuration of a master and in the cluster's state.
//!
//! They decide verdicts of [`crate::State::apply`]: a release that changes one of them does so for a
//! new level.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{SettingKey, Settings};

/// Shortest interval and timeout: what comes more often would only keep masters busy.
const DURATION_MIN: Duration = Duration::from_millis(10);
/// Longest duration. A longer one is a slip of the pen, and a time so far ahead could overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Most intervals by priority: operators write each of them down.
const PRIORITIES_MAX: usize = 1_000;
/// Bytes of a value of the label `priority`.
const PRIORITY_BYTES_MAX: usize = 256;
/// Records of the trail: fewer would be gone before anybody looks, and more are a matter of the files.
const AUDIT_RECORDS: RangeInclusive<u64> = 100..=100_000;
/// Most votes to give: more voters only make writes slower.
const VOTERS_MAX: u64 = 15;

/// A rule that a setting breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", key.path())]
pub struct SettingFault {
    /// The setting to change.
    pub key: SettingKey,
    /// Fault of the value, or of its company.
    pub detail: &'static str,
}

impl Settings {
    /// Returns every rule that the settings break.
    #[must_use]
    pub fn faults(&self) -> Vec<SettingFault> {
        let mut faults = Vec::new();
        let mut require = |key, holds: bool, detail| {
            if !holds {
                faults.push(SettingFault { key, detail });
            }
        };
        let Self {
            worker,
            reconnect,
            scheduler: _,
            limits,
            retention: _,
            autopilot,
            upgrade: _,
            audit,
        } = self;

        self.check_durations(&mut require);
        require(
            SettingKey::HeartbeatTimeout,
            worker.heartbeat_timeout >= worker.heartbeat_interval.saturating_mul(2),
            "must be two worker.heartbeat_intervals or more",
        );
        require(
            SettingKey::Lease,
            worker.lease >= worker.heartbeat_timeout,
            "must not be shorter than worker.heartbeat_timeout",
        );
        require(
            SettingKey::MassLossRequeueRate,
            worker.mass_loss_requeue_rate > 0,
            "must be above 0: tasks of lost workers would never run again",
        );
        require(SettingKey::ReconnectMaxParallel, reconnect.max_parallel > 0, "must be above 0");
        require(SettingKey::LiveBytes, limits.live_bytes > 0, "must be above 0");
        require(
            SettingKey::AutopilotVoters,
            autopilot.voters <= VOTERS_MAX,
            "must not be above 15: more voters only make writes slower",
        );

        require(
            SettingKey::AuditRecords,
            AUDIT_RECORDS.contains(&audit.records),
            "must be between 100 and 100000",
        );

        let priorities = reconnect.intervals_by_priority.keys();
        require(
            SettingKey::ReconnectIntervalsByPriority,
            priorities.len() <= PRIORITIES_MAX
                && priorities.into_iter().all(|value| value.len() <= PRIORITY_BYTES_MAX),
            "must not have more than 1000 values, or values longer than 256 bytes",
        );
        faults
    }

    /// Holds every duration to the bounds that all have.
    fn check_durations(&self, mut require: impl FnMut(SettingKey, bool, &'static str)) {
        let Self { worker, reconnect, retention, autopilot, audit, .. } = self;
        let intervals = || reconnect.intervals_by_priority.values().copied();
        let all_at_least = intervals().all(|interval| interval >= DURATION_MIN);
        for (key, holds) in [
            (SettingKey::HeartbeatInterval, worker.heartbeat_interval >= DURATION_MIN),
            (SettingKey::ReconnectInterval, reconnect.interval >= DURATION_MIN),
            (SettingKey::ReconnectAttemptTimeout, reconnect.attempt_timeout >= DURATION_MIN),
            (
                SettingKey::ReconnectRegistrationTimeout,
                reconnect.registration_timeout >= DURATION_MIN,
            ),
            (SettingKey::ReconnectIntervalsByPriority, all_at_least),
            (SettingKey::AutopilotReplaceAfter, autopilot.replace_after >= DURATION_MIN),
        ] {
            require(key, holds, "must be 10ms or more");
        }

        let longest_interval = intervals().max().unwrap_or_default();
        for (key, duration) in [
            (SettingKey::HeartbeatInterval, worker.heartbeat_interval),
            (SettingKey::HeartbeatTimeout, worker.heartbeat_timeout),
            (SettingKey::UnreachableAfter, worker.unreachable_after),
            (SettingKey::Lease, worker.lease),
            (SettingKey::ReconnectInterval, reconnect.interval),
            (SettingKey::ReconnectAttemptTimeout, reconnect.attempt_timeout),
            (SettingKey::ReconnectRegistrationTimeout, reconnect.registration_timeout),
            (SettingKey::ReconnectIntervalsByPriority, longest_interval),
            (SettingKey::RetainedAge, retention.age),
            (SettingKey::AuditAge, audit.age),
            (SettingKey::AutopilotStableFor, autopilot.stable_for),
            (SettingKey::AutopilotReplaceAfter, autopilot.replace_after),
        ] {
            require(key, duration <= DURATION_MAX, "must not be longer than ten years");
        }
    }
}
