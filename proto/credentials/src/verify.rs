//! Decides whom to believe: a chain to what is trusted, the right cluster, and a holder of the
//! expected kind. Host names do not count, because members may move.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use crate::certificate::Certificate;
use crate::identity::{Identity, Role};
use crate::parties::{Callers, Expected};
use crate::revocations::Revocations;

/// The holder is not the one who was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongHolder {
    #[error("it is {found}, of another cluster than {ours}")]
    Cluster { found: Identity, ours: String },
    #[error("it is {found}, and no {expected}")]
    Role { found: Identity, expected: Role },
    #[error("it is {found}, whose certificate was revoked")]
    Revoked { found: Identity },
    #[error("it is {found}, and not {expected}")]
    Name { found: Identity, expected: String },
}

/// Algorithms and randomness of all connections.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Checks that a chain leads from its first certificate to one that is trusted.
pub(crate) fn check_chain(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'_>],
    now: SystemTime,
) -> Result<(), Error> {
    let (leaf, issuers) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    verifier.verify_client_cert(leaf, issuers, UnixTime::since_unix_epoch(now)).map(|_| ())
}

fn holder(certificate: &CertificateDer<'_>) -> Result<Identity, Error> {
    Ok(Certificate::read(certificate).map_err(refused)?.identity)
}

fn check_cluster(found: Identity, ours: Option<&str>) -> Result<Identity, Error> {
    match ours {
        Some(ours) if ours != found.cluster() => {
            Err(refused(WrongHolder::Cluster { found, ours: ours.to_owned() }))
        }
        Some(_) | None => Ok(found),
    }
}

fn check_role(found: Identity, expected: Role) -> Result<Identity, Error> {
    if found.role() == expected {
        return Ok(found);
    }
    Err(refused(WrongHolder::Role { found, expected }))
}

fn refused(error: impl StdError + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Believes servers of one's own cluster.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) provider: Arc<CryptoProvider>,
    /// The cluster, if it is known.
    pub(crate) cluster: Option<String>,
    pub(crate) expected: Expected,
    /// Certificates that are believed no longer, if somebody knows them.
    pub(crate) revocations: Option<Revocations>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        let shown = Certificate::read(end_entity).map_err(refused)?;
        let is_revoked = self.revocations.as_ref().is_some_and(|known| known.have(&shown));
        let found = check_cluster(shown.identity, self.cluster.as_deref())?;
        if is_revoked {
            return Err(refused(WrongHolder::Revoked { found }));
        }
        match &self.expected {
            Expected::Master => check_role(found, Role::Master)?,
            Expected::Worker(name) => {
                let found = check_role(found, Role::Worker)?;
                if found.name() != name.as_ref() {
                    let expected = name.as_ref().to_owned();
                    return Err(refused(WrongHolder::Name { found, expected }));
                }
                found
            }
        };
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

/// Believes callers of one's own cluster.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    cluster: String,
    callers: Callers,
}

impl ClientVerifier {
    pub(crate) fn new(
        roots: Arc<RootCertStore>,
        provider: Arc<CryptoProvider>,
        cluster: String,
        callers: Callers,
    ) -> Result<Self, Error> {
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let builder = match callers {
            Callers::Anyone => builder.allow_unauthenticated(),
            Callers::Masters => builder,
        };
        let chain = builder.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(Self { chain, cluster, callers })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let found = check_cluster(holder(end_entity)?, Some(&self.cluster))?;
        match self.callers {
            Callers::Anyone => {}
            Callers::Masters => drop(check_role(found, Role::Master)?),
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
