//! Public keys of an issuer, as it publishes them (JWKS, RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use crate::algorithm::Algorithm;

/// Most keys of one issuer: two or three are usual, and a few more while they are replaced.
const KEYS_MAX: usize = 100;
/// Sizes of RSA keys in bytes, without the zeros in front: shorter ones can be factored, and longer ones
/// keep a master busy.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Public keys of an issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// A document does not hold public keys that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// It is something else.
    #[error("this is no set of keys (JWKS): {0}")]
    Form(String),
    /// There are too many.
    #[error("there are more than {KEYS_MAX} keys")]
    TooMany,
    /// None is for signatures that are accepted.
    #[error(
        "none of the keys can be used: each needs a kid and must be RSA of 2048 to 4096 bits, P-256, \
         P-384 or Ed25519, for signatures"
    )]
    NoneUsable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: String,
    /// The only algorithm that it is for, if it says so.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// A key as it is published; other members say nothing that matters here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a published set. Keys that are not for signatures that are accepted are left out.
    ///
    /// # Errors
    ///
    /// When nothing usable is in it.
    pub fn parse(document: &[u8]) -> Result<Self, InvalidKeys> {
        let document: Document =
            serde_json::from_slice(document).map_err(|error| InvalidKeys::Form(form_of(&error)))?;
        if document.keys.len() > KEYS_MAX {
            return Err(InvalidKeys::TooMany);
        }
        let jwks = document.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys = jwks.filter_map(usable).collect::<Vec<_>>();
        if keys.is_empty() { Err(InvalidKeys::NoneUsable) } else { Ok(Self { keys }) }
    }

    /// Returns the number of keys.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns true if there is no key.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns true if a key has that id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// Returns true if a key of that id made the signature with that algorithm.
    pub(crate) fn verifies(
        &self,
        id: &str,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.id == id && key.only.is_none_or(|only| only == algorithm));
        fitting.any(|key| key.material.verifies(algorithm, message, signature))
    }
}

impl Material {
    /// The kind of the key decides which algorithms it is for, and not the token.
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |parameters| match self {
            Self::Rsa { modulus: n, exponent: e } => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => false,
        };
        let is_of = |kind: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(kind, key).verify(message, signature).is_ok()
        };
        match (algorithm, self) {
            (Algorithm::Rs256, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            (Algorithm::Ps256, _) => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            (Algorithm::Ps384, _) => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            (Algorithm::Ps512, _) => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            (Algorithm::Es256, Self::P256(key)) => is_of(&signature::ECDSA_P256_SHA256_FIXED, key),
            (Algorithm::Es384, Self::P384(key)) => is_of(&signature::ECDSA_P384_SHA384_FIXED, key),
            (Algorithm::EdDsa, Self::Ed25519(key)) => is_of(&signature::ED25519, key),
            (
                Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa,
                Self::Rsa { .. } | Self::P256(_) | Self::P384(_) | Self::Ed25519(_),
            ) => false,
        }
    }
}

/// Returns a published key, if it is for signatures that are accepted.
fn usable(jwk: Jwk) -> Option<Key> {
    let Jwk { kty, kid, purpose, alg, crv, n, e, x, y } = jwk;
    if purpose.is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let only = match alg {
        Some(alg) => Some(Algorithm::named(&alg)?),
        None => None,
    };
    let material = match (kty.as_str(), crv.as_deref()) {
        ("RSA", _) => {
            let (modulus, exponent) = (number(&n?)?, number(&e?)?);
            if !RSA_BYTES.contains(&modulus.len()) {
                return None;
            }
            Material::Rsa { modulus, exponent }
        }
        ("EC", Some("P-256")) => Material::P256(point(&x?, &y?, 32)?),
        ("EC", Some("P-384")) => Material::P384(point(&x?, &y?, 48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(sized(&x?, 32)?),
        _ => return None,
    };
    Some(Key { id: kid.filter(|id| !id.is_empty())?, only, material })
}

/// Decodes a number, without the zeros in front.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let digits = bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    (!digits.is_empty()).then_some(digits)
}

fn sized(text: &str, size: usize) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == size)
}

/// Returns a point of a curve as ring wants it: uncompressed (SEC 1).
fn point(x: &str, y: &str, size: usize) -> Option<Vec<u8>> {
    Some([vec![4], sized(x, size)?, sized(y, size)?].concat())
}

/// Says where a document stops to be JSON, without repeating any of it.
fn form_of(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => "it has no list 'keys'".to_owned(),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => format!("it is no JSON at line {}", error.line()),
    }
}
