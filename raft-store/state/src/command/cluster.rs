//! Commands about the cluster itself: terms, time, levels, tokens and alarms.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ClusterId, Level, MasterId, TaskId, Term, TokenId};

/// See [`crate::Command::BeginTerm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginTerm {
    /// The term that begins.
    pub term: Term,
    /// Its leader.
    pub leader: MasterId,
    /// The cluster's id if it has none yet: the first leader's proposal wins.
    pub cluster: ClusterId,
    /// Bound on the memory of live tasks and idempotency keys, from the leader's configuration.
    /// Counts while the cluster has no settings.
    pub live_bytes_max: u64,
}

/// See [`crate::Command::Tick`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The leader's term.
    pub term: Term,
    /// Finished tasks to forget, chosen by retention; live tasks are skipped.
    pub forget: Vec<TaskId>,
}

/// See [`crate::Command::RaiseLevel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseLevel {
    /// The leader's term.
    pub term: Term,
    /// The new level, which every member can run.
    pub level: Level,
}

/// See [`crate::Command::CreateToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateToken {
    /// The token's name; its secret is not in the log.
    pub token: TokenId,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Time for which it admits workers; forever when absent.
    pub ttl: Option<Duration>,
    /// Purpose, in the operator's words.
    pub description: String,
}

/// See [`crate::Command::RevokeToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeToken {
    /// The token.
    pub token: TokenId,
}

/// See [`crate::Command::RaiseMassLoss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseMassLoss {
    /// The leader's term.
    pub term: Term,
    /// Number of workers that fell silent within one heartbeat timeout.
    pub lost: u32,
    /// Number of workers that were active before.
    pub of: u32,
}

/// See [`crate::Command::EndMassLoss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndMassLoss {
    /// The leader's term.
    pub term: Term,
}
