//! Users: their names, roles and scopes, and the tokens with which they call.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{InvalidId, Level, LogIndex, TextMap, Timestamp, TokenId};

/// Longest name of a user in bytes.
const USER_NAME_BYTES_MAX: usize = 64;

/// A role of a user. Each one may do all that the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Role {
    /// Looks at everything but join tokens and tokens of users.
    #[default]
    Viewer,
    /// Submits and cancels tasks.
    Submitter,
    /// Runs the fleet: workers, join tokens, settings, the level, the leader.
    Operator,
    /// Decides who the members and the users are.
    Admin,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Submitter, Self::Operator, Self::Admin];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no role: viewer, submitter, operator or admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| UnknownRole(text.chars().take(USER_NAME_BYTES_MAX).collect()))
    }
}

/// Name of a user, which an admin chose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(Arc<str>);

impl UserName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_word =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
        let is_valid = text.len() <= USER_NAME_BYTES_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(is_word);
        if !is_valid {
            return Err(InvalidId::user(text));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label that all tasks must have of which a user is to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Key of the label.
    pub key: String,
    /// Its value.
    pub value: String,
}

impl Scope {
    /// Returns whether a task with these labels is within the scope.
    #[must_use]
    pub fn covers(&self, labels: &TextMap) -> bool {
        labels.get(&self.key) == Some(self.value.as_str())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// A token with which a user calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserToken {
    /// Public part of the token.
    pub id: TokenId,
    /// The user that calls with it.
    pub user: UserName,
    /// Role of the user.
    pub role: Role,
    /// The only tasks that the user may know of; absent, all.
    pub scope: Option<Scope>,
    /// SHA-256 of the secret; the secret itself is shown once and stored nowhere.
    pub digest: [u8; 32],
    /// Purpose, in the words of whoever created it.
    pub description: String,
    /// Principal that created it.
    pub created_by: String,
    /// Time of its creation.
    pub created_at: Timestamp,
    /// Time from which on it is refused; absent if it never expires.
    pub expires_at: Option<Timestamp>,
    /// Log position of its creation.
    pub index: LogIndex,
}

impl UserToken {
    /// Level from which on a cluster has tokens of users.
    pub const LEVEL: Level = Level(2);

    /// Returns whether it has expired.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_name_is_safe_in_logs() {
        for text in ["ada", "ci-runner.7", "ada+test@example.org", "7"] {
            assert_eq!(text.parse::<UserName>().unwrap().as_str(), text);
        }
        for text in ["", "-a", "a b", "a\n", "ä", "a/b", &"x".repeat(65)] {
            assert!(text.parse::<UserName>().is_err(), "{text}");
        }
    }

    #[test]
    fn roles_are_ordered_and_read_back_from_their_names() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
