//! The issuer of certificates on this master: its key, which lies in a file beside the log and never in
//! it, and what a certificate is issued with.

mod files;
mod keeper;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cluster_state::{Fingerprint, IssuerRecord, Timestamp};
use credentials::{Authority, Credentials, IssueError, Secret};
use parking_lot::Mutex;
use tokio::sync::MutexGuard;

pub(crate) use self::files::KeyFiles;
pub(crate) use self::keeper::keep_key;

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
    pub(crate) fn open(record: &IssuerRecord, key: Secret) -> Result<Self, KeyError> {
        let authority = Authority::open(&record.roots, &record.certificate, &key)?;
        Ok(Self { digest: record.digest, authority: Arc::new(authority), key })
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
    held: Mutex<Option<Held>>,
    /// Taken while an issuer is adopted: each adoption has the file to itself.
    adopting: tokio::sync::Mutex<()>,
}

impl Issuer {
    /// Creates it without a key. Certificates that it issues last so long.
    pub(crate) fn new(files: KeyFiles, credentials: Option<Credentials>, life: Duration) -> Self {
        let (held, adopting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { shared: Arc::new(Shared { files, credentials, life, held, adopting }) }
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

    /// Returns the issuer whose key this master holds.
    pub(crate) fn held(&self) -> Option<Held> {
        self.shared.held.lock().clone()
    }

    /// Returns that issuer, if it is this one.
    pub(crate) fn held_of(&self, digest: &Fingerprint) -> Option<Held> {
        self.held().filter(|held| held.digest == *digest)
    }

    /// Holds a key from now on.
    fn put(&self, held: Held) {
        *self.shared.held.lock() = Some(held);
    }

    /// Waits until no other adoption is under way here.
    pub(crate) async fn adopting(&self) -> MutexGuard<'_, ()> {
        self.shared.adopting.lock().await
    }
}

/// Returns a time as the log writes it.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
