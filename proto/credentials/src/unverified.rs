//! Believes any server, for the one question that needs no belief: what the roots of a cluster are,
//! whose digest is known from elsewhere.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::parties::Protocol;
use crate::verify::provider;

/// End of a certificate in PEM.
pub(crate) const END: &str = "-----END CERTIFICATE-----";

/// Returns the certificate with such a SHA-256 (in hexadecimal digits) among those of a text in PEM,
/// itself in PEM. Whoever names the digest has vouched for it.
#[must_use]
pub fn root_of_digest(roots: &str, digest: &str) -> Option<String> {
    let is_meant = |block: &&str| {
        let Ok(root) = CertificateDer::from_pem_slice(block.as_bytes()) else { return false };
        let found = Sha256::digest(root.as_ref());
        let found = found.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        found == digest.to_ascii_lowercase()
    };
    let root = roots.split_inclusive(END).find(is_meant)?;
    Some(format!("{}\n", root.trim()))
}

/// Returns the configuration of a client that shows nothing and believes anybody.
pub(crate) fn client_config(protocol: Protocol) -> Result<Arc<ClientConfig>, Error> {
    let provider = provider();
    let verifier = Anybody { provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Believes servers of any name and chain.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
