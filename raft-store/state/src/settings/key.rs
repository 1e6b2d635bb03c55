//! Names of the settings.

use serde::{Deserialize, Serialize};

use super::Settings;

macro_rules! keys {
    ($($(#[$doc:meta])* $key:ident = $section:ident.$field:ident,)*) => {
        /// One setting. It is stored by its place in this list, to whose end later levels add.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum SettingKey {
            $(
                #[doc = concat!("`", stringify!($section), ".", stringify!($field), "`.")]
                $key,
            )*
        }

        impl SettingKey {
            /// All settings.
            pub const ALL: &'static [Self] = &[$(Self::$key,)*];

            /// Returns the path of the setting, as in the configuration file of a master.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$key => concat!(stringify!($section), ".", stringify!($field)),)*
                }
            }

            /// Returns whether both have the same value.
            #[must_use]
            pub fn is_same(self, left: &Settings, right: &Settings) -> bool {
                match self {
                    $(Self::$key => left.$section.$field == right.$section.$field,)*
                }
            }
        }
    };
}

keys! {
    HeartbeatInterval = worker.heartbeat_interval,
    HeartbeatTimeout = worker.heartbeat_timeout,
    UnreachableAfter = worker.unreachable_after,
    Lease = worker.lease,
    MassLossRequeueRate = worker.mass_loss_requeue_rate,
    ReconnectEnabled = reconnect.enabled,
    ReconnectInterval = reconnect.interval,
    ReconnectAttemptTimeout = reconnect.attempt_timeout,
    ReconnectRegistrationTimeout = reconnect.registration_timeout,
    ReconnectMaxParallel = reconnect.max_parallel,
    ReconnectBackoff = reconnect.backoff,
    ReconnectIntervalsByPriority = reconnect.intervals_by_priority,
    Strategy = scheduler.strategy,
    LiveBytes = limits.live_bytes,
    RetainedTasks = retention.tasks,
    RetainedAge = retention.age,
    AutopilotEnabled = autopilot.enabled,
    AutopilotStableFor = autopilot.stable_for,
    AutopilotReplaceAfter = autopilot.replace_after,
    AutopilotVoters = autopilot.voters,
    UpgradeHold = upgrade.hold,
    AuditRecords = audit.records,
    AuditAge = audit.age,
    AuditSubmissions = audit.submissions,
}

impl SettingKey {
    /// Returns the setting of that path.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|key| key.path() == path)
    }
}

impl Settings {
    /// Returns the settings in which two differ.
    pub fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = SettingKey> + 'a {
        SettingKey::ALL.iter().copied().filter(|key| !key.is_same(self, other))
    }
}
