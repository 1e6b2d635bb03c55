//! The issuer of certificates on this master: its key, which lies in a file beside the log and never in
//! it, and what a certificate is issued with.

mod files;
mod keeper;
mod trust;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster_state::{Fingerprint, IssuerRecord, Timestamp};
use credentials::{Authority, Credentials, IssueError, Secret};
use parking_lot::Mutex;
use tokio::sync::MutexGuard;

pub(crate) use self::files::KeyFiles;
pub(crate) use self::keeper::keep_key;
pub(crate) use self::trust::cluster_trust;

/// The issuer's key is not what it should be, or cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// It is of another issuer, or damaged.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Its file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File { path: std::path::PathBuf, source: std::io::Error },
}

/// An issuer whose key this master holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// SHA-256 of the issuer's certificate.
    pub(crate) digest: Fingerprint,
    pub(crate) authority: Arc<Authority>,
    /// For other masters.
    pub(crate) key: Secret,
}

impl Held {
    /// Puts a key together with the issuer's certificate.
    pub(crate) fn open(wanted: &Wanted, key: Secret) -> Result<Self, KeyError> {
        let authority = Authority::open(&wanted.roots, &wanted.certificate, &key)?;
        Ok(Self { digest: wanted.digest, authority: Arc::new(authority), key })
    }
}

/// An issuer whose key this master should hold.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Certificates in PEM, one of which has signed the issuer's.
    pub(crate) roots: String,
    /// The issuer's certificate in PEM.
    pub(crate) certificate: String,
    /// SHA-256 of that.
    pub(crate) digest: Fingerprint,
}

impl Wanted {
    /// Returns the issuer in use, and the other one of a rotation.
    fn of(record: &IssuerRecord) -> Vec<Self> {
        let IssuerRecord { roots, certificate, digest, rotation, .. } = record.clone();
        let other = rotation.as_ref().map(|rotation| {
            let (_, other) = rotation.issuing();
            let (certificate, digest) = (other.certificate.clone(), other.digest);
            Self { roots: roots.clone(), certificate, digest }
        });
        let current = Self { roots: roots.clone(), certificate, digest };
        std::iter::once(current).chain(other).collect()
    }
}

/// The issuer on this master. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: KeyFiles,
    credentials: Option<Credentials>,
    life: Duration,
    /// That of the issuer in use, and during a rotation that of the other one.
    held: Mutex<Vec<Held>>,
    /// Issuers whose keys the files hold, as far as they were looked at.
    settled: Mutex<Vec<Fingerprint>>,
    /// Version of what is trusted.
    trusted: Mutex<u64>,
    /// Taken while an issuer is adopted, and by each look: each has the files to itself.
    adopting: tokio::sync::Mutex<()>,
}

impl Issuer {
    /// Creates it without a key. Certificates that it issues last so long.
    pub(crate) fn new(files: KeyFiles, credentials: Option<Credentials>, life: Duration) -> Self {
        let shared = Shared {
            files,
            credentials,
            life,
            held: Mutex::default(),
            settled: Mutex::default(),
            trusted: Mutex::default(),
            adopting: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the certificates of this master, if it has any.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.shared.credentials.as_ref()
    }

    /// Returns the lifetime of certificates.
    pub(crate) fn life(&self) -> Duration {
        self.shared.life
    }

    /// Returns the files of the key.
    pub(crate) fn files(&self) -> &KeyFiles {
        &self.shared.files
    }

    /// Returns the issuer with that certificate, if this master holds its key.
    pub(crate) fn held_of(&self, digest: &[u8]) -> Option<Held> {
        self.shared.held.lock().iter().find(|held| held.digest == *digest).cloned()
    }

    /// Returns the digests of the issuers whose keys this master holds.
    pub(crate) fn held(&self) -> Vec<Fingerprint> {
        self.shared.held.lock().iter().map(|held| held.digest).collect()
    }

    /// Holds a key from now on.
    fn put(&self, held: Held) {
        self.shared.held.lock().push(held);
    }

    /// Holds no other keys from now on.
    fn forget_but(&self, wanted: &[Wanted]) {
        let is_wanted = |held: &Held| wanted.iter().any(|one| one.digest == held.digest);
        self.shared.held.lock().retain(is_wanted);
    }

    /// Waits until no other adoption is under way here, and nobody looks at the files.
    pub(crate) async fn adopting(&self) -> MutexGuard<'_, ()> {
        self.shared.adopting.lock().await
    }
}

/// Returns a digest as people and messages write it.
pub(crate) fn hexadecimal(digest: &Fingerprint) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a time as the log writes it.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
