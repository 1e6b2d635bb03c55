//! Tokens that are accepted and refused, and keys that come and go.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fake_idp::{Kind, Provider, Signer, jwks};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::{HttpsClient, KeySource, Look, TOKEN_BYTES_MAX};

const ISSUER: &str = "https://id.example.com";
const NOW: Duration = Duration::from_secs(1_000_000);

fn expected() -> Expected {
    let leeway = Duration::from_secs(30);
    Expected { issuer: ISSUER.to_owned(), audience: "cloudai".to_owned(), leeway }
}

/// Claims of a good token, with others in their place; null removes one.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": "cloudai", "sub": "ada", "exp": 1_000_600});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn keys(signers: &[&Signer]) -> KeySet {
    KeySet::parse(jwks(signers).to_string().as_bytes()).unwrap()
}

fn verified(keys: &KeySet, token: &str) -> Result<Claims, Rejected> {
    verify_with(keys, &Unverified::read(token)?, &expected(), NOW)
}

#[test]
fn a_good_token_is_accepted_whatever_the_curve() {
    for kind in [Kind::Ed25519, Kind::P256, Kind::P384] {
        let signer = Signer::of_kind("k", kind);
        let token = signer.sign(&claims(&json!({"aud": ["other", "cloudai"], "nbf": 999_999.5})));
        let found = verified(&keys(&[&signer]), &token).unwrap();
        assert_eq!(found.texts("sub"), Some(vec!["ada"]), "{kind:?}");
    }
}

#[test]
fn a_token_decides_nothing_about_how_it_is_checked() {
    let signer = Signer::of_kind("k", Kind::P256);
    let keys = keys(&[&signer]);
    let good = signer.sign(&claims(&json!({})));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();

    let refused = |header: Value| verified(&keys, &signer.sign_as(&header, &claims(&json!({}))));
    for algorithm in ["none", "None", "HS256", "HS512", "es256", "ES256K", "RSA-OAEP", ""] {
        let header = json!({"alg": algorithm, "kid": "k"});
        assert_eq!(refused(header), Err(Rejected::Algorithm), "{algorithm}");
    }
    // The key is of another kind than the algorithm.
    for algorithm in ["EdDSA", "ES384", "RS256", "PS256"] {
        assert_eq!(refused(json!({"alg": algorithm, "kid": "k"})), Err(Rejected::Signature));
    }
    assert_eq!(refused(json!({"alg": "ES256"})), Err(Rejected::UnknownKey));
    assert_eq!(refused(json!({"alg": "ES256", "kid": "other"})), Err(Rejected::UnknownKey));
    let critical = json!({"alg": "ES256", "kid": "k", "crit": ["b64"], "b64": false});
    assert_eq!(refused(critical), Err(Rejected::Form));
    // A key in the header is nobody's.
    let stranger = Signer::of_kind("k", Kind::P256);
    let header = json!({"alg": "ES256", "kid": "k", "jwk": stranger.jwk()});
    let token = stranger.sign_as(&header, &claims(&json!({})));
    assert_eq!(verified(&keys, &token), Err(Rejected::Signature));

    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "kid": "k"}).to_string());
    let other_claims = URL_SAFE_NO_PAD.encode(claims(&json!({"sub": "root"})).to_string());
    for token in [
        format!("{header}.{payload}."),
        format!("{header}.{other_claims}.{signature}"),
        format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
    ] {
        assert_eq!(verified(&keys, &token), Err(Rejected::Signature), "{token}");
    }
}

#[test]
fn what_is_no_token_is_refused_before_it_is_read() {
    let keys = keys(&[&Signer::new("k")]);
    for text in ["", ".", "..", "a.b", "a.b.c.d", "a.b.c", "e30.e30.e30", "ä.ö.ü", "e30=.e30.e30"]
    {
        assert_eq!(verified(&keys, text), Err(Rejected::Form), "{text}");
    }
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(verified(&keys, &long), Err(Rejected::TooLong));
    let signer = Signer::new("k");
    let long = signer.sign(&claims(&json!({"note": "x".repeat(TOKEN_BYTES_MAX)})));
    assert_eq!(verified(&keys, &long), Err(Rejected::TooLong));
}

