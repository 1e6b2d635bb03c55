//! Issuers, of which a root may have several, one after the other.

use std::time::SystemTime;

use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, SanType, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;

use super::{Authority, ISSUER_LIFE, IssueError, Secret, authority_params, is_key_of};
use crate::certificate::{issuer_cluster, not_after};
use crate::identity::cluster_uri;

/// Certificate and key of a new issuer, in PEM.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// Signs other certificates.
    pub issuer: String,
    /// Key of the issuer.
    pub issuer_key: Secret,
}

impl Authority {
    /// Makes another issuer of the cluster for a root that exists. It ends with the root at the latest.
    ///
    /// # Errors
    ///
    /// When the key is not the root's, the root has ended, or the name cannot stand in a certificate.
    pub fn create_issuer(
        cluster: &str,
        root: &str,
        root_key: &Secret,
        now: SystemTime,
    ) -> Result<NewIssuer, IssueError> {
        let uri = SanType::URI(cluster_uri(cluster)?.as_str().try_into()?);
        let root = CertificateDer::from_pem_slice(root.as_bytes())
            .map_err(|_| IssueError::NoCertificate("the root's file"))?;
        let key = KeyPair::from_pem(root_key.reveal()).map_err(|_| IssueError::RootKey)?;
        if !is_key_of(&key, &root) {
            return Err(IssueError::RootKey);
        }
        let root_ends = not_after(&root)?;
        if now >= root_ends {
            return Err(IssueError::RootExpired(humantime::format_rfc3339_seconds(root_ends)));
        }
        let root = Issuer::from_ca_cert_der(&root, key)?;
        sign(cluster, uri, &root, now, Some(root_ends))
    }

    /// Returns the cluster that an issuer's certificate names.
    ///
    /// # Errors
    ///
    /// When it is no certificate of an issuer.
    pub fn cluster_of_issuer(issuer: &str) -> Result<String, IssueError> {
        let issuer = CertificateDer::from_pem_slice(issuer.as_bytes())
            .map_err(|_| IssueError::NoCertificate("the issuer's file"))?;
        Ok(issuer_cluster(&issuer)?)
    }
}

/// Makes an issuer, which ends at `end` at the latest.
pub(super) fn sign(
    cluster: &str,
    uri: SanType,
    root: &Issuer<'_, impl SigningKey>,
    now: SystemTime,
    end: Option<SystemTime>,
) -> Result<NewIssuer, IssueError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = authority_params(cluster, "issuer", &key, now, ISSUER_LIFE);
    params.not_after =
        end.map_or(params.not_after, |end| params.not_after.min(OffsetDateTime::from(end)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.subject_alt_names = vec![uri];
    let issuer = params.signed_by(&key, root)?.pem();
    Ok(NewIssuer { issuer, issuer_key: Secret(key.serialize_pem()) })
}
