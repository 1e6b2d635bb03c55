//! Receives snapshots: takes chunks in, checks them, and goes on after a broken connection.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_state::ClusterId;
use tokio::sync::Mutex;

use super::Shared;
use crate::calls::Call;
use crate::error::StorageError;
use crate::files::{self, Directory};
use crate::identity::KnownIdentity;
use crate::snapshot::{
    CHUNK_BYTES_MAX, Chunk, InvalidManifest, MANIFEST_FILE, Manifest, Prepared, SnapshotData,
    SnapshotFailures, measure,
};
use crate::state_db::{incoming_dir, snapshots_dir};
use crate::types::LogId;

/// Reason that a snapshot is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Its description is not acceptable.
    #[error("snapshot refused")]
    Manifest(#[from] InvalidManifest),
    /// It is another cluster's.
    #[error("snapshot belongs to cluster {found}, not to cluster {expected}")]
    WrongCluster {
        /// Cluster of the snapshot.
        found: ClusterId,
        /// Ours.
        expected: ClusterId,
    },
    /// Another transfer has begun since.
    #[error("another snapshot transfer has begun")]
    Superseded,
    /// A chunk names a file that the manifest does not have.
    #[error("chunk names file {0}, which the snapshot does not have")]
    NoFile(u32),
    /// A chunk does not follow the one before it.
    #[error("chunk of '{name}' begins at {found}, expected {expected}")]
    Gap {
        name: String,
        /// Expected offset.
        expected: u64,
        found: u64,
    },
    /// A chunk is larger than chunks may be, or than its file.
    #[error("chunk of '{0}' is too long")]
    TooLong(String),
    /// A chunk's bytes are not those that were sent.
    #[error("chunk of '{0}' has a wrong checksum")]
    ChunkChecksum(String),
    /// A file has not been received completely.
    #[error("file '{0}' is incomplete")]
    Incomplete(String),
    /// A file is not the one that was described; the transfer must start over.
    #[error("file '{0}' has a wrong checksum")]
    FileChecksum(String),
    /// Everything is here, and this master cannot create a state from it.
    #[error("the snapshot cannot be used here")]
    Unusable(#[source] StorageError),
    /// The disk failed.
    #[error("cannot store the snapshot")]
    Storage(#[from] StorageError),
}

impl ReceiveError {
    /// Returns true if the next attempt will most likely fail as well.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Manifest(_)
            | Self::WrongCluster { .. }
            | Self::Unusable(_)
            | Self::Storage(_) => true,
            Self::Superseded
            | Self::NoFile(_)
            | Self::Gap { .. }
            | Self::TooLong(_)
            | Self::ChunkChecksum(_)
            | Self::Incomplete(_)
            | Self::FileChecksum(_) => false,
        }
    }
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// Receives snapshots; clones share it. One transfer at a time: a new one ends the one before.
#[derive(Debug, Clone)]
pub struct SnapshotInbox {
    state: Arc<Shared>,
    identity: KnownIdentity,
    transfers: Arc<Transfers>,
}

#[derive(Debug, Default)]
struct Transfers {
    /// Number of the current transfer.
    current: AtomicU64,
    /// Held while files are written, so that an old transfer is done before a new one begins.
    disk: Mutex<()>,
}

impl SnapshotInbox {
    pub(crate) fn new(state: Arc<Shared>, identity: KnownIdentity) -> Self {
        Self { state, identity, transfers: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn calls(&self) -> &crate::calls::Calls {
        &self.state.calls
    }

    /// Returns the number of snapshot failures, received ones and our own.
    #[must_use]
    pub fn failures(&self) -> SnapshotFailures {
        self.state.snapshots.failures()
    }

    /// Begins to receive a snapshot, or goes on if a part of it is there.
    ///
    /// # Errors
    ///
    /// If it is malformed or another cluster's, or the disk fails.
    pub async fn begin(&self, manifest: Manifest) -> Result<SnapshotReceiver, ReceiveError> {
        manifest.check()?;
        if let (Some(found), Some(expected)) = (manifest.cluster, self.identity.get().cluster)
            && found != expected
        {
            return Err(ReceiveError::WrongCluster { found, expected });
        }

        let number = self.transfers.current.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        let _disk = self.transfers.disk.lock().await;

        let (root, manifest) = (self.state.root().to_owned(), Arc::new(manifest));
        let described = Arc::clone(&manifest);
        let work = move || prepare(&root, &described);
        let (path, offsets) = self.state.calls.run_blocking(Call::SnapshotReceive, work).await?;

        Ok(SnapshotReceiver {
            state: Arc::clone(&self.state),
            path,
            manifest,
            offsets,
            number,
            transfers: Arc::clone(&self.transfers),
            open: None,
        })
    }
}

/// Creates the directory, or finds its content. Of interrupted transfers of other snapshots it
/// keeps the files that this one has, too: most of a state's files are the same from one to the
/// next.
fn prepare(root: &Path, manifest: &Manifest) -> Result<(PathBuf, Vec<u64>), ReceiveError> {
    let incoming = incoming_dir(root);
    let path = incoming.join(&manifest.id);
    let encoded = manifest.encode()?;
    if files::read_if_present(&path.join(MANIFEST_FILE))?.is_some_and(|bytes| bytes != encoded) {
        files::remove_dir(&path)?;
    }
    fs::create_dir_all(&path)?;
    fs::write(path.join(MANIFEST_FILE), &encoded)?;
    for entry in fs::read_dir(&incoming)? {
        let other = entry?.path();
        if other != path {
            take_over(&other, &path, manifest)?;
            files::remove_dir(&other)?;
        }
    }

    let mut offsets = Vec::with_capacity(manifest.files.len());
    for file in &manifest.files {
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(&file.name))?;
        let len = opened.metadata()?.len();
        if len > file.len {
            opened.set_len(0)?;
        }
        offsets.push(if len > file.len { 0 } else { len });
    }
    Ok((path, offsets))
}

/// Moves the files that are complete, and the same in both snapshots. They are measured again at
/// the end.
fn take_over(other: &Path, path: &Path, manifest: &Manifest) -> Result<(), ReceiveError> {
    let Some(theirs) = manifest_in(other)? else { return Ok(()) };
    for file in manifest.files.iter().filter(|file| theirs.files.contains(file)) {
        let (from, to) = (other.join(&file.name), path.join(&file.name));
        let is_whole = fs::metadata(&from).is_ok_and(|found| found.len() == file.len);
        if is_whole && !to.exists() {
            fs::rename(from, to)?;
        }
    }
    Ok(())
}

/// Returns the description of the files in a directory, if it has a known one.
fn manifest_in(path: &Path) -> io::Result<Option<Manifest>> {
    let bytes = files::read_if_present(&path.join(MANIFEST_FILE))?;
    Ok(bytes.and_then(|bytes| Manifest::decode(&bytes).ok()))
}

/// Removes the remains of transfers that nobody will continue: this node has their content.
pub(crate) fn clear_outdated(root: &Path, applied: Option<LogId>) -> io::Result<()> {
    let incoming = incoming_dir(root);
    if !incoming.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(incoming)? {
        let path = entry?.path();
        let covered = manifest_in(&path)?.and_then(|manifest| manifest.meta.last_log_id);
        if covered.map(|id| id.index) <= applied.map(|id| id.index) {
            files::remove_dir(&path)?;
        }
    }
    Ok(())
}

/// One transfer of a snapshot.
#[derive(Debug)]
pub struct SnapshotReceiver {
    state: Arc<Shared>,
    path: PathBuf,
    manifest: Arc<Manifest>,
    offsets: Vec<u64>,
    number: u64,
    transfers: Arc<Transfers>,
    open: Option<(u32, Arc<File>)>,
}

impl SnapshotReceiver {
    /// Returns the number of received bytes of each file, in the manifest's order: the sender goes
    /// on from there.
    #[must_use]
    pub fn offsets(&self) -> &[u64] {
        &self.offsets
    }

    /// Takes a chunk in. After an error the transfer may be begun again, and goes on from there.
    ///
    /// # Errors
    ///
    /// If the chunk is damaged, is not the next one of its file, or the disk fails.
    pub async fn write_chunk(&mut self, chunk: Chunk) -> Result<(), ReceiveError> {
        let place = usize::try_from(chunk.file).ok();
        let found = place.and_then(|place| {
            Some((self.manifest.files.get(place)?, self.offsets.get_mut(place)?))
        });
        let (described, offset) = found.ok_or(ReceiveError::NoFile(chunk.file))?;
        let name = &described.name;
        if chunk.offset != *offset {
            let (expected, found) = (*offset, chunk.offset);
            return Err(ReceiveError::Gap { name: name.clone(), expected, found });
        }
        let len = u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        let end = offset.saturating_add(len);
        if chunk.bytes.len() > CHUNK_BYTES_MAX || end > described.len {
            return Err(ReceiveError::TooLong(name.clone()));
        }
        if crc32fast::hash(&chunk.bytes) != chunk.crc32 {
            return Err(ReceiveError::ChunkChecksum(name.clone()));
        }

        let _disk = self.transfers.disk.lock().await;
        if self.transfers.current.load(Ordering::Acquire) != self.number {
            return Err(ReceiveError::Superseded);
        }
        let open = self.open.take().filter(|(file, _)| *file == chunk.file).map(|(_, file)| file);
        let path = self.path.join(name);
        let (file, bytes) = (chunk.file, chunk.bytes);
        let write = move || -> Result<_, ReceiveError> {
            let file = match open {
                Some(file) => file,
                None => Arc::new(OpenOptions::new().write(true).open(path)?),
            };
            file.write_all_at(&bytes, chunk.offset)?;
            Ok(file)
        };
        let written = self.state.calls.run_blocking(Call::SnapshotReceive, write).await?;
        self.open = Some((file, written));
        *offset = end;
        Ok(())
    }

    /// Checks that everything is there and matches the description, makes it durable, and creates a
    /// database from it: Raft relies on it only once it can be installed.
    ///
    /// # Errors
    ///
    /// If a part is missing, or a file's checksum is wrong: then everything is discarded, because
    /// nobody knows which part is bad. If no database can be created from it, it stays for the next
    /// attempt.
    pub async fn finish(self) -> Result<SnapshotData, ReceiveError> {
        let transfers = Arc::clone(&self.transfers);
        let _disk = transfers.disk.lock().await;
        if transfers.current.load(Ordering::Acquire) != self.number {
            return Err(ReceiveError::Superseded);
        }
        let calls = self.state.calls.clone();
        calls.run_blocking(Call::SnapshotReceive, move || self.complete()).await
    }

    fn complete(self) -> Result<SnapshotData, ReceiveError> {
        let Self { state, path, manifest, offsets, .. } = self;
        for (file, offset) in manifest.files.iter().zip(&offsets) {
            if *offset != file.len {
                return Err(ReceiveError::Incomplete(file.name.clone()));
            }
        }
        for file in &manifest.files {
            let file_path = path.join(&file.name);
            if measure(&file_path)? != (file.len, file.crc32) {
                files::remove_dir(&path)?;
                return Err(ReceiveError::FileChecksum(file.name.clone()));
            }
            File::open(file_path)?.sync_all()?;
        }

        let make = || Prepared::make(state.root(), &path, &manifest.meta);
        let prepared = state.calls.run(Call::SnapshotPrepare, make).map_err(|error| {
            state.snapshots.on_refused();
            ReceiveError::Unusable(error)
        })?;

        fs::remove_file(path.join(MANIFEST_FILE))?;
        files::sync_dir(&path)?;
        let parent = snapshots_dir(state.root());
        fs::create_dir_all(&parent)?;
        let directory = Directory::temporary(parent.join(&manifest.id));
        // It may be held from an earlier transfer; the files are the same.
        files::remove_dir(directory.path())?;
        fs::rename(&path, directory.path())?;
        files::sync_dir(&parent)?;
        let Manifest { id, cluster, meta, .. } = (*manifest).clone();
        let data = SnapshotData::new(id, meta, cluster, directory, state.calls.clone());
        data.set_prepared(prepared);
        Ok(data)
    }
}
