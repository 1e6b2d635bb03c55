//! Commands about the settings of the cluster.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{LogIndex, MasterId, SettingKey, Settings, Term};

/// See [`crate::Command::SeedSettings`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSettings {
    /// The leader's term.
    pub term: Term,
    /// The leader's configuration.
    pub settings: Settings,
    /// The leader.
    pub master: MasterId,
    /// Settings that its configuration gives; the others are defaults.
    pub given: BTreeSet<SettingKey>,
}

/// See [`crate::Command::SetSettings`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSettings {
    /// The new settings, all of them.
    pub settings: Settings,
    /// Log position of the change that the proposer has seen last.
    pub base: LogIndex,
    /// Principal that changes them.
    pub by: String,
}
