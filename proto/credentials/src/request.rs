//! Requests for certificates: a public key, and the proof that whoever asks has the private one. A
//! request says nothing else that counts: the issuer decides about name, role and lifetime.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKey, PublicKeyData,
};
use rustls::pki_types::CertificateSigningRequestDer;
use sha2::{Digest, Sha256};

use crate::authority::{Authority, Host, IssueError, Secret};
use crate::identity::Identity;

/// Longest request: a few hundred bytes hold what counts.
const REQUEST_BYTES_MAX: usize = 4 << 10;
/// Bytes of a public key of ECDSA P-256 (an uncompressed point), and of Ed25519.
const P256_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;

/// A request that proves that its sender has the private key.
#[derive(Debug)]
pub struct CertificateRequest {
    key: PublicKey,
}

impl CertificateRequest {
    /// Reads a request (PKCS #10) and checks its signature.
    ///
    /// # Errors
    ///
    /// When it is none, is signed by another key, or the key is of a kind that is not certified.
    pub fn read(der: &[u8]) -> Result<Self, IssueError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(IssueError::Request);
        }
        let der = CertificateSigningRequestDer::from(der);
        let key = CertificateSigningRequestParams::from_der(&der)
            .map_err(|_| IssueError::Request)?
            .public_key;
        let length = key.der_bytes().len();
        let is_known = *key.algorithm() == PKCS_ECDSA_P256_SHA256 && length == P256_BYTES
            || *key.algorithm() == PKCS_ED25519 && length == ED25519_BYTES;
        if is_known { Ok(Self { key }) } else { Err(IssueError::KindOfKey) }
    }

    /// Returns the SHA-256 of the public key.
    #[must_use]
    pub fn key_digest(&self) -> [u8; 32] {
        Sha256::digest(self.key.subject_public_key_info()).into()
    }
}

/// Draws a key for a certificate.
///
/// # Errors
///
/// When there is no randomness.
pub fn draw_key() -> Result<Secret, IssueError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(Secret::new(key.serialize_pem()))
}

/// Makes a request for a certificate of a key.
///
/// # Errors
///
/// When the key cannot be read, or is of a kind that is not certified.
pub fn request(key: &Secret) -> Result<Vec<u8>, IssueError> {
    let key = KeyPair::from_pem(key.reveal()).map_err(|_| IssueError::OwnKey)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    CertificateRequest::read(request.der()).map(|_| request.der().to_vec())
}

impl Authority {
    /// Returns the end of a certificate that is issued now: no later than the issuer's.
    ///
    /// # Errors
    ///
    /// When the issuer has expired.
    pub fn end_of(&self, life: Duration, now: SystemTime) -> Result<SystemTime, IssueError> {
        let last = self.not_after();
        if now >= last {
            return Err(IssueError::Expired(humantime::format_rfc3339_seconds(last)));
        }
        Ok(now.checked_add(life).map_or(last, |end| end.min(last)))
    }

    /// Certifies the key of a request under a serial number. Returns the certificate in PEM, and the
    /// issuer's after it.
    ///
    /// # Errors
    ///
    /// When the holder is of another cluster, or the issuer has expired.
    pub fn certify(
        &self,
        request: &CertificateRequest,
        (holder, hosts): (&Identity, &[Host]),
        serial: &[u8],
        (now, not_after): (SystemTime, SystemTime),
    ) -> Result<String, IssueError> {
        self.sign(&request.key, (holder, hosts), Some(serial), (now, not_after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_refused() {
        let key = draw_key().unwrap();
        let made = request(&key).unwrap();
        for at in [0, made.len() / 2, made.len() - 1] {
            let damaged = made.iter().enumerate().map(|(place, byte)| byte ^ u8::from(place == at));
            assert!(CertificateRequest::read(&damaged.collect::<Vec<_>>()).is_err(), "byte {at}");
        }
        for bytes in [&[][..], b"no request", &[0x30; 5_000]] {
            assert!(CertificateRequest::read(bytes).is_err());
        }
        assert!(request(&Secret::new("no key".to_owned())).is_err());
    }
}
