//! A join token, which admits a worker that no operator has registered; its secret is never
//! displayed.

use std::fmt;

use daemon::config::{Value, text};

/// Replaces the secret wherever the token is displayed.
const MASK: &str = "***";

/// A join token: its name, a dot, and its secret. Displayed and serialized without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(String);

impl JoinToken {
    /// Returns the whole token, for the leader only.
    #[must_use]
    pub(crate) fn reveal(&self) -> String {
        self.0.clone()
    }

    /// Returns true if the token has a name and a secret.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        let parts = self.0.split_once('.');
        parts.is_some_and(|(name, secret)| !name.is_empty() && !secret.is_empty())
            && self.0.chars().all(|letter| letter.is_ascii_graphic())
    }
}

impl From<String> for JoinToken {
    fn from(text: String) -> Self {
        Self(text.trim().to_owned())
    }
}

/// Accepts any text, because an error would repeat the secret: see `JoinToken::is_whole`.
impl Value for JoinToken {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned().into())
    }

    fn to_toml(&self) -> Option<toml::Value> {
        text(self)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once('.') {
            Some((name, _)) => write!(f, "{name}.{MASK}"),
            None => f.write_str(MASK),
        }
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_whole_and_shown_without_its_secret() {
        let token = JoinToken::from("fleet.s3cret\n".to_owned());
        assert!(token.is_whole());
        assert_eq!(token.reveal(), "fleet.s3cret");
        assert_eq!(token.to_string(), "fleet.***");
        assert_eq!(format!("{token:?}"), "JoinToken(fleet.***)");
    }

    #[test]
    fn what_is_no_token_is_not_shown_either() {
        for text in ["", "s3cret", ".s3cret", "fleet.", "fleet.s3 cret"] {
            let token = JoinToken::from(text.to_owned());
            assert!(!token.is_whole() && !token.to_string().contains("s3"), "{token}");
        }
    }
}
