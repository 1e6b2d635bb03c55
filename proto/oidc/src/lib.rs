//! Tokens of an identity provider, as OpenID Connect has them: signed JWTs (RFC 7519), checked with the
//! keys that their issuer publishes.
//!
//! Nothing here prints a token or a part of one.

mod algorithm;
mod claims;
#[cfg(test)]
mod fuzz_tests;
mod https;
mod issuer;
mod jwks;
mod source;
mod token;
mod url;
mod verifier;

pub use claims::{Claims, Expected};
pub use https::{HttpError, HttpsClient};
pub use issuer::{Look, Observer};
pub use jwks::{InvalidKeys, KeySet};
pub use source::{KeySource, SourceError};
pub use token::{Rejected, TOKEN_BYTES_MAX};
pub use url::{InvalidUrl, Url};
pub use verifier::Verifier;
