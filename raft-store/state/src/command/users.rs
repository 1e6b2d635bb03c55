//! Commands about users.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Role, Scope, TokenId, UserName};

/// See [`crate::Command::CreateUserToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateUserToken {
    /// Public part of the token; its secret is not in the log.
    pub token: TokenId,
    /// The user that calls with it.
    pub user: UserName,
    /// Role of the user.
    pub role: Role,
    /// The only tasks that the user may know of; absent, all.
    pub scope: Option<Scope>,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Time for which it is good; forever when absent.
    pub ttl: Option<Duration>,
    /// Purpose, in the words of whoever creates it.
    pub description: String,
    /// Principal that creates it.
    pub by: String,
}

/// See [`crate::Command::RevokeUserToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeUserToken {
    /// Public part of the token.
    pub token: TokenId,
}
