//! Tests of the log's size on disk.

use cluster_state::{LogIndex, Term};
use openraft::EntryPayload;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use raft_store::{Entry, Payload, Store, log_id};
use tempfile::TempDir;

use crate::fixture::{apply, blank, open};

const ENTRY_BYTES: u64 = 100 << 10;

fn sized(index: u64) -> Entry {
    let payload = Payload::new(vec![7; usize::try_from(ENTRY_BYTES).unwrap()].into());
    Entry { log_id: log_id(Term(1), LogIndex(index)), payload: EntryPayload::Normal(payload) }
}

/// Checks that the log takes what so many entries take, but for what stands beside them.
fn check(store: &Store, entries: u64) {
    let (bytes, expected) = (store.log.bytes(), entries * ENTRY_BYTES);
    assert!((expected..expected + (4 << 10)).contains(&bytes), "{bytes} instead of {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_takes_is_known_after_each_change_and_each_start() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    assert_eq!(store.log.bytes(), 0);
    store.log.blocking_append((0..50).map(sized)).await.unwrap();
    check(&store, 50);
    drop(store);

    let mut store = open(home.path());
    check(&store, 50);
    store.log.truncate_after(Some(log_id(Term(1), LogIndex(41)))).await.unwrap();
    check(&store, 42);
    drop(store);

    let mut store = open(home.path());
    check(&store, 42);
    // What is purged must be on disk in the state; what the state makes of it does not matter.
    apply(&mut store.machine, (0..10).map(|index| blank(1, index)).collect()).await;
    store.log.blocking_append((42..60).map(sized)).await.unwrap();
    store.log.purge(log_id(Term(1), LogIndex(6))).await.unwrap();
    store.log.blocking_append((60..62).map(sized)).await.unwrap();
    drop(store);

    let store = open(home.path());
    check(&store, 62 - 7);
}
