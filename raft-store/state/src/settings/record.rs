//! The settings as they are stored, with the origin of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{SettingKey, Settings};
use crate::{LogIndex, MasterId, Timestamp};

/// The settings of the cluster, which has them from level 2 on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRecord {
    /// Their values.
    pub settings: Settings,
    /// Origin of each value.
    pub origins: BTreeMap<SettingKey, SettingOrigin>,
    /// Time of the last change.
    pub changed_at: Timestamp,
    /// Principal that made the last change; absent if a leader did, from its configuration.
    pub changed_by: Option<String>,
    /// Log position of the last change.
    pub index: LogIndex,
}

/// Origin of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingOrigin {
    /// Source of the value.
    pub source: SettingSource,
    /// Log position of the setting's last change.
    pub index: LogIndex,
}

/// Source of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettingSource {
    /// The default of the release of the cluster's first leader.
    Default,
    /// The configuration of the master that was the cluster's first leader.
    Master(MasterId),
    /// An operator.
    Operator,
}

impl SettingsRecord {
    /// Returns the settings that the record's last change has changed.
    pub fn last_changed(&self) -> impl Iterator<Item = SettingKey> + '_ {
        let changed = self.origins.iter().filter(|(_, origin)| origin.index == self.index);
        changed.map(|(key, _)| *key)
    }
}
