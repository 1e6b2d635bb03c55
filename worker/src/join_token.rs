//! A join token, which admits a worker that no operator has registered; its secret is never
//! displayed.

use std::fmt;

use daemon::config::{Value, text};

/// Replaces the secret wherever the token is displayed.
const MASK: &str = "***";
/// Hexadecimal digits of a SHA-256.
const DIGEST_LEN: usize = 64;

/// A join token: its name, a dot, and its secret; and, in a cluster that issues certificates, a dot
/// and the SHA-256 of the root. Displayed and serialized without the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken(String);

impl JoinToken {
    /// Returns name and secret, for masters only.
    #[must_use]
    pub(crate) fn reveal(&self) -> String {
        let (name, rest) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let secret = rest.split_once('.').map_or(rest, |(secret, _)| secret);
        format!("{name}.{secret}")
    }

    /// Returns the digest by which the worker knows its cluster, if the cluster issues certificates.
    #[must_use]
    pub(crate) fn root_digest(&self) -> Option<&str> {
        self.0.splitn(3, '.').nth(2)
    }

    /// Returns true if the token has a name and a secret.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        let parts = self.0.splitn(3, '.').collect::<Vec<_>>();
        let is_digest = |text: &str| {
            text.len() == DIGEST_LEN && text.bytes().all(|digit| digit.is_ascii_hexdigit())
        };
        let is_whole = match parts.as_slice() {
            [name, secret] => !name.is_empty() && !secret.is_empty(),
            [name, secret, digest] => !name.is_empty() && !secret.is_empty() && is_digest(digest),
            _ => false,
        };
        is_whole && self.0.chars().all(|letter| letter.is_ascii_graphic())
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
    fn a_token_may_say_by_what_the_cluster_is_known() {
        let digest = "0123456789abcdef".repeat(4);
        let token = JoinToken::from(format!("fleet.s3cret.{digest}"));
        assert!(token.is_whole());
        assert_eq!(token.reveal(), "fleet.s3cret");
        assert_eq!(token.root_digest(), Some(digest.as_str()));
        assert_eq!(token.to_string(), "fleet.***");
        assert_eq!(JoinToken::from("fleet.s3cret".to_owned()).root_digest(), None);
    }

    #[test]
    fn what_is_no_token_is_not_shown_either() {
        for text in ["", "s3cret", ".s3cret", "fleet.", "fleet.s3 cret", "fleet.s3cret.abc"] {
            let token = JoinToken::from(text.to_owned());
            assert!(!token.is_whole() && !token.to_string().contains("s3"), "{token}");
        }
    }
}
