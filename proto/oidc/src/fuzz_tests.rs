//! Whatever a stranger presents or a provider publishes: it is read or refused, and nothing is accepted
//! that was not signed.

use std::time::Duration;

use cluster_fuzz::{Fuzz, mutated};
use fake_idp::{Signer, jwks};
use proptest::prelude::*;
use serde_json::json;

use crate::claims::{Claims, Expected};
use crate::jwks::KeySet;
use crate::token::Unverified;

#[test]
fn a_changed_token_is_refused() {
    let signer = Signer::new("k");
    let keys = KeySet::parse(jwks(&[&signer]).to_string().as_bytes()).unwrap();
    let good = signer.sign(&json!({"iss": "i", "aud": "a", "exp": 10, "sub": "ada"}));
    let original = good.clone();
    Fuzz::of("signed tokens").run(mutated(Just(good.into_bytes())), |bytes| {
        let Ok(text) = std::str::from_utf8(&bytes) else { return };
        let Ok(token) = Unverified::read(text) else { return };
        let Unverified { algorithm, key_id, message, signature, .. } = &token;
        let is_signed = keys.verifies(key_id, *algorithm, message, signature);
        assert_eq!(is_signed, text == original, "{text}");
    });
}

#[test]
fn claims_are_read_or_refused() {
    let payload =
        json!({"iss": "i", "aud": ["a"], "exp": 10, "nbf": 1, "roles": ["x"]}).to_string();
    let expected =
        Expected { issuer: "i".to_owned(), audience: "a".to_owned(), leeway: Duration::ZERO };
    Fuzz::of("claims").run(mutated(Just(payload.into_bytes())), |bytes| {
        if let Ok(claims) = Claims::read(&bytes, &expected, Duration::from_secs(5)) {
            assert_eq!(claims.texts("iss"), Some(vec!["i"]));
        }
    });
}

#[test]
fn published_keys_are_read_or_refused() {
    let document = jwks(&[&Signer::new("1"), &Signer::new("2")]).to_string();
    Fuzz::of("published keys").run(mutated(Just(document.into_bytes())), |bytes| {
        if let Ok(keys) = KeySet::parse(&bytes) {
            assert!(!keys.is_empty());
        }
    });
}
