//! Describes the certificates of a file, for people.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;

use crate::certificate::{CertificateFault, parsed, validity};

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Name of the holder, as the certificate writes it.
    pub subject: String,
    /// SPIFFE id of the holder, if there is one.
    pub holder: Option<String>,
    /// Host names and addresses.
    pub hosts: Vec<String>,
    /// True if it vouches for others.
    pub is_authority: bool,
    /// Begin of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
    /// Its SHA-256, in hexadecimal digits.
    pub digest: String,
}

/// Reads the certificates of a text in PEM.
///
/// # Errors
///
/// When there is none, or one cannot be read.
pub fn describe(pem: &str) -> Result<Vec<Description>, CertificateFault> {
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| CertificateFault::Malformed)?;
    if read.is_empty() {
        return Err(CertificateFault::Malformed);
    }
    read.iter().map(described).collect()
}

fn described(der: &CertificateDer<'_>) -> Result<Description, CertificateFault> {
    let certificate = parsed(der)?;
    let extension =
        certificate.subject_alternative_name().map_err(|_| CertificateFault::Malformed)?;
    let names = extension.map(|extension| extension.value.general_names.as_slice());
    let names = names.unwrap_or_default();
    let uri = |name: &GeneralName<'_>| {
        if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None }
    };
    let (not_before, not_after) = validity(&certificate);
    Ok(Description {
        subject: certificate.subject().to_string(),
        holder: names.iter().find_map(uri),
        hosts: names.iter().filter_map(host).collect(),
        is_authority: certificate.is_ca(),
        not_before,
        not_after,
        digest: Sha256::digest(der.as_ref()).iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some((*name).to_owned());
    }
    let GeneralName::IPAddress(bytes) = name else { return None };
    let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    let v6 = <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
    v4.or(v6).ok()
}
