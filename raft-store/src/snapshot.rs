//! Snapshots: RocksDB checkpoints of the state, sent as files and installed as a whole.

mod chunk;
pub(crate) mod install;
mod manifest;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use cluster_state::ClusterId;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

pub use self::chunk::{CHUNK_BYTES_MAX, Chunk, ChunkReader};
pub(crate) use self::install::Prepared;
pub use self::manifest::{InvalidManifest, Manifest, ManifestFile};
pub(crate) use self::manifest::{MANIFEST_FILE, measure};
use crate::calls::{Call, Calls};
use crate::error::StorageError;
use crate::files::Directory;
use crate::state_db::{Restored, StateDb};
use crate::types::SnapshotMeta;

/// A snapshot on disk; clones share it. Its directory is removed when nobody holds it any more.
#[derive(Clone)]
pub struct SnapshotData(Arc<Inner>);

struct Inner {
    id: String,
    meta: SnapshotMeta,
    cluster: Option<ClusterId>,
    directory: Directory,
    /// Database that a received snapshot was turned into, until it is installed.
    prepared: Mutex<Option<Prepared>>,
    calls: Calls,
    /// Computed on first use: most snapshots only let the log be purged, and are never sent.
    manifest: OnceCell<Arc<Manifest>>,
}

impl fmt::Debug for SnapshotData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { id, meta, directory, .. } = &*self.0;
        f.debug_struct("SnapshotData")
            .field("id", id)
            .field("last", &meta.last_log_id)
            .field("path", &directory.path())
            .finish_non_exhaustive()
    }
}

impl SnapshotData {
    pub(crate) fn new(
        id: String,
        meta: SnapshotMeta,
        cluster: Option<ClusterId>,
        directory: Directory,
        calls: Calls,
    ) -> Self {
        let (prepared, manifest) = (Mutex::default(), OnceCell::new());
        Self(Arc::new(Inner { id, meta, cluster, directory, prepared, calls, manifest }))
    }

    pub(crate) fn set_prepared(&self, prepared: Prepared) {
        *self.0.prepared.lock() = Some(prepared);
    }

    /// Replaces the state below `root` by the snapshot.
    pub(crate) fn install(
        &self,
        root: &Path,
        meta: &SnapshotMeta,
    ) -> Result<(StateDb, Restored), StorageError> {
        let prepared = self.0.prepared.lock().take();
        let prepared = match prepared {
            Some(prepared) => prepared,
            None => Prepared::make(root, self.path(), meta)?,
        };
        prepared.check(meta)?;
        prepared.switch(root)
    }

    /// Returns its random name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Returns the position that the snapshot covers.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.0.meta
    }

    /// Returns the directory of its files, which exists as long as the snapshot is held.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.directory.path()
    }

    /// Returns the description of its files. Reads all of them the first time.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub async fn manifest(&self) -> Result<Arc<Manifest>, StorageError> {
        let describe = async || {
            let data = self.clone();
            let work = move || {
                let Inner { id, meta, cluster, directory, .. } = &*data.0;
                Manifest::describe(id.clone(), *cluster, meta.clone(), directory.path())
            };
            self.0.calls.run_blocking(Call::SnapshotRead, work).await.map(Arc::new)
        };
        self.0.manifest.get_or_try_init(describe).await.cloned()
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// Reads its files in chunks, each from where the receiver says it stands: see
    /// [`crate::SnapshotReceiver::offsets`].
    ///
    /// # Errors
    /// If the files cannot be read.
    pub async fn chunks(&self, offsets: &[u64]) -> Result<ChunkReader, StorageError> {
        let manifest = self.manifest().await?;
        Ok(ChunkReader::new(self.clone(), manifest, offsets))
    }
}

/// Number of snapshot failures since the start. The node goes on in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotFailures {
    /// Snapshots that could not be taken here.
    pub not_taken: u64,
    /// Received snapshots that cannot be used here.
    pub refused: u64,
}

/// Holds the newest snapshot for sending, and knows an older one for as long as it is sent.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    kept: Mutex<Kept>,
    not_taken: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    current: Option<SnapshotData>,
    /// Kept by its sender.
    older: Weak<Inner>,
}

impl Snapshots {
    pub(crate) fn on_not_taken(&self) {
        self.not_taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn on_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failures(&self) -> SnapshotFailures {
        let not_taken = self.not_taken.load(Ordering::Relaxed);
        SnapshotFailures { not_taken, refused: self.refused.load(Ordering::Relaxed) }
    }

    /// Returns the snapshot to send: one whose transfer has begun, so that an interrupted transfer
    /// goes on, or else the newest.
    pub(crate) fn to_send(&self) -> Option<SnapshotData> {
        let kept = self.kept.lock();
        kept.older.upgrade().map(SnapshotData).or_else(|| kept.current.clone())
    }

    /// Keeps the newer one: a snapshot that was being built may be done after one was installed.
    pub(crate) fn set_current(&self, data: SnapshotData) {
        let mut kept = self.kept.lock();
        let is_newer = kept
            .current
            .as_ref()
            .is_none_or(|current| current.meta().last_log_id <= data.meta().last_log_id);
        let old = if is_newer { kept.current.replace(data) } else { Some(data) };
        if let Some(old) = &old
            && is_newer
            && kept.older.strong_count() == 0
        {
            kept.older = Arc::downgrade(&old.0);
        }
        drop(kept);
        // Removes its directory, if nobody is sending it.
        drop(old);
    }
}
