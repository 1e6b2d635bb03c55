//! Tokens of users as text: `clu_`, the public part, `_` and the secret. The beginning is fixed and
//! the letters are few, so that a scanner finds a token wherever it does not belong.

use cluster_state::TokenId;
use rand::RngExt;
use sha2::{Digest, Sha256};

/// Beginning of every token.
const PREFIX: &str = "clu_";
/// Letters of what is drawn: five bits each, without those that look like others.
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j',
    'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
];
/// Letters of a secret: 260 bits.
const SECRET_LEN: usize = 52;
/// Letters of a public part: nobody meets the same one twice.
const ID_LEN: usize = 12;

/// Digest of a secret, which is stored in its place.
pub(crate) type SecretDigest = [u8; 32];

/// Returns the digest of a secret.
pub(crate) fn digest(secret: &str) -> SecretDigest {
    Sha256::digest(secret).into()
}

/// Compares digests in the same time wherever they differ.
pub(super) fn is_same(left: &SecretDigest, right: &SecretDigest) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (left, right)| sum | (left ^ right));
    std::hint::black_box(difference) == 0
}

/// Draws a secret, which nobody guesses.
pub(crate) fn draw_secret() -> String {
    draw(SECRET_LEN)
}

/// Draws the public part of a token.
pub(crate) fn draw_id() -> String {
    draw(ID_LEN)
}

fn draw(len: usize) -> String {
    let mut source = rand::rng();
    let letters = std::iter::repeat_with(|| ALPHABET.get(source.random_range(0..ALPHABET.len())));
    letters.take(len).flatten().collect()
}

/// Returns the whole token, as its user presents it.
pub(crate) fn whole(id: &TokenId, secret: &str) -> String {
    format!("{PREFIX}{id}_{secret}")
}

/// Returns the public part and the secret of a token; none if the text is no token of ours.
pub(super) fn parts(token: &str) -> Option<(TokenId, &str)> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    Some((id.parse().ok()?, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_falls_into_its_parts() {
        let (id, secret) = (draw_id(), draw_secret());
        assert_eq!((id.len(), secret.len()), (ID_LEN, SECRET_LEN));
        let id = id.parse::<TokenId>().unwrap();
        let token = whole(&id, &secret);
        assert_eq!(parts(&token), Some((id, secret.as_str())));
        for text in ["", "clu_", "clu_a", "clu_A_b", "clx_a_b", "fleet.secret", "clu__b"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn no_secret_is_drawn_twice() {
        let drawn = std::iter::repeat_with(draw_secret).take(1_000);
        assert_eq!(drawn.collect::<std::collections::BTreeSet<_>>().len(), 1_000);
    }

    #[test]
    fn digests_are_the_same_or_not() {
        assert!(is_same(&digest("a"), &digest("a")));
        assert!(!is_same(&digest("a"), &digest("b")));
    }
}
