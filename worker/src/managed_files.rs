//! The files in which a worker keeps what the cluster issues to it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use credentials::{Files, IssueError, Secret, draw_key, replace_file};

/// Directory in the data directory.
const DIR: &str = "tls";
/// Mode of directories: they hold a key, or secrets of tasks.
const DIR_MODE: u32 = 0o700;
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;
/// Permissions of a key's file that let others read it.
const READ_BY_OTHERS: u32 = 0o077;

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One of them cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Others could use the key.
    #[error("{} can be read by others (mode {mode:03o}): chmod 600 it", path.display())]
    KeyIsOpen { path: PathBuf, mode: u32 },
    /// No key can be drawn.
    #[error(transparent)]
    Key(#[from] IssueError),
}

/// Files below `DIR/tls` of a data directory: `worker.crt`, `worker.key` and `ca.crt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedFiles {
    data_dir: PathBuf,
}

impl ManagedFiles {
    /// Names the files of a data directory.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    fn dir(&self) -> PathBuf {
        self.data_dir.join(DIR)
    }

    /// Returns the files.
    #[must_use]
    pub fn files(&self) -> Files {
        let dir = self.dir();
        Files {
            certificate: dir.join("worker.crt"),
            key: dir.join("worker.key"),
            trusted: dir.join("ca.crt"),
        }
    }

    /// Returns the file with the root alone by which the cluster is known while the worker joins.
    pub(crate) fn pinned(&self) -> PathBuf {
        self.dir().join("root.crt")
    }

    /// Returns true if there is a certificate.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.files().certificate.exists()
    }

    /// Returns the worker's key, which is drawn once. It is on disk before anybody certifies it, so a
    /// request that is repeated has the same.
    pub(crate) fn key(&self) -> Result<Secret, FilesError> {
        let path = self.files().key;
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mode = fs::metadata(&path).map_err(failed(&path))?.mode() & 0o777;
                if mode & READ_BY_OTHERS != 0 {
                    return Err(FilesError::KeyIsOpen { path, mode });
                }
                Ok(Secret::new(text))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                for dir in [&self.data_dir, &self.dir()] {
                    let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir);
                    made.map_err(failed(dir))?;
                }
                let key = draw_key()?;
                replace_file(&path, key.reveal(), KEY_MODE).map_err(failed(&path))?;
                Ok(key)
            }
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// Writes the root by which the cluster is known.
    pub(crate) fn pin(&self, root: &str) -> Result<(), FilesError> {
        let path = self.pinned();
        replace_file(&path, root, CERTIFICATE_MODE).map_err(failed(&path))
    }

    /// Writes what was issued. The certificate is last: with it the files are complete.
    pub(crate) fn write(&self, chain: &str, roots: &str) -> Result<(), FilesError> {
        let Files { certificate, trusted, .. } = self.files();
        replace_file(&trusted, roots, CERTIFICATE_MODE).map_err(failed(&trusted))?;
        replace_file(&certificate, chain, CERTIFICATE_MODE).map_err(failed(&certificate))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::Io { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_drawn_once_and_nobody_else_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = ManagedFiles::of(&dir.path().join("data"));
        let key = files.key().unwrap();
        assert_eq!(files.key().unwrap().reveal(), key.reveal());
        let path = files.files().key;
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, KEY_MODE);
        assert!(!files.exist());

        files.write("chain", "roots").unwrap();
        assert!(files.exist());
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        fs::set_permissions(&path, open).unwrap();
        let refused = files.key().unwrap_err().to_string();
        assert!(
            refused.ends_with("worker.key can be read by others (mode 640): chmod 600 it"),
            "{refused}"
        );
    }
}
