//! Replaces the state by a snapshot: creates a database beside it first, then switches in one step.
//!
//! A crash at any step leaves either the state before or the snapshot: a database that the pointer
//! file does not name is removed at the next start.

use std::fs;
use std::path::Path;

use super::manifest::MANIFEST_FILE;
use crate::error::StorageError;
use crate::files;
use crate::state_db::{self, Restored, StateDb};
use crate::types::SnapshotMeta;

/// A snapshot as a database beside the one in use, open and read. It is removed when dropped.
#[derive(Debug)]
pub(crate) struct Prepared {
    number: u64,
    database: StateDb,
    restored: Restored,
}

impl Prepared {
    /// Creates a database below `root` from the files in `source`. Its state is in memory beside
    /// the present one until it is installed or dropped, so that a snapshot that cannot be used is
    /// refused before anything is given up for it.
    pub(crate) fn make(
        root: &Path,
        source: &Path,
        meta: &SnapshotMeta,
    ) -> Result<Self, StorageError> {
        let (number, path) = state_db::next(root)?;
        copy_files(source, &path).inspect_err(|_| {
            // The next start would remove it too.
            files::remove_dir(&path).ok();
        })?;

        let database = StateDb::open_temporary(path)?;
        let restored = Restored::load(database.database())?;
        let prepared = Self { number, database, restored };
        prepared.check(meta)?;
        Ok(prepared)
    }

    /// Refuses it if it does not match its description.
    pub(crate) fn check(&self, meta: &SnapshotMeta) -> Result<(), StorageError> {
        let Restored { applied, membership, .. } = &self.restored;
        if *applied != meta.last_log_id || *membership != meta.last_membership {
            return Err(StorageError::SnapshotMismatch);
        }
        Ok(())
    }

    /// Puts the database into use.
    pub(crate) fn switch(self, root: &Path) -> Result<(StateDb, Restored), StorageError> {
        let Self { number, database, restored } = self;
        // Before the pointer names it: after a failure nobody knows whether it does.
        database.keep();
        files::sync_dir(root)?;
        state_db::switch(root, number)?;
        Ok((database, restored))
    }
}

/// Links and copies a snapshot's files, durably.
fn copy_files(source: &Path, target: &Path) -> Result<(), StorageError> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        if entry.file_name() == MANIFEST_FILE {
            continue;
        }
        let target = target.join(entry.file_name());
        // RocksDB never changes its table files. It may write to all others, and the snapshot must
        // stay unchanged while it is sent.
        let is_table = target.extension().is_some_and(|extension| extension == "sst");
        if !is_table || fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target)?;
        }
        fs::File::open(&target)?.sync_all()?;
    }
    Ok(files::sync_dir(target)?)
}

#[cfg(test)]
mod tests {
    use cluster_state::{LogIndex, MasterId};
    use futures_util::stream;
    use openraft::EntryPayload;
    use openraft::RaftSnapshotBuilder;
    use openraft::storage::RaftStateMachine;
    use tempfile::TempDir;

    use super::*;
    use crate::snapshot::SnapshotData;
    use crate::types::{Entry, log_id};
    use crate::{Store, StoreConfig};

    fn open(home: &TempDir) -> Store {
        Store::open(StoreConfig::new(home.path(), MasterId(1))).unwrap()
    }

    async fn apply_until(store: &mut Store, last: u64) {
        let blank = |index| {
            let log_id = log_id(cluster_state::Term(1), LogIndex(index));
            Ok((Entry { log_id, payload: EntryPayload::Blank }, None))
        };
        store.machine.apply(stream::iter((0..=last).map(blank))).await.unwrap();
    }

    /// Returns a snapshot up to index 9, and the directory that keeps it.
    async fn snapshot() -> (TempDir, Store, SnapshotData) {
        let home = TempDir::new().unwrap();
        let mut store = open(&home);
        apply_until(&mut store, 9).await;
        let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
        let data = builder.build_snapshot().await.unwrap().snapshot;
        (home, store, data)
    }

    /// Returns a closed node that has applied up to index 4.
    async fn node() -> TempDir {
        let home = TempDir::new().unwrap();
        apply_until(&mut open(&home), 4).await;
        home
    }

    #[tokio::test]
    async fn a_crash_before_the_switch_leaves_the_state_before() {
        let (_home, _store, data) = snapshot().await;
        let node = node().await;
        let root = node.path().join("state");

        // Half of the files, then all of them, then a whole database.
        for files in [3, usize::MAX] {
            let (number, path) = state_db::next(&root).unwrap();
            assert_eq!(number, 2);
            for entry in fs::read_dir(data.path()).unwrap().take(files).map(Result::unwrap) {
                fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
            }
            assert_eq!(open(&node).reader.applied().index, LogIndex(4));
            assert!(!path.exists(), "what is not in use is removed");
        }
        let prepared = Prepared::make(&root, data.path(), data.meta()).unwrap();
        prepared.database.keep();
        drop(prepared);
        assert!(root.join("db-2").exists());
        assert_eq!(open(&node).reader.applied().index, LogIndex(4));
        assert!(!root.join("db-2").exists());
    }

    #[tokio::test]
    async fn a_crash_after_the_switch_leaves_the_snapshot() {
        let (_home, _store, data) = snapshot().await;
        let node = node().await;
        let root = node.path().join("state");

        drop(data.install(&root, data.meta()).unwrap());

        assert!(root.join("db-1").exists(), "nobody has removed the old one yet");
        assert_eq!(open(&node).reader.applied().index, LogIndex(9));
        assert!(!root.join("db-1").exists());
    }

    #[tokio::test]
    async fn a_pointer_that_was_not_put_in_place_counts_for_nothing() {
        let (_home, _store, data) = snapshot().await;
        let node = node().await;
        let root = node.path().join("state");
        let prepared = Prepared::make(&root, data.path(), data.meta()).unwrap();
        prepared.database.keep();
        fs::write(root.join("CURRENT.new"), format!("db-{}", prepared.number)).unwrap();
        drop(prepared);

        assert_eq!(open(&node).reader.applied().index, LogIndex(4));
    }

    #[tokio::test]
    async fn several_may_be_prepared_and_what_is_not_installed_goes() {
        let (_home, _store, data) = snapshot().await;
        let node = node().await;
        let root = node.path().join("state");
        let prepare = || Prepared::make(&root, data.path(), data.meta()).unwrap();

        let (first, second) = (prepare(), prepare());
        assert_eq!((first.number, second.number), (2, 3));
        drop(first);
        assert!(!root.join("db-2").exists());
        drop(second.switch(&root).unwrap());

        assert_eq!(open(&node).reader.applied().index, LogIndex(9));
    }
}
