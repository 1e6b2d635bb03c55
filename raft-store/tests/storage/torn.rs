//! Logs whose last write was under way when the power went.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_state::MasterId;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use raft_store::{LogOptions, OpenError, Store, StoreConfig, inspect};
use tempfile::TempDir;

use crate::fixture::{contents, copy_tree, entry, submit};

/// A guard that is behind for as long as the test runs.
fn lazy(dir: &Path) -> StoreConfig {
    let log = LogOptions { guard_interval: Duration::from_secs(3600), ..LogOptions::default() };
    StoreConfig { log, ..StoreConfig::new(dir, MasterId(1)) }
}

/// A node as a crash leaves it whose last of five entries, of several blocks, is not acknowledged.
/// Returns where that begins in the write-ahead log.
async fn crashed(dir: &Path) -> usize {
    let home = TempDir::new().unwrap();
    let mut store = Store::open(lazy(home.path())).unwrap();
    store.log.blocking_append((0..4).map(|index| entry(1, index, submit(60, None)))).await.unwrap();
    let before = std::fs::metadata(wal(home.path())).unwrap().len();
    store.log.blocking_append([entry(1, 4, submit(4000, None))]).await.unwrap();
    copy_tree(home.path(), dir);
    usize::try_from(before).unwrap()
}

fn wal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let is_wal = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    files.filter(is_wal).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_write_that_ends_in_zeros_is_cut_off() {
    let copies = TempDir::new().unwrap();
    let crash = copies.path().join("crash");
    let begin = crashed(&crash).await;
    let whole = std::fs::read(wal(&crash)).unwrap();
    assert!(whole.len() - begin > 80_000, "it has {} bytes", whole.len() - begin);

    let sectors = (begin.next_multiple_of(512)..whole.len()).step_by(512).step_by(11);
    let middle = begin + 40_000;
    let holes = sectors.map(|from| (from, whole.len()));
    // A sector in the middle that was not written, and the whole of it.
    let holes = holes.chain([(middle.next_multiple_of(512), middle.next_multiple_of(512) + 512)]);
    for (from, to) in holes.chain([(begin, whole.len())]) {
        let dir = copies.path().join(format!("zeros-{from}-{to}"));
        copy_tree(&crash, &dir);
        let mut bytes = whole.clone();
        bytes[from..to].fill(0);
        std::fs::write(wal(&dir), &bytes).unwrap();

        let before = contents(&dir);
        let content = inspect(&dir).content.unwrap();
        assert_eq!(content.last.map(|last| last.index), Some(3), "{from}..{to}");
        assert!(contents(&dir) == before, "the inspection changed the disk");

        let mut store = Store::open(lazy(&dir)).unwrap_or_else(|e| panic!("{from}..{to}: {e}"));

        let last = store.log.get_log_state().await.unwrap().last_log_id;
        assert_eq!(last.map(|last| last.index), Some(3), "{from}..{to}");
        store.log.blocking_append([entry(2, 4, submit(1, None))]).await.unwrap();
        drop(store);
        let mut store = Store::open(lazy(&dir)).unwrap();
        let last = store.log.get_log_state().await.unwrap().last_log_id;
        assert_eq!(last.map(|last| last.index), Some(4));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_damage_to_the_last_write_is_refused() {
    let copies = TempDir::new().unwrap();
    let crash = copies.path().join("crash");
    let begin = crashed(&crash).await;
    // A bit that fell over; and zeros in what was acknowledged, though the guard is behind.
    let damages: [fn(&mut [u8], usize); 2] = [
        |bytes, begin| bytes[begin + 10_000] ^= 1,
        |bytes, begin| bytes[begin - 600..begin - 40].fill(0),
    ];
    for damage in damages {
        let dir = copies.path().join("damaged");
        copy_tree(&crash, &dir);
        let mut bytes = std::fs::read(wal(&dir)).unwrap();
        damage(&mut bytes, begin);
        std::fs::write(wal(&dir), &bytes).unwrap();
        let before = contents(&dir);

        let error = Store::open(lazy(&dir)).unwrap_err();

        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        let named = format!("{} is damaged: ", dir.join("log").display());
        assert!(error.to_string().starts_with(&named), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("checksum mismatch") || source.contains("record"), "{source}");
        let mut after = contents(&dir);
        after.remove(&dir.join("LOCK").display().to_string());
        let mut before = before;
        before.remove(&dir.join("LOCK").display().to_string());
        assert!(after == before, "refusing it changed the disk");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zeros_in_what_the_guard_remembers_are_refused() {
    let home = TempDir::new().unwrap();
    let mut store = Store::open(lazy(home.path())).unwrap();
    store.log.blocking_append([entry(1, 0, submit(200, None))]).await.unwrap();
    // The guard is written when the store is closed.
    drop(store);
    let path = wal(home.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 1100..].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let before = contents(home.path());

    let error = Store::open(lazy(home.path())).unwrap_err();

    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(contents(home.path()) == before, "refusing it changed the disk");
}
