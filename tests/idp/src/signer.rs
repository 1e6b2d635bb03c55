//! Keys that sign tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair,
};
use serde_json::{Value, json};

/// Kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Signs with `EdDSA`.
    Ed25519,
    /// Signs with `ES256`.
    P256,
    /// Signs with `ES384`.
    P384,
}

/// A key with its id.
#[derive(Debug)]
pub struct Signer {
    id: String,
    kind: Kind,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl Signer {
    /// Makes a key of Ed25519.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self::of_kind(id, Kind::Ed25519)
    }

    /// Makes a key.
    #[must_use]
    pub fn of_kind(id: &str, kind: Kind) -> Self {
        let random = SystemRandom::new();
        let ecdsa = |kind| {
            let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            Key::Ecdsa(EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap())
        };
        let key = match kind {
            Kind::Ed25519 => {
                let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Key::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
            }
            Kind::P256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Kind::P384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        };
        Self { id: id.to_owned(), kind, key }
    }

    /// Returns the public key as it is published (JWK).
    #[must_use]
    pub fn jwk(&self) -> Value {
        match &self.key {
            Key::Ed25519(key) => json!({
                "kid": self.id, "use": "sig", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA",
                "x": encoded(key.public_key().as_ref()),
            }),
            Key::Ecdsa(key) => {
                let point = key.public_key().as_ref().split_first().unwrap().1;
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if self.kind == Kind::P256 { "P-256" } else { "P-384" };
                json!({
                    "kid": self.id, "kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y),
                })
            }
        }
    }

    /// Signs claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let algorithm = match self.kind {
            Kind::Ed25519 => "EdDSA",
            Kind::P256 => "ES256",
            Kind::P384 => "ES384",
        };
        self.sign_as(&json!({"alg": algorithm, "typ": "JWT", "kid": self.id}), claims)
    }

    /// Signs claims under any header.
    #[must_use]
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] = [header, claims].map(|part| encoded(part.to_string().as_bytes()));
        let message = format!("{header}.{claims}");
        let signature = match &self.key {
            Key::Ed25519(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
            Key::Ecdsa(key) => {
                let signed = key.sign(&SystemRandom::new(), message.as_bytes());
                signed.unwrap().as_ref().to_vec()
            }
        };
        format!("{message}.{}", encoded(&signature))
    }
}

/// Returns the set of the public keys (JWKS).
#[must_use]
pub fn jwks(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

/// Returns the claims of a token that is good for an hour.
#[must_use]
pub fn claims(issuer: &str, audience: &str, subject: &str) -> Value {
    let now = now().as_secs();
    json!({"iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + 3_600})
}

/// Returns the time since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a token's times are of the wall clock")]
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
