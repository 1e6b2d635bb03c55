//! Reads certificates, keys and what is trusted from files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use humantime::{Rfc3339Timestamp, format_rfc3339_seconds};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::certificate::{Certificate, CertificateFault, not_after};
use crate::cluster_trust::ClusterTrust;
use crate::roots::{RootFault, Roots};

/// Permissions of a key's file that let others read it.
const READ_BY_OTHERS: u32 = 0o077;
/// Largest file of certificates: hundreds fit.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Files of one who holds a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate in PEM, and the issuers' after it.
    pub certificate: PathBuf,
    /// Its key in PEM, which nobody else may read.
    pub key: PathBuf,
    /// Certificates that are trusted to issue others.
    pub trusted: PathBuf,
}

/// Files of one who may hold no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFiles {
    /// Certificates that are trusted to issue others.
    pub trusted: PathBuf,
    /// Certificate and key, if there are.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Changes of that by the cluster, if there are any: see [`crate::ClusterTrust`].
    pub cluster: Option<PathBuf>,
}

impl From<Files> for TrustFiles {
    fn from(files: Files) -> Self {
        let own = Some((files.certificate, files.key));
        Self { trusted: files.trusted, own, cluster: None }
    }
}

impl TrustFiles {
    fn paths(&self) -> impl Iterator<Item = &Path> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        let trusted = std::iter::once(&self.trusted).chain(&self.cluster);
        trusted.chain(own).map(PathBuf::as_path)
    }
}

/// Certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file is too large for what it should hold.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// There is nothing in it.
    #[error("{} holds no {what} in PEM", path.display())]
    Empty { path: PathBuf, what: &'static str },
    /// Others could use the key.
    #[error("{} can be read by others (mode {mode:03o}): chmod 600 it", path.display())]
    KeyIsOpen { path: PathBuf, mode: u32 },
    /// The key is of no kind that is supported.
    #[error("the key in {} cannot be used: {source}", path.display())]
    Key { path: PathBuf, source: rustls::Error },
    /// Certificate and key are of different pairs.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    OtherKey { key: PathBuf, certificate: PathBuf },
    /// The certificate names nobody.
    #[error("{}: {source}", path.display())]
    Certificate { path: PathBuf, source: CertificateFault },
    /// Its time is over.
    #[error(
        "the certificate in {} was valid until {until}, and this machine's clock says {now}: \
         replace it, or set the clock", path.display()
    )]
    Expired { path: PathBuf, until: Rfc3339Timestamp, now: Rfc3339Timestamp },
    /// Its time has not come.
    #[error(
        "the certificate in {} is valid from {from} on, and this machine's clock says {now}: \
         set the clock", path.display()
    )]
    NotYet { path: PathBuf, from: Rfc3339Timestamp, now: Rfc3339Timestamp },
    /// Others would not believe it.
    #[error("{} is not vouched for by {}: {source}", certificate.display(), trusted.display())]
    Untrusted { certificate: PathBuf, trusted: PathBuf, source: rustls::Error },
    /// Others know this process by another name.
    #[error("the certificate is now that of {now}, and this process is {before}")]
    OtherHolder { now: String, before: String },
    /// None of the issuers is valid.
    #[error("{} holds no certificate that is valid", .0.display())]
    NoRoot(PathBuf),
    /// An issuer cannot be trusted, or not now.
    #[error("{}: {source}", path.display())]
    Root { path: PathBuf, source: RootFault },
}

/// Certificates that were read from files.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) roots: Roots,
    pub(crate) own: Option<Own>,
}

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) certificate: Certificate,
    pub(crate) key: Arc<CertifiedKey>,
    /// End of the validity of the whole chain, and of what is trusted to vouch for it.
    pub(crate) not_after: SystemTime,
    /// SHA-256 of the trusted certificate that vouches for it; absent before that is looked for.
    pub(crate) root: Option<[u8; 32]>,
}

impl Material {
    /// Reads the files and checks that they fit together at that time.
    pub(crate) fn read(files: &TrustFiles, now: SystemTime) -> Result<Self, CredentialsError> {
        let path = &files.trusted;
        let fault = |source| CredentialsError::Root { path: path.clone(), source };
        let roots = Roots::of(trusted(files)?).map_err(fault)?;
        let outdated = roots.faults(now);
        let has_valid = !roots.at(now).is_empty();
        let own = files.own.as_ref();
        let own = own.map(|(certificate, key)| read_own(certificate, key, now)).transpose()?;
        let mut material = Self { roots, own };
        let vouched = material.check(files, now).and_then(|()| {
            // Without a certificate of one's own, one of them is enough to believe somebody.
            if has_valid { Ok(()) } else { Err(CredentialsError::NoRoot(path.clone())) }
        });
        match (vouched, outdated.into_iter().next()) {
            (Ok(()), _) => Ok(material),
            (Err(_), Some(outdated)) => Err(fault(outdated)),
            (Err(error), None) => Err(error),
        }
    }

