//! Join tokens: who presents one may register itself.

use serde::{Deserialize, Serialize};

use crate::{LogIndex, Timestamp, TokenId};

/// A token that admits workers which no operator has registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Names it.
    pub id: TokenId,
    /// SHA-256 of the secret; the secret itself is shown once and stored nowhere.
    pub digest: [u8; 32],
    /// What it is for.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops admitting workers; never without one.
    pub expires_at: Option<Timestamp>,
    /// Log position of its creation.
    pub index: LogIndex,
}

impl JoinToken {
    /// Whether it admits nobody any more.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}
