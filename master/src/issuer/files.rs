//! The files of the issuer's key: the one in use, and one that was handed over and is not adopted yet.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cluster_state::IssuerRecord;
use credentials::{Secret, replace_file};

use super::{Held, KeyError};

/// Name of the file in the data directory, which nobody else may read.
const NAME: &str = "issuer.key";
/// Name of the file with a key that the cluster has not adopted yet.
const NAME_NEXT: &str = "issuer.key.next";
/// Mode of both.
const MODE: u32 = 0o600;

/// Files of the issuer's key.
#[derive(Debug, Clone)]
pub(crate) struct KeyFiles {
    current: PathBuf,
    next: PathBuf,
}

impl KeyFiles {
    /// Names the files of a data directory.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self { current: data_dir.join(NAME), next: data_dir.join(NAME_NEXT) }
    }

    /// Puts a key aside that the cluster may adopt.
    pub(crate) fn put_aside(&self, key: &Secret) -> Result<(), KeyError> {
        write(&self.next, key)
    }

    /// Writes the key that is in use.
    pub(super) fn write(&self, key: &Secret) -> Result<(), KeyError> {
        write(&self.current, key)
    }

    /// Looks for the key of an issuer among the files. One that was put aside becomes the one in use.
    pub(super) fn find(&self, record: &IssuerRecord) -> Result<Option<Held>, KeyError> {
        if let Some(key) = read(&self.current)?
            && let Ok(held) = Held::open(record, key)
        {
            return Ok(Some(held));
        }
        let Some(key) = read(&self.next)? else { return Ok(None) };
        let Ok(held) = Held::open(record, key) else { return Ok(None) };
        write(&self.current, &held.key)?;
        match fs::remove_file(&self.next) {
            // Another look was faster.
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(failed(&self.next, source))
            }
            Ok(()) | Err(_) => Ok(Some(held)),
        }
    }
}

fn read(path: &Path) -> Result<Option<Secret>, KeyError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Secret::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, source)),
    }
}

fn write(path: &Path, key: &Secret) -> Result<(), KeyError> {
    replace_file(path, key.reveal(), MODE).map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> KeyError {
    KeyError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use cluster_state::{LogIndex, Timestamp};
    use credentials::{Authority, NewAuthority};

    use super::*;

    fn issuer() -> (IssuerRecord, Secret) {
        let NewAuthority { root, issuer, issuer_key, .. } =
            Authority::create("prod", credentials::now()).unwrap();
        let authority = Authority::open(&root, &issuer, &issuer_key).unwrap();
        let record = IssuerRecord {
            roots: root,
            certificate: issuer,
            digest: authority.issuer_digest().unwrap(),
            not_after: Timestamp(0),
            adopted_at: Timestamp(0),
            index: LogIndex(1),
        };
        (record, issuer_key)
    }

    #[test]
    fn a_key_that_was_put_aside_is_used_when_its_issuer_is_adopted() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::of(dir.path());
        let ((old, old_key), (new, new_key)) = (issuer(), issuer());
        assert!(files.find(&old).unwrap().is_none());

        files.write(&old_key).unwrap();
        files.put_aside(&new_key).unwrap();
        assert_eq!(files.find(&old).unwrap().unwrap().digest, old.digest);
        assert_eq!(files.find(&new).unwrap().unwrap().digest, new.digest);
        assert!(files.find(&old).unwrap().is_none(), "the new key has taken its place");
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), [NAME]);
        assert_eq!(fs::metadata(dir.path().join(NAME)).unwrap().mode() & 0o777, MODE);
    }
}
