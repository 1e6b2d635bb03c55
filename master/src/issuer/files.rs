//! The files of the issuer's key: the one in use, and another one, which was handed over and is not
//! adopted yet, or belongs to the other authority of a rotation.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use credentials::{Secret, replace_file};

use super::{Held, KeyError, Wanted};

/// Name of the file in the data directory, which nobody else may read.
const NAME: &str = "issuer.key";
/// Name of the file with the other key.
const NAME_NEXT: &str = "issuer.key.next";
/// Mode of both.
const MODE: u32 = 0o600;
/// Permissions that let others read or write a file.
const OPEN_TO_OTHERS: u32 = 0o077;
/// Age at which a key that nobody has adopted is left over: an adoption takes seconds.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(60);

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

    /// Looks for the key of an issuer among the files.
    pub(super) fn find(&self, wanted: &Wanted) -> Result<Option<Held>, KeyError> {
        for path in [&self.current, &self.next] {
            if let Some(key) = read(path)?
                && let Ok(held) = Held::open(wanted, key)
            {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    /// Has the files hold these keys: that of the issuer in use, and of another one, if there is.
    pub(super) fn settle(
        &self,
        current: Option<&Secret>,
        other: Option<&Secret>,
    ) -> Result<(), KeyError> {
        // First what is not in use: until the second is written, one of the files has each key that was
        // in one before, but for the moment in which they change places.
        for (path, key) in [(&self.next, other), (&self.current, current)] {
            let Some(key) = key else { continue };
            if read(path)?.is_none_or(|known| known.reveal() != key.reveal()) {
                write(path, key)?;
            }
        }
        // The key that was put aside is in its place.
        let aside = if other.is_none() { read(&self.next)? } else { None };
        if aside.is_some_and(|key| current.is_some_and(|own| own.reveal() == key.reveal())) {
            remove(&self.next)?;
        }
        Ok(())
    }

    /// Removes the other key if it was left over. Returns true if there was one.
    pub(super) fn clean(&self, now: std::time::SystemTime) -> Result<bool, KeyError> {
        let is_old = match fs::metadata(&self.next).and_then(|known| known.modified()) {
            Ok(written) => now.duration_since(written).is_ok_and(|age| age >= LEFT_OVER_AFTER),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(failed(&self.next, source)),
        };
        if is_old {
            remove(&self.next)?;
        }
        Ok(is_old)
    }
}

/// Reads a key. Nobody else may read it from then on.
fn read(path: &Path) -> Result<Option<Secret>, KeyError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, source)),
    };
    let mode = fs::metadata(path).map_err(|source| failed(path, source))?.mode() & 0o777;
    if mode & OPEN_TO_OTHERS != 0 {
        let only_own = fs::Permissions::from_mode(MODE);
        fs::set_permissions(path, only_own).map_err(|source| failed(path, source))?;
        tracing::warn!(
            file = %path.display(),
            mode = %format_args!("{mode:03o}"),
            "others could read the key of the cluster's issuer; its mode is 600 now. If somebody may have \
             read it, change the authority: clusterctl tls rotate-ca"
        );
    }
    Ok(Some(Secret::new(text)))
}

fn write(path: &Path, key: &Secret) -> Result<(), KeyError> {
    replace_file(path, key.reveal(), MODE).map_err(|source| failed(path, source))
}

fn remove(path: &Path) -> Result<(), KeyError> {
    fs::remove_file(path).map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> KeyError {
    KeyError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use credentials::{Authority, NewAuthority};

    use super::*;

    fn issuer() -> (Wanted, Secret) {
        let NewAuthority { root, issuer, issuer_key, .. } =
            Authority::create("prod", credentials::now()).unwrap();
        let authority = Authority::open(&root, &issuer, &issuer_key).unwrap();
        let digest = authority.issuer_digest().unwrap();
        (Wanted { roots: root, certificate: issuer, digest }, issuer_key)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn both_keys_of_a_rotation_are_kept_and_change_places() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::of(dir.path());
        let ((old, old_key), (new, new_key)) = (issuer(), issuer());
        assert!(files.find(&old).unwrap().is_none());

        files.settle(Some(&old_key), None).unwrap();
        files.put_aside(&new_key).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        for (current, other) in [(&old_key, &new_key), (&new_key, &old_key)] {
            files.settle(Some(current), Some(other)).unwrap();
            for wanted in [&old, &new] {
                assert_eq!(files.find(wanted).unwrap().unwrap().digest, wanted.digest);
            }
            let text = fs::read_to_string(dir.path().join(NAME)).unwrap();
            assert_eq!(text, current.reveal());
        }
        assert_eq!([NAME, NAME_NEXT].map(|name| mode(&dir.path().join(name))), [MODE, MODE]);

        // An adopted key is in use, and aside no longer.
        files.put_aside(&new_key).unwrap();
        files.settle(Some(&new_key), None).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_nobody_has_adopted_is_removed_once_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::of(dir.path());
        assert!(!files.clean(credentials::now()).unwrap());
        files.put_aside(&issuer().1).unwrap();
        assert!(!files.clean(credentials::now()).unwrap(), "it may be adopted yet");
        assert!(files.clean(credentials::now() + LEFT_OVER_AFTER).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_key_that_others_could_read_is_theirs_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let files = KeyFiles::of(dir.path());
        let (wanted, key) = issuer();
        files.settle(Some(&key), None).unwrap();
        let path = dir.path().join(NAME);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(files.find(&wanted).unwrap().is_some());
        assert_eq!(mode(&path), MODE);
    }
}
