//! Directory of a local cluster's data and logs.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::LocalClusterError;

/// A directory that the user chose and keeps, or a temporary one that is removed with the cluster.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    keeping: Keeping,
}

#[derive(Debug, PartialEq, Eq)]
enum Keeping {
    Kept,
    Removed,
}

impl DataDir {
    pub(super) fn open(chosen: Option<PathBuf>) -> Result<Self, LocalClusterError> {
        let (path, keeping) = match chosen {
            Some(path) => (path, Keeping::Kept),
            None => {
                let name = format!("clusterctl-{}", Uuid::new_v4());
                (std::env::temp_dir().join(name), Keeping::Removed)
            }
        };
        match std::fs::create_dir_all(&path).and_then(|()| path.canonicalize()) {
            Ok(path) => Ok(Self { path, keeping }),
            Err(source) => Err(LocalClusterError::DataDir { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.keeping == Keeping::Removed {
            // If it cannot be removed, it is left to the cleanup of temporary files.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_our_own_goes_and_a_chosen_one_stays() {
        let own = DataDir::open(None).unwrap();
        let chosen = own.path().join("chosen");
        drop(DataDir::open(Some(chosen.clone())).unwrap());
        assert!(chosen.is_dir());

        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }
}