    /// Checks that others who trust the same would believe the certificate, and takes in for how long.
    fn check(&mut self, files: &TrustFiles, now: SystemTime) -> Result<(), CredentialsError> {
        let (Some(own), Some((certificate, _))) = (&mut self.own, &files.own) else {
            return Ok(());
        };
        let (until, root) = self.roots.vouch(&own.key.cert, now).map_err(|source| {
            let (certificate, trusted) = (certificate.clone(), files.trusted.clone());
            CredentialsError::Untrusted { certificate, trusted, source }
        })?;
        own.not_after = own.not_after.min(until);
        own.root = Some(root);
        Ok(())
    }
}

fn read_own(path: &Path, key_path: &Path, now: SystemTime) -> Result<Own, CredentialsError> {
    let chain = certificates(path)?;
    let fault = |source| CredentialsError::Certificate { path: path.to_owned(), source };
    let first = chain.first().map(Certificate::read);
    let certificate = first.unwrap_or(Err(CertificateFault::Malformed)).map_err(fault)?;
    check_time(path, &certificate, now)?;
    let ends = chain.iter().map(not_after).collect::<Result<Vec<_>, _>>().map_err(fault)?;
    let not_after = ends.into_iter().min().unwrap_or(certificate.not_after);

    let key = read_key(key_path)?;
    let signer = any_supported_type(&key)
        .map_err(|source| CredentialsError::Key { path: key_path.to_owned(), source })?;
    let key = CertifiedKey::new(chain, signer);
    key.keys_match().map_err(|_| CredentialsError::OtherKey {
        key: key_path.to_owned(),
        certificate: path.to_owned(),
    })?;
    Ok(Own { certificate, key: Arc::new(key), not_after, root: None })
}

fn check_time(
    path: &Path,
    certificate: &Certificate,
    now: SystemTime,
) -> Result<(), CredentialsError> {
    let (path, shown) = (path.to_owned(), format_rfc3339_seconds(now));
    if now >= certificate.not_after {
        let until = format_rfc3339_seconds(certificate.not_after);
        return Err(CredentialsError::Expired { path, until, now: shown });
    }
    if now < certificate.not_before {
        let from = format_rfc3339_seconds(certificate.not_before);
        return Err(CredentialsError::NotYet { path, from, now: shown });
    }
    Ok(())
}

/// Reads what is trusted.
fn trusted(files: &TrustFiles) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let of_file = certificates(&files.trusted)?;
    let Some(path) = files.cluster.as_ref().filter(|path| path.exists()) else {
        return Ok(of_file);
    };
    let said = ClusterTrust::read(&String::from_utf8_lossy(&read(path)?));
    Ok(said.with(of_file))
}

/// Reads a file's certificates, of which there is at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let empty = || CredentialsError::Empty { path: path.to_owned(), what: "certificate" };
    let text = read(path)?;
    let read = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| empty())?;
    if read.is_empty() { Err(empty()) } else { Ok(read) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    let unreadable = |source| CredentialsError::Read { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(unreadable)?.mode() & 0o777;
    if mode & READ_BY_OTHERS != 0 {
        return Err(CredentialsError::KeyIsOpen { path: path.to_owned(), mode });
    }
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| CredentialsError::Empty { path: path.to_owned(), what: "private key" })
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    let unreadable = |source| CredentialsError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(CredentialsError::TooLarge(path.to_owned()));
    }
    fs::read(path).map_err(unreadable)
}

/// Stamps that tell when a file was replaced. A link that points elsewhere now shows another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamps(Vec<Option<[i64; 6]>>);

impl Stamps {
    /// Looks at the files; one that is not there has no stamp.
    pub(crate) fn of(files: &TrustFiles) -> Self {
        let stamp = |path: &Path| {
            let file = fs::metadata(path).ok()?;
            let (inode, length) = (file.ino().cast_signed(), file.len().cast_signed());
            let (changed, nanos) = (file.ctime(), file.ctime_nsec());
            Some([inode, length, file.mtime(), file.mtime_nsec(), changed, nanos])
        };
        Self(files.paths().map(stamp).collect())
    }
}
