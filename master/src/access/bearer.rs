//! Reads the credentials of a request from its headers, which REST and gRPC have in common.

use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Scheme of the credentials (RFC 6750).
const SCHEME: &str = "bearer";

/// Credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    /// None.
    Nothing,
    /// A token.
    Token(&'a str),
    /// Something that is no token.
    Unreadable,
}

impl<'a> Presented<'a> {
    /// Reads the credentials that headers hold.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Self::Nothing };
        let token = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
        match (token.map(|(_, token)| token.trim()), values.next()) {
            (Some(token), None) if !token.is_empty() => Self::Token(token),
            (Some(_) | None, _) => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_the_scheme() {
        assert_eq!(Presented::of(&HeaderMap::new()), Presented::Nothing);
        let mut headers = HeaderMap::new();
        for (value, token) in [
            ("Bearer clu_a_b", Some("clu_a_b")),
            ("bearer  clu_a_b ", Some("clu_a_b")),
            ("Basic YTpi", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("clu_a_b", None),
        ] {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            let expected = token.map_or(Presented::Unreadable, Presented::Token);
            assert_eq!(Presented::of(&headers), expected, "{value}");
        }
    }

    #[test]
    fn two_tokens_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Bearer clu_a_b".parse().unwrap());
        headers.append(AUTHORIZATION, "Bearer clu_c_d".parse().unwrap());
        assert_eq!(Presented::of(&headers), Presented::Unreadable);
    }
}