#[test]
fn a_token_must_be_for_us_from_the_issuer_and_of_now() {
    let signer = Signer::new("k");
    let keys = keys(&[&signer]);
    let refused = |changes: Value| verified(&keys, &signer.sign(&claims(&changes))).err();
    for issuer in [json!(null), json!("https://id.example.com/"), json!([ISSUER]), json!(1)] {
        assert_eq!(refused(json!({"iss": issuer})), Some(Rejected::Issuer));
    }
    for audience in [json!(null), json!("cloudai2"), json!([]), json!(["a", 1]), json!({})] {
        assert_eq!(refused(json!({"aud": audience})), Some(Rejected::Audience));
    }
    for expiry in [json!(null), json!("1000600"), json!(999_970), json!(0), json!(-1), json!(true)]
    {
        assert_eq!(refused(json!({"exp": expiry})), Some(Rejected::Expired), "{expiry}");
    }
    // Clocks may differ by the leeway.
    assert_eq!(refused(json!({"exp": 999_971})), None);
    assert_eq!(refused(json!({"nbf": 1_000_030})), None);
    assert_eq!(refused(json!({"nbf": 1_000_031})), Some(Rejected::TooEarly));
    assert_eq!(refused(json!({"nbf": "soon"})), Some(Rejected::Claims));
    let list = signer.sign(&json!(["iss", ISSUER]));
    assert_eq!(verified(&keys, &list), Err(Rejected::Claims));
}

#[test]
fn claims_are_found_by_name_or_path() {
    let signer = Signer::new("k");
    let more = json!({
        "groups": ["a", "b"], "realm_access": {"roles": ["c"]}, "https://example.com/role": "d",
        "mixed": ["a", 1], "number": 1, "a.b": "top", "a": {"b": "inner"},
    });
    let found = verified(&keys(&[&signer]), &signer.sign(&claims(&more))).unwrap();
    assert_eq!(found.texts("groups"), Some(vec!["a", "b"]));
    assert_eq!(found.texts("realm_access.roles"), Some(vec!["c"]));
    assert_eq!(found.texts("https://example.com/role"), Some(vec!["d"]));
    assert_eq!(found.texts("a.b"), Some(vec!["top"]));
    for name in ["mixed", "number", "none", "realm_access", "realm_access.no", "groups.0", ""] {
        assert_eq!(found.texts(name), None, "{name}");
    }
}

#[test]
fn keys_for_other_things_are_left_out() {
    let (mut encryption, mut nameless, mut secret) =
        (Signer::new("enc").jwk(), Signer::new("x").jwk(), Signer::new("hmac").jwk());
    encryption["use"] = json!("enc");
    nameless.as_object_mut().unwrap().remove("kid");
    secret["alg"] = json!("HS256");
    let shared = json!({"kty": "oct", "kid": "k", "k": "AAAA"});
    let useless = [encryption, nameless, secret, shared, json!("text"), json!({})];
    let document = json!({"keys": useless}).to_string();
    assert_eq!(KeySet::parse(document.as_bytes()), Err(crate::InvalidKeys::NoneUsable));
    let mut keys = useless.to_vec();
    keys.push(Signer::new("good").jwk());
    let found = KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    assert!(found.len() == 1 && found.contains("good"));
    let crowd = json!({"keys": vec![Signer::new("k").jwk(); 101]}).to_string();
    assert_eq!(KeySet::parse(crowd.as_bytes()), Err(crate::InvalidKeys::TooMany));
    for text in ["", "[]", "{}", "{\"keys\": 1}", "<html>"] {
        assert!(
            matches!(KeySet::parse(text.as_bytes()), Err(crate::InvalidKeys::Form(_))),
            "{text}"
        );
    }
}

/// A verifier that keeps its keys up to date, until it is dropped.
struct Kept {
    verifier: Verifier,
    looks: tokio::sync::watch::Receiver<Option<Look>>,
    _watch: JoinSet<()>,
}

