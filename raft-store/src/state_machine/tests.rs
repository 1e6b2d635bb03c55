//! Tests of the size of batches, and of the removal of what a snapshot replaces.

use cluster_state::{MasterId, Term};
use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftLogStorageExt;
use tempfile::TempDir;
use tokio::sync::broadcast;

use super::*;
use crate::files::trace::{self, Deed};
use crate::types::log_id;
use crate::{LogOptions, Store, StoreConfig};

/// Opens a store that reads all of its log from disk.
fn open(home: &TempDir) -> Store {
    let log = LogOptions { cache_bytes_max: 0, ..LogOptions::default() };
    Store::open(StoreConfig { log, ..StoreConfig::new(home.path(), MasterId(1)) }).unwrap()
}

/// Returns an entry with a meaningless payload of so many bytes.
fn sized(index: u64, bytes: usize) -> Entry {
    let payload = EntryPayload::Normal(Payload::new(vec![0; bytes].into()));
    Entry { log_id: log_id(Term(1), LogIndex(index)), payload }
}

fn entries(sizes: &[usize]) -> Vec<Entry> {
    (0..).zip(sizes).map(|(index, bytes)| sized(index, *bytes)).collect()
}

/// Returns the first and last index of each batch.
fn batches(feed: &mut broadcast::Receiver<Published>) -> Vec<(u64, u64)> {
    let mut batches = Vec::new();
    while let Ok(Published::Applied(batch)) = feed.try_recv() {
        batches.push((batch.index_from.0, batch.index_to.0));
    }
    batches
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_holds_what_fits_to_the_byte() {
    const HALF: usize = BATCH_PAYLOAD_BYTES / 2;
    for (second, expected) in [
        (HALF - 1, vec![(0, 1)]),
        (HALF, vec![(0, 1)]),
        (HALF + 1, vec![(0, 0), (1, 1)]),
        (BATCH_PAYLOAD_BYTES + 1, vec![(0, 0), (1, 1)]),
    ] {
        let home = TempDir::new().unwrap();
        let mut store = open(&home);
        let mut feed = store.reader.subscribe();
        let both = entries(&[HALF, second]).into_iter().map(|entry| Ok((entry, None)));

        store.machine.apply(futures_util::stream::iter(both)).await.unwrap();

        assert_eq!(batches(&mut feed), expected, "{second} bytes after {HALF}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_and_not_applied_is_caught_up_with_in_batches() {
    const MAX: usize = BATCH_PAYLOAD_BYTES;
    let home = TempDir::new().unwrap();
    let mut store = open(&home);
    let log = entries(&[MAX - 1, 1, MAX, MAX + 1, 1, 1]);
    store.log.blocking_append(log.clone()).await.unwrap();
    store.log.save_committed(Some(log[4].log_id)).await.unwrap();
    let mut feed = store.reader.subscribe();

    store.machine.catch_up(&mut store.log).await.unwrap();

    assert_eq!(batches(&mut feed), [(0, 1), (2, 2), (3, 3), (4, 4)]);
    assert_eq!(store.reader.applied().index, LogIndex(4), "the last entry is not committed");
    store.machine.catch_up(&mut store.log).await.unwrap();
    assert_eq!(batches(&mut feed), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_caught_up_with_ends_the_node() {
    let home = TempDir::new().unwrap();
    let mut store = open(&home);
    let log = entries(&[1, 1, 1]);
    store.log.blocking_append(log.clone()).await.unwrap();
    store.log.save_committed(Some(log[2].log_id)).await.unwrap();
    store.inbox.calls().inject(Call::LogRead);

    store.machine.catch_up(&mut store.log).await.unwrap_err();

    assert!(store.fatal.reason().unwrap().contains("LogRead fails"));
}

#[tokio::test]
async fn a_state_that_was_replaced_goes_on_a_thread_that_may_block() {
    let homes = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [mut store, mut ahead] = [open(&homes[0]), open(&homes[1])];
    let log = entries(&[1, 1, 1]).into_iter().map(|entry| Ok((entry, None)));
    ahead.machine.apply(futures_util::stream::iter(log)).await.unwrap();
    let mut builder = ahead.machine.try_create_snapshot_builder(true).await.unwrap();
    let snapshot = builder.build_snapshot().await.unwrap();

    store.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();

    let replaced = homes[0].path().join("state/db-1");
    let removed_on = trace::threads_of(Deed::Removed, &replaced);
    assert_eq!(removed_on.len(), 1, "it is gone when the snapshot is installed");
    assert_ne!(removed_on, [std::thread::current().id()], "the runtime's only thread was blocked");
}

#[test]
fn a_new_state_is_on_disk_before_anything_in_it_counts() {
    let home = TempDir::new().unwrap();
    let root = home.path().join("state");

    drop(crate::state_db::open(&root).unwrap());

    for parent in [home.path(), &root] {
        let synced = trace::threads_of(Deed::Synced, parent);
        assert!(!synced.is_empty(), "{} was not synced", parent.display());
    }
}
