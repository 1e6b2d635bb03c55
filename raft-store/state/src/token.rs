//! Join tokens, with which workers register themselves.

use serde::{Deserialize, Serialize};

use crate::{LogIndex, Timestamp, TokenId};

/// A token that admits workers that no operator has registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Public name.
    pub id: TokenId,
    /// SHA-256 of the secret; the secret itself is shown once and stored nowhere.
    pub digest: [u8; 32],
    /// Purpose, in the operator's words.
    pub description: String,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Time from which on it admits no workers; absent if it never expires.
    pub expires_at: Option<Timestamp>,
    /// Log position of its creation.
    pub index: LogIndex,
}

impl JoinToken {
    /// Returns whether it has expired.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
