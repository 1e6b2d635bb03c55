//! Signed tokens: JWTs in their compact form (RFC 7515), read only as far as it takes to refuse them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::algorithm::Algorithm;

/// Longest token that is looked at. A client does not send a longer one, either.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Reason that a token is refused. The texts are for the log of a master and hold nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is longer than any token.
    #[error("it is too long")]
    TooLong,
    /// It is no signed token.
    #[error("it is no signed token in the compact form")]
    Form,
    /// Its signature is of a kind that is not accepted.
    #[error("its algorithm is not accepted")]
    Algorithm,
    /// The issuer has no such key.
    #[error("the issuer has no key of its kid")]
    UnknownKey,
    /// It was not signed with the key.
    #[error("its signature is wrong")]
    Signature,
    /// Its claims cannot be read.
    #[error("its claims cannot be read")]
    Claims,
    /// It was issued by somebody else.
    #[error("its issuer is another")]
    Issuer,
    /// It was issued for somebody else.
    #[error("its audience is another")]
    Audience,
    /// It has expired, or does not say when it does.
    #[error("it has expired, or has no expiry")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet")]
    TooEarly,
}

/// A token whose signature is still to be checked.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: Algorithm,
    /// Id of the key that is said to have signed it.
    pub(crate) key_id: String,
    /// Bytes that are signed.
    pub(crate) message: &'a [u8],
    payload: &'a str,
    pub(crate) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Members that must be understood. None of them is understood here.
    crit: Option<serde_json::Value>,
}

impl<'a> Unverified<'a> {
    /// Reads the header of a token.
    pub(crate) fn read(token: &'a str) -> Result<Self, Rejected> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Rejected::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Rejected::Form)?;
        let (header, payload) = message.split_once('.').ok_or(Rejected::Form)?;
        if payload.contains('.') {
            return Err(Rejected::Form);
        }
        let header: Header =
            serde_json::from_slice(&decoded(header)?).map_err(|_| Rejected::Form)?;
        if header.crit.is_some() {
            return Err(Rejected::Form);
        }
        let algorithm = Algorithm::named(&header.alg).ok_or(Rejected::Algorithm)?;
        let key_id = header.kid.ok_or(Rejected::UnknownKey)?;
        let signature = decoded(signature)?;
        Ok(Self { algorithm, key_id, message: message.as_bytes(), payload, signature })
    }

    /// Returns the signed bytes of the claims.
    pub(crate) fn payload(&self) -> Result<Vec<u8>, Rejected> {
        decoded(self.payload)
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Rejected> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Form)
}
