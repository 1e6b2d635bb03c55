//! Directories that a node refuses: each with its reason, and nothing on disk changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cluster_state::{ClusterId, MasterId};
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftSnapshotBuilder, RaftStateMachine};
use raft_store::{OpenError, Owner, Store, StoreConfig, inspect};
use tempfile::TempDir;

use crate::fixture::{self, CLUSTER, History, apply, contents, open};

/// Advice for a master whose data cannot be used.
const REPLACE: &str = "move the data directory away and start this master again with the same node_id, \
                       one master at a time: the other masters send it everything";

/// A node's directory after some use, closed.
async fn used() -> TempDir {
    let home = TempDir::new().unwrap();
    let history = History::new(3);
    let mut store = open(home.path());
    store.log.set_cluster_id(CLUSTER).await.unwrap();
    store.log.blocking_append(history.entries.clone()).await.unwrap();
    apply(&mut store.machine, history.entries.clone()).await;
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    builder.build_snapshot().await.unwrap();
    store.log.purge(history.entries[8].log_id).await.unwrap();
    home
}

/// Opens the directory and expects to be refused, with nothing changed.
fn refusal_of(config: StoreConfig) -> OpenError {
    let dir = config.data_dir.clone();
    let look = || if dir.is_dir() { contents(&dir) } else { BTreeMap::new() };
    let before = look();
    let error = Store::open(config).unwrap_err();
    assert!(look() == before, "the refusal changed the disk: {error}");
    error
}

/// Returns the refusal of a start, after an inspection has given the same.
fn refusal(home: &Path) -> OpenError {
    let error = refusal_of(fixture::config(home));
    let told = inspect(home).content.unwrap_err();
    assert_eq!(told.to_string(), error.to_string());
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_directory_opens_again() {
    let home = used().await;

    let store = open(home.path());

    assert_eq!(store.log.identity().name, MasterId(1));
    assert_eq!(store.log.identity().cluster, Some(CLUSTER));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_keeps_us_out() {
    let home = used().await;
    let _open = open(home.path());

    let error = Store::open(fixture::config(home.path())).unwrap_err();

    let expected = format!("data directory {} is locked by another process", home.path().display());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_nodes_directory_is_refused() {
    let home = used().await;

    let error = refusal_of(StoreConfig::new(home.path(), MasterId(2)));

    assert_eq!(error.to_string(), "data directory belongs to master 1, not to master 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_directory_is_refused() {
    let home = used().await;
    let owner = Owner { name: MasterId(1), cluster: Some(ClusterId(0xff)) };

    let error = refusal_of(StoreConfig { owner, ..fixture::config(home.path()) });

    assert_eq!(
        error.to_string(),
        "data directory belongs to cluster 00000000-0000-0000-0000-0000000000c1, \
         not to cluster 00000000-0000-0000-0000-0000000000ff"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_format_is_refused() {
    let home = used().await;
    fs::write(home.path().join("format"), "raft-store format 2\n").unwrap();

    let error = refusal(home.path());

    let expected = format!(
        "data directory {} has format 2, this binary knows formats up to 1",
        home.path().display()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_file_that_names_no_format_is_refused() {
    let home = used().await;
    let path = home.path().join("format");
    fs::write(&path, [0xff; 12]).unwrap();

    let error = refusal(home.path());

    let expected = format!("{} is damaged: it does not name a format", path.display());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    for missing in ["log", "guard", "format", "state/db-1"] {
        let home = used().await;
        let path = home.path().join(missing);
        fs::rename(&path, home.path().join("LOCK.away")).unwrap();

        let error = refusal(home.path());

        let expected = format!(
            "{} is missing from a data directory that was in use: {REPLACE}",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_guard_does_not_make_the_log_worthless() {
    let home = used().await;
    fs::remove_file(home.path().join("guard")).unwrap();
    fs::remove_dir_all(home.path().join("state")).unwrap();

    let error = refusal(home.path());

    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_guard_is_refused() {
    let home = used().await;
    fs::write(home.path().join("guard"), [7; 8192]).unwrap();

    assert_eq!(refusal(home.path()).to_string(), "the guard file is damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_restored_from_before_is_refused() {
    let home = used().await;
    let old = home.path().join("LOCK.old-log");
    fixture::copy_tree(&home.path().join("log"), &old);
    let mut store = open(home.path());
    let next = fixture::blank(1, History::new(3).last_index() + 1);
    store.log.blocking_append([next]).await.unwrap();
    drop(store);
    fs::remove_dir_all(home.path().join("log")).unwrap();
    fs::rename(&old, home.path().join("log")).unwrap();

    let error = refusal(home.path());

    assert_eq!(
        error.to_string(),
        format!(
            "the log is behind its guard: the last entry was 22 of term 1, now it is 21 of term 1, \
             so what was acknowledged may be lost here: {REPLACE}"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_the_log_cannot_rebuild_is_refused() {
    let home = used().await;
    fs::remove_dir_all(home.path().join("state")).unwrap();

    let error = refusal(home.path());

    assert_eq!(
        error.to_string(),
        format!(
            "the state is behind the log: applied up to 0, but the log is purged up to 8: {REPLACE}"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pointer_that_names_no_database_is_refused() {
    let home = used().await;
    let path = home.path().join("state/CURRENT");
    fs::write(&path, "elsewhere\n").unwrap();

    let error = refusal(home.path());

    let expected = format!("{} is damaged: it does not name a database", path.display());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_refused() {
    let home = used().await;
    let database = home.path().join("state/db-1");
    for entry in fs::read_dir(&database).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST") {
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x01;
            fs::write(&path, bytes).unwrap();
        }
    }

    let error = refusal(home.path());

    assert_eq!(error.to_string(), format!("{} is damaged: {REPLACE}", database.display()));
}

#[test]
fn a_file_is_not_a_directory() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("data");
    fs::write(&path, "x").unwrap();

    assert_eq!(refusal(&path).to_string(), format!("{} is not a directory", path.display()));
}

#[test]
fn a_directory_of_other_things_is_refused() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("data");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("thesis.tex"), "x").unwrap();

    let error = refusal(&path);

    let expected = format!("{} is not empty and not a data directory of a master", path.display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_making_that_was_cut_short_is_taken_up_again() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("format"), "raft-store format 1\n").unwrap();
    fs::create_dir(home.path().join("log")).unwrap();
    fs::write(home.path().join("log/000004.log"), "").unwrap();

    open(home.path());

    assert!(home.path().join("guard").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_may_not_be_written_is_named() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("data");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write anywhere.
    if fs::write(path.join("LOCK"), "").is_ok() {
        return;
    }

    let error = Store::open(fixture::config(&path)).unwrap_err();

    assert!(error.to_string().starts_with("cannot use data directory"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cluster_id_is_refused() {
    let home = TempDir::new().unwrap();
    let store = open(home.path());
    store.log.set_cluster_id(CLUSTER).await.unwrap();
    store.log.set_cluster_id(CLUSTER).await.unwrap();

    let error = store.log.set_cluster_id(ClusterId(9)).await.unwrap_err();

    assert!(error.to_string().starts_with("this node belongs to cluster"), "{error}");
}
