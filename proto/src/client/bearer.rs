//! The token with which a client calls.

use std::fmt;

use tonic::metadata::{Ascii, MetadataValue};

/// Longest token: ours have some eighty bytes, and those of others a few kilobytes.
const BYTES_MAX: usize = 8 << 10;

/// A token as it is presented with each call. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(MetadataValue<Ascii>);

/// A text that cannot be a token. It is not repeated, because it may nearly be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one token of printable ASCII characters without spaces")]
pub struct InvalidToken;

impl BearerToken {
    /// Reads a token, with or without white space around it.
    ///
    /// # Errors
    ///
    /// If it is empty, too long, or holds what cannot be sent.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let token = text.trim_ascii();
        let is_sendable = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > BYTES_MAX || !is_sendable {
            return Err(InvalidToken);
        }
        let mut value = MetadataValue::<Ascii>::try_from(format!("Bearer {token}"))
            .map_err(|_| InvalidToken)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Returns the value of the header.
    pub(super) fn value(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_never_shown() {
        let token = BearerToken::parse(" clu_a_b\n").unwrap();
        assert_eq!(token.value().to_str().unwrap(), "Bearer clu_a_b");
        assert!(!format!("{token:?} {:?}", token.value()).contains("clu_"));
        for text in ["", " \n", "a b", "a\nb", "ä", &"x".repeat(BYTES_MAX + 1)] {
            assert_eq!(BearerToken::parse(text), Err(InvalidToken), "{text}");
        }
    }
}
