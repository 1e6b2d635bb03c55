//! Puts a snapshot in the place of the state: beside it first, then by one switch.
//!
//! A crash at any step leaves either the state before or the snapshot: what is not named by the
//! pointer file is removed at the next start.

use std::fs;
use std::path::Path;

use crate::error::StorageError;
use crate::files;
use crate::state_machine::database::{self, Restored, StateDb};
use crate::types::SnapshotMeta;

/// Installs the snapshot whose files are in `source` below `root`, and reads its state back.
pub(crate) fn install(
    root: &Path,
    source: &Path,
    meta: &SnapshotMeta,
) -> Result<(StateDb, Restored), StorageError> {
    let (number, path) = database::next(root)?;
    let prepared = prepare(&path, source, meta);
    let (database, restored) = prepared.inspect_err(|_| {
        // The next start would remove it too.
        files::remove_dir(&path).ok();
    })?;
    files::sync_dir(root)?;
    database::switch(root, number)?;
    Ok((database, restored))
}

/// Makes a database of the snapshot's files and checks that it holds what it should.
fn prepare(
    path: &Path,
    source: &Path,
    meta: &SnapshotMeta,
) -> Result<(StateDb, Restored), StorageError> {
    files::remove_dir(path)?;
    fs::create_dir_all(path)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let target = path.join(entry.file_name());
        // RocksDB never changes its table files. All others it may write to, and the snapshot must
        // stay what it is while it is sent.
        let is_table = target.extension().is_some_and(|extension| extension == "sst");
        if !is_table || fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target)?;
        }
        fs::File::open(&target)?.sync_all()?;
    }
    files::sync_dir(path)?;

    let database = StateDb::open(path.to_owned())?;
    let restored = Restored::load(database.database())?;
    if restored.applied != meta.last_log_id || restored.membership != meta.last_membership {
        return Err(StorageError::SnapshotMismatch);
    }
    Ok((database, restored))
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

    /// A snapshot up to index 9, and the directory that keeps it.
    async fn snapshot() -> (TempDir, Store, SnapshotData) {
        let home = TempDir::new().unwrap();
        let mut store = open(&home);
        apply_until(&mut store, 9).await;
        let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
        let data = builder.build_snapshot().await.unwrap().snapshot;
        (home, store, data)
    }

    /// A node that has applied up to index 4 and is closed.
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
        let (number, path) = database::next(&root).unwrap();
        assert_eq!(number, 2);

        // Half of the files, then all of them, then a whole database.
        for files in [3, usize::MAX] {
            fs::create_dir_all(&path).unwrap();
            for entry in fs::read_dir(data.path()).unwrap().take(files).map(Result::unwrap) {
                fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
            }
            assert_eq!(open(&node).reader.applied().index, LogIndex(4));
            assert!(!path.exists(), "what is not in use is removed");
        }
        drop(prepare(&path, data.path(), data.meta()).unwrap());
        assert_eq!(open(&node).reader.applied().index, LogIndex(4));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_crash_after_the_switch_leaves_the_snapshot() {
        let (_home, _store, data) = snapshot().await;
        let node = node().await;
        let root = node.path().join("state");

        drop(install(&root, data.path(), data.meta()).unwrap());

        assert!(root.join("db-1").exists(), "nobody has removed the old one yet");
        assert_eq!(open(&node).reader.applied().index, LogIndex(9));
        assert!(!root.join("db-1").exists());
    }

    #[tokio::test]
    async fn a_pointer_that_was_not_put_in_place_counts_for_nothing() {
        let (_home, _store, data) = snapshot().await;
        let node = node().await;
        let root = node.path().join("state");
        let (number, path) = database::next(&root).unwrap();
        drop(prepare(&path, data.path(), data.meta()).unwrap());
        fs::write(root.join("CURRENT.new"), format!("db-{number}")).unwrap();

        assert_eq!(open(&node).reader.applied().index, LogIndex(4));
    }
}
