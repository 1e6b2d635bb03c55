//! Issues the certificates of a cluster.
//!
//! A root is trusted for ten years and needed only for making another issuer, so its key can be put
//! away. The issuer signs certificates for masters, workers and people.

mod issuer;
mod succession;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

pub use self::issuer::NewIssuer;
use self::issuer::sign;
pub use self::succession::{endorsed_root, joined_roots, root_of_issuer, roots_without};
use crate::certificate::{CertificateFault, issuer_cluster, not_after};
use crate::identity::{Identity, InvalidIdentity, cluster_uri};

/// Lifetime of a root.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// Lifetime of an issuer: those of the certificates that it signs end no later.
const ISSUER_LIFE: Duration = Duration::from_secs(5 * 365 * 24 * 3_600);
/// Certificates are valid from so long before they were made: clocks of machines differ.
pub(crate) const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// Longest common name (RFC 5280, appendix A.1).
const COMMON_NAME_MAX: usize = 64;

/// A private key as text, which no log shows.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for writing it to a file that nobody else reads.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A host name or an address in a certificate, for clients that check those: browsers, curl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host(String);

impl FromStr for Host {
    type Err = IssueError;

    fn from_str(text: &str) -> Result<Self, IssueError> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*');
        let is_name = (1..=253).contains(&text.len()) && text.chars().all(is_word);
        if text.parse::<IpAddr>().is_ok() || is_name {
            return Ok(Self(text.to_owned()));
        }
        Err(IssueError::Host(text.chars().filter(|c| !c.is_control()).take(253).collect()))
    }
}

impl Host {
    fn alternative_name(&self) -> Result<SanType, rcgen::Error> {
        match self.0.parse::<IpAddr>() {
            Ok(address) => Ok(SanType::IpAddress(address)),
            Err(_) => Ok(SanType::DnsName(self.0.as_str().try_into()?)),
        }
    }
}

