//! Reads what a certificate says of its holder.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{Identity, InvalidIdentity, cluster_of};

/// The certificate does not name a holder as those of a cluster do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// Not a certificate.
    #[error("the certificate cannot be read")]
    Malformed,
    /// It has no SPIFFE id, or several (the standard allows one).
    #[error("the certificate names {0} holders by URI, and not one")]
    Holders(usize),
    /// Its URI is another one.
    #[error("the certificate names no holder: {0}")]
    Holder(#[from] InvalidIdentity),
}

/// Holder and validity of a certificate whose signatures are checked elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The holder.
    pub identity: Identity,
    /// Its serial number, bytes of the highest order first.
    pub serial: Vec<u8>,
    /// Begin of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
}

impl Certificate {
    /// Reads a certificate.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, CertificateFault> {
        let certificate = parsed(der)?;
        let identity = uri(&certificate)?.parse()?;
        let (not_before, not_after) = validity(&certificate);
        let serial = certificate.raw_serial().to_vec();
        Ok(Self { identity, serial, not_before, not_after })
    }
}

/// Returns the cluster that an issuer's certificate names.
pub(crate) fn issuer_cluster(der: &CertificateDer<'_>) -> Result<String, CertificateFault> {
    let certificate = parsed(der)?;
    Ok(cluster_of(uri(&certificate)?)?.to_owned())
}

/// Returns the end of a certificate's validity.
pub(crate) fn not_after(der: &CertificateDer<'_>) -> Result<SystemTime, CertificateFault> {
    Ok(validity(&parsed(der)?).1)
}

/// Returns the one URI among the names of a certificate.
fn uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, CertificateFault> {
    let extension =
        certificate.subject_alternative_name().map_err(|_| CertificateFault::Malformed)?;
    let names = extension.map(|extension| extension.value.general_names.as_slice());
    let uris: Vec<&str> = names
        .unwrap_or_default()
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    let &[uri] = uris.as_slice() else { return Err(CertificateFault::Holders(uris.len())) };
    Ok(uri)
}

pub(crate) fn parsed<'a>(
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateFault> {
    let (rest, certificate) =
        X509Certificate::from_der(der.as_ref()).map_err(|_| CertificateFault::Malformed)?;
    if rest.is_empty() { Ok(certificate) } else { Err(CertificateFault::Malformed) }
}

pub(crate) fn validity(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    (at(validity.not_before.timestamp()), at(validity.not_after.timestamp()))
}

/// Returns the time of a Unix timestamp; times before 1970 are that.
fn at(seconds: i64) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(seconds).unwrap_or(SystemTime::UNIX_EPOCH)
}
