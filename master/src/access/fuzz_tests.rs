//! Whatever a stranger presents as a token, and whatever is in the file of the first ones: it is
//! understood, or refused.

use cluster_fuzz::{Fuzz, mutated, mutated_text};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::bearer::Presented;
use super::{TokenFile, secret};

#[test]
fn a_token_is_understood_or_refused() {
    let valid = "[Bb]earer clu_[0-9a-z]{12}_[0-9a-z]{52}";
    Fuzz::of("tokens").run(mutated(valid.prop_map(String::into_bytes)), |bytes| {
        let Ok(value) = HeaderValue::from_bytes(&bytes) else { return };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value);
        let Presented::Token(token) = Presented::of(&headers) else { return };
        if let Some((id, secret)) = secret::parts(token) {
            assert_eq!(secret::whole(&id, secret), token, "one token has one text");
        }
    });
}

#[test]
fn a_file_of_tokens_is_understood_or_refused() {
    let line = "(# [a-z]{0,9}|[a-z]{1,9} (admin|operator|submitter|viewer) [0-9a-f]{32,40})?";
    let text = proptest::collection::vec(line, 0..5).prop_map(|lines| lines.join("\n"));
    Fuzz::of("files of tokens").run(mutated_text(text), |text| {
        if let Ok(file) = TokenFile::parse(&text) {
            assert!(file.len() <= text.lines().count());
        }
    });
}