impl Kept {
    async fn start(source: KeySource, issuer: &str) -> Self {
        let (seen, looks) = tokio::sync::watch::channel(None);
        let observer = Arc::new(move |look| {
            seen.send_replace(Some(look));
        });
        let expected = Expected { issuer: issuer.to_owned(), ..expected() };
        let client = HttpsClient::new(None).unwrap();
        let verifier = Verifier::new(expected, source, client, observer).await.unwrap();
        let mut watch = JoinSet::new();
        watch.spawn(verifier.clone().watch(CancellationToken::new()));
        Self { verifier, looks, _watch: watch }
    }

    async fn verify(&self, token: &str) -> Result<Claims, Rejected> {
        self.verifier.verify(token, NOW, true).await
    }
}

#[tokio::test]
async fn keys_are_discovered_and_strangers_do_not_have_them_fetched() {
    let (first, second) = (Signer::new("1"), Signer::new("2"));
    let provider = Provider::start(jwks(&[&first])).await;
    let issuer = provider.issuer().to_owned();
    let kept = Kept::start(KeySource::named("", &issuer).unwrap(), &issuer).await;
    let claims = claims(&json!({"iss": issuer}));
    // The token waits for the first look.
    assert!(kept.verify(&first.sign(&claims)).await.is_ok());
    assert_eq!(*kept.looks.borrow(), Some(Look { keys: 1, has_failed: false }));
    provider.publish(Some(jwks(&[&first, &second])));
    for _ in 0..100 {
        let made_up = Signer::new("made-up").sign(&claims);
        assert_eq!(kept.verify(&made_up).await, Err(Rejected::UnknownKey));
    }
    assert_eq!(provider.times_asked(), 1);
}

#[tokio::test]
async fn a_verifier_of_another_issuer_gets_no_keys() {
    let signer = Signer::new("1");
    let provider = Provider::start(jwks(&[&signer])).await;
    let source = KeySource::named("", &format!("{}/", provider.issuer())).unwrap();
    let kept = Kept::start(source, ISSUER).await;
    assert_eq!(kept.verify(&signer.sign(&claims(&json!({})))).await, Err(Rejected::UnknownKey));
    assert_eq!(*kept.looks.borrow(), Some(Look { keys: 0, has_failed: true }));
}

#[tokio::test]
async fn keys_stay_while_the_provider_is_out_of_order() {
    let signer = Signer::new("1");
    let provider = Provider::start(jwks(&[&signer])).await;
    let source = KeySource::named(&provider.keys_url(), ISSUER).unwrap();
    let mut kept = Kept::start(source, ISSUER).await;
    let token = signer.sign(&claims(&json!({})));
    assert!(kept.verify(&token).await.is_ok());
    provider.publish(None);
    // A quarter of an hour passes.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(15 * 60)).await;
    tokio::time::resume();
    let failed = kept.looks.wait_for(|look| look.is_some_and(|look| look.has_failed)).await;
    assert_eq!(*failed.unwrap(), Some(Look { keys: 1, has_failed: true }));
    assert!(kept.verify(&token).await.is_ok());
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_in_a_file_that_has_changed() {
    let (first, second) = (Signer::new("1"), Signer::new("2"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), jwks(&[&first]).to_string()).unwrap();
    let source = KeySource::named(file.path().to_str().unwrap(), ISSUER).unwrap();
    let mut kept = Kept::start(source, ISSUER).await;
    kept.looks.wait_for(Option::is_some).await.unwrap();
    let [old, new] = [&first, &second].map(|signer| signer.sign(&claims(&json!({}))));
    assert!(kept.verify(&old).await.is_ok());

    std::fs::write(file.path(), jwks(&[&second]).to_string()).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert!(kept.verify(&new).await.is_ok());
    assert_eq!(kept.verify(&old).await, Err(Rejected::UnknownKey));
}

#[tokio::test]
async fn a_file_without_keys_is_refused_at_once() {
    let client = HttpsClient::new(None).unwrap();
    for source in ["/no/such/file", "/dev/null"] {
        let source = KeySource::named(source, ISSUER).unwrap();
        let observer = Arc::new(|_: Look| {});
        assert!(Verifier::new(expected(), source, client.clone(), observer).await.is_err());
    }
    assert!(KeySource::named("http://id.example.com/keys", ISSUER).is_err());
}