/// A certificate cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The library refused.
    #[error("cannot make a certificate")]
    Library(#[from] rcgen::Error),
    /// A file of the authority is not what it should be.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(&'static str),
    /// The key of the issuer is of another one, or damaged.
    #[error("the key of the issuer cannot be read, or belongs to another certificate")]
    Key,
    /// The key of the root is of another one, or damaged.
    #[error("the key of the root cannot be read, or belongs to another certificate")]
    RootKey,
    /// No issuer can be made any more.
    #[error("the root was valid until {0}: make a new authority")]
    RootExpired(humantime::Rfc3339Timestamp),
    /// The name of the cluster cannot stand in a certificate.
    #[error(transparent)]
    Cluster(#[from] InvalidIdentity),
    /// The issuer is not of a cluster.
    #[error("the issuer's certificate: {0}")]
    Issuer(#[from] CertificateFault),
    /// Nothing can be issued any more.
    #[error("the issuer was valid until {0}: make a new one")]
    Expired(humantime::Rfc3339Timestamp),
    /// Those who trust the root would not believe the issuer.
    #[error("the issuer's certificate was not signed by the root beside it")]
    OtherRoot,
    /// The certificate is for another cluster.
    #[error("this authority is of cluster {ours}, and cannot name anybody of {theirs}")]
    OtherCluster { ours: String, theirs: String },
    /// Not a request for a certificate.
    #[error("the request for a certificate cannot be read, or its signature is wrong")]
    Request,
    /// A key that others might not understand, or might break.
    #[error("a key of this kind is not certified: use ECDSA P-256 or Ed25519")]
    KindOfKey,
    /// The key for which a certificate is wanted is no key.
    #[error("the key cannot be read")]
    OwnKey,
    /// Not a host.
    #[error("'{0}' is neither a host name nor an address")]
    Host(String),
}

/// Certificates and keys of a new authority, in PEM.
#[derive(Debug, Clone)]
pub struct NewAuthority {
    /// The certificate that everybody trusts.
    pub root: String,
    /// Key of the root: only for making another issuer.
    pub root_key: Secret,
    /// Signs other certificates.
    pub issuer: String,
    /// Key of the issuer.
    pub issuer_key: Secret,
}

/// A certificate with its key, in PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, and the issuer's after it.
    pub chain: String,
    /// Its key.
    pub key: Secret,
    /// End of its validity.
    pub not_after: SystemTime,
}

/// Issuer of one cluster's certificates.
pub struct Authority {
    cluster: String,
    root: CertificateDer<'static>,
    issuer_pem: String,
    not_after: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the root and the issuer of a cluster.
    ///
    /// # Errors
    ///
    /// When the name cannot stand in a certificate, or there is no randomness.
    pub fn create(cluster: &str, now: SystemTime) -> Result<NewAuthority, IssueError> {
        let uri = SanType::URI(cluster_uri(cluster)?.as_str().try_into()?);
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let root_params = authority_params(cluster, "root", &root_key, now, ROOT_LIFE);
        let root = root_params.self_signed(&root_key)?;
        let root_issuer = Issuer::from_params(&root_params, &root_key);
        let NewIssuer { issuer, issuer_key } = sign(cluster, uri, &root_issuer, now, None)?;
        Ok(NewAuthority {
            root: root.pem(),
            root_key: Secret(root_key.serialize_pem()),
            issuer,
            issuer_key,
        })
    }

    /// Opens an authority from its files' texts. Of several roots it takes the one that has signed the
    /// issuer.
    ///
    /// # Errors
    ///
    /// When one of them is damaged, or of another authority.
    pub fn open(root: &str, issuer: &str, issuer_key: &Secret) -> Result<Self, IssueError> {
        let read = |text: &str, what| {
            CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|_| IssueError::NoCertificate(what))
        };
        read(root, "the root's file")?;
        let certificate = read(issuer, "the issuer's file")?;
        let key = KeyPair::from_pem(issuer_key.reveal()).map_err(|_| IssueError::Key)?;
        if !is_key_of(&key, &certificate) {
            return Err(IssueError::Key);
        }
        let root = CertificateDer::pem_slice_iter(root.as_bytes())
            .filter_map(Result::ok)
            .find(|root| is_signed_by(root, &certificate))
            .ok_or(IssueError::OtherRoot)?;
        Ok(Self {
            cluster: issuer_cluster(&certificate)?,
            root,
            issuer_pem: issuer.to_owned(),
            not_after: not_after(&certificate)?,
            issuer: Issuer::from_ca_cert_der(&certificate, key)?,
        })
    }

    /// Returns the name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Returns the end of the issuer's validity.
    #[must_use]
    pub const fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Returns the SHA-256 of the issuer's certificate.
    ///
    /// # Errors
    ///
    /// When it is damaged.
    pub fn issuer_digest(&self) -> Result<[u8; 32], IssueError> {
        let issuer = CertificateDer::from_pem_slice(self.issuer_pem.as_bytes())
            .map_err(|_| IssueError::NoCertificate("the issuer's file"))?;
        Ok(Sha256::digest(issuer.as_ref()).into())
    }

    /// Returns the SHA-256 of the root's certificate, in hexadecimal digits, by which people and
    /// tokens name the authority.
    #[must_use]
    pub fn digest(&self) -> String {
        hexadecimal(Sha256::digest(self.root.as_ref()).iter())
    }

    /// Issues a certificate for a new key. It ends with the issuer's at the latest.
    ///
    /// # Errors
    ///
    /// When the holder is of another cluster, or the issuer has expired.
    pub fn issue(
        &self,
        holder: &Identity,
        hosts: &[Host],
        life: Duration,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        let not_after = self.end_of(life, now)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let chain = self.sign(&key, (holder, hosts), None, (now, not_after))?;
        let not_after = not_after_of(&chain)?;
        Ok(Issued { chain, key: Secret(key.serialize_pem()), not_after })
    }

    /// Certifies a public key. Returns the certificate in PEM, and the issuer's after it.
    pub(crate) fn sign(
        &self,
        key: &impl PublicKeyData,
        (holder, hosts): (&Identity, &[Host]),
        serial: Option<&[u8]>,
        (now, not_after): (SystemTime, SystemTime),
    ) -> Result<String, IssueError> {
        if holder.cluster() != self.cluster {
            let (ours, theirs) = (self.cluster.clone(), holder.cluster().to_owned());
            return Err(IssueError::OtherCluster { ours, theirs });
        }
        let mut params = CertificateParams::default();
        params.serial_number = serial.map(SerialNumber::from_slice);
        params.not_before = OffsetDateTime::from(now.checked_sub(BACKDATED).unwrap_or(now));
        params.not_after = OffsetDateTime::from(not_after);
        params.distinguished_name =
            distinguished_name(&self.cluster, &format!("{} {}", holder.role(), holder.name()));
        params.subject_alt_names = vec![SanType::URI(holder.to_string().as_str().try_into()?)];
        for host in hosts {
            params.subject_alt_names.push(host.alternative_name()?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if holder.role().serves() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(format!("{}{}", certificate.pem(), self.issuer_pem))
    }
}

fn hexadecimal<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn not_after_of(chain: &str) -> Result<SystemTime, IssueError> {
    let first = CertificateDer::from_pem_slice(chain.as_bytes())
        .map_err(|_| IssueError::NoCertificate("what was issued"))?;
    Ok(not_after(&first)?)
}

fn is_key_of(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(certificate.as_ref()).is_ok_and(|(_, certificate)| {
        certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
    })
}

fn is_signed_by(root: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let read = |der| X509Certificate::from_der(der).map(|(_, certificate)| certificate);
    let (Ok(root), Ok(issuer)) = (read(root.as_ref()), read(issuer.as_ref())) else {
        return false;
    };
    issuer.verify_signature(Some(root.public_key())).is_ok()
}

fn distinguished_name(cluster: &str, common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, cluster.chars().take(COMMON_NAME_MAX).collect::<String>());
    let short = common.chars().take(COMMON_NAME_MAX).collect::<String>();
    name.push(DnType::CommonName, short);
    name
}

/// Parameters of a certificate that signs others. The library's own defaults are valid until 4096,
/// say nothing of usages, and name no issuer. The name holds a part of the key's digest: of two
/// authorities with one name, the wrong one would be found and its signature be called bad.
fn authority_params(
    cluster: &str,
    kind: &str,
    key: &KeyPair,
    now: SystemTime,
    life: Duration,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = hexadecimal(Sha256::digest(key.public_key_raw()).as_slice().iter().take(4));
    params.not_before = OffsetDateTime::from(now.checked_sub(BACKDATED).unwrap_or(now));
    params.not_after = OffsetDateTime::from(now.checked_add(life).unwrap_or(now));
    params.distinguished_name = distinguished_name(cluster, &format!("{cluster} {kind} {digest}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.use_authority_key_identifier_extension = true;
    params
}
