//! Description of a snapshot: its position, its cluster, and every file with its checksum.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use cluster_state::ClusterId;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::error::StorageError;
use crate::types::SnapshotMeta;

/// Layout of the description that this program writes, and the newest that it reads.
const MANIFEST_FORMAT: u32 = 1;

/// Name of the manifest, beside the files that it describes. No file of a snapshot can have this
/// name, because names with a leading dot are refused.
pub(crate) const MANIFEST_FILE: &str = ".manifest";

/// Maximum number of files in a snapshot. RocksDB's files are some 64 MiB each: this is far beyond
/// any state.
const FILES_MAX: usize = 100_000;

/// Reason that a description is not acceptable.
#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    /// It is not JSON of the right shape.
    #[error("snapshot description is malformed")]
    Malformed(#[from] serde_json::Error),
    /// A newer binary wrote it.
    #[error("snapshot has format {found}, this binary knows formats up to {known}")]
    NewerFormat {
        /// Format of the description.
        found: u32,
        /// Newest format that this program knows.
        known: u32,
    },
    /// Its id could not be the name of a directory.
    #[error("snapshot id '{0}' is not a plain name")]
    Id(String),
    /// A file's name could lead elsewhere, or occurs twice.
    #[error("file name '{0}' in a snapshot is not a plain name of its own")]
    FileName(String),
    /// There are more files than in any real snapshot.
    #[error("snapshot has {0} files, too many")]
    TooManyFiles(usize),
    /// Its membership has no quorum.
    #[error("snapshot without a usable membership")]
    Membership(#[from] CodecError),
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Name, without any path.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// CRC-32 of its bytes.
    pub crc32: u32,
}

/// Files of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this description.
    pub format: u32,
    /// Name of the snapshot: files received under one id belong together.
    pub id: String,
    /// Cluster of the state; unknown only before the cluster's first barrier.
    pub cluster: Option<ClusterId>,
    /// Position that the snapshot covers.
    pub meta: SnapshotMeta,
    /// All files, in the order in which they are sent.
    pub files: Vec<ManifestFile>,
}

impl Manifest {
    /// Describes the files of a directory.
    pub(super) fn describe(
        id: String,
        cluster: Option<ClusterId>,
        meta: SnapshotMeta,
        directory: &Path,
    ) -> Result<Self, StorageError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // RocksDB names its files in ASCII.
            let name = entry.file_name().to_string_lossy().into_owned();
            // Its own notes and its lock are no part of the data.
            if name != "LOCK" && !name.starts_with("LOG") {
                let (len, crc32) = measure(&entry.path())?;
                files.push(ManifestFile { name, len, crc32 });
            }
        }
        files.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Self { format: MANIFEST_FORMAT, id, cluster, meta, files })
    }

    /// Encodes it, for sending and storing.
    ///
    /// # Errors
    ///
    /// Only if it cannot be represented, which no description is.
    pub fn encode(&self) -> Result<Vec<u8>, InvalidManifest> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Decodes the output of [`Self::encode`], from any source.
    ///
    /// # Errors
    ///
    /// If it is malformed, newer than this program, or names files outside its directory.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes)?;
        if format > MANIFEST_FORMAT {
            return Err(InvalidManifest::NewerFormat { found: format, known: MANIFEST_FORMAT });
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    pub(crate) fn check(&self) -> Result<(), InvalidManifest> {
        if self.files.len() > FILES_MAX {
            return Err(InvalidManifest::TooManyFiles(self.files.len()));
        }
        codec::check_stored(&self.meta.last_membership)?;
        if !is_plain_name(&self.id) {
            return Err(InvalidManifest::Id(self.id.clone()));
        }
        let mut names = BTreeSet::new();
        for ManifestFile { name, .. } in &self.files {
            if !is_plain_name(name) || !names.insert(name) {
                return Err(InvalidManifest::FileName(name.clone()));
            }
        }
        Ok(())
    }
}

/// Returns true for a name of letters, digits, `.`, `_` and `-` without a dot at the start: it
/// names something in its directory and nowhere else.
fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.chars().all(is_plain)
}

/// Returns the length and checksum of a file.
pub(crate) fn measure(path: &Path) -> Result<(u64, u32), StorageError> {
    let mut file = File::open(path)?;
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut len: u64 = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((len, hasher.finalize()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        len = len.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(names: &[&str]) -> Manifest {
        let file = |name: &&str| ManifestFile { name: (*name).to_owned(), len: 3, crc32: 7 };
        Manifest {
            format: MANIFEST_FORMAT,
            id: "1b4e28ba".to_owned(),
            cluster: Some(ClusterId(5)),
            meta: SnapshotMeta::default(),
            files: names.iter().map(file).collect(),
        }
    }

    #[test]
    fn a_description_survives_encoding() {
        let manifest = manifest(&["CURRENT", "MANIFEST-000004", "000012.sst"]);

        assert_eq!(Manifest::decode(&manifest.encode().unwrap()).unwrap(), manifest);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", ".", "..", "../guard", "/etc/passwd", "a/b", "a\\b", ".hidden", "a\0"] {
            let encoded = manifest(&[name]).encode().unwrap();
            assert!(
                matches!(Manifest::decode(&encoded), Err(InvalidManifest::FileName(_))),
                "{name:?} passed"
            );
        }
        let encoded = Manifest { id: "../log".to_owned(), ..manifest(&[]) }.encode().unwrap();
        assert!(matches!(Manifest::decode(&encoded), Err(InvalidManifest::Id(_))));
    }

    #[test]
    fn a_name_that_stands_there_twice_is_refused() {
        let encoded = manifest(&["a", "a"]).encode().unwrap();

        assert!(matches!(Manifest::decode(&encoded), Err(InvalidManifest::FileName(_))));
    }

    #[test]
    fn a_newer_format_is_named() {
        let encoded = Manifest { format: 9, ..manifest(&[]) }.encode().unwrap();

        assert_eq!(
            Manifest::decode(&encoded).unwrap_err().to_string(),
            "snapshot has format 9, this binary knows formats up to 1"
        );
    }
}
