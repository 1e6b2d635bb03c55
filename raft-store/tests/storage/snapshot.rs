//! Snapshots from one node to another, with everything that can go wrong on the way.

use std::fs;

use cluster_state::{ClusterId, LogIndex, MasterId};
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use raft_store::{
    Chunk, Manifest, Published, ReceiveError, SnapshotData, SnapshotReceiver, Store, StoreConfig,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::fixture::{self, CLUSTER, History, apply, entry, fingerprint, open, submit};

/// A node that has applied a history.
async fn sender(history: &History) -> (TempDir, Store) {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    apply(&mut store.machine, history.entries.clone()).await;
    (home, store)
}

fn receiver() -> (TempDir, Store) {
    let home = TempDir::new().unwrap();
    let config = StoreConfig::new(home.path(), MasterId(2));
    (home, Store::open(config).unwrap())
}

async fn build(store: &mut Store) -> SnapshotData {
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    builder.build_snapshot().await.unwrap().snapshot
}

async fn manifest(data: &SnapshotData) -> Manifest {
    // As it travels.
    Manifest::decode(&data.manifest().await.unwrap().encode().unwrap()).unwrap()
}

async fn chunks(data: &SnapshotData, offsets: &[u64]) -> Vec<Chunk> {
    let mut reader = data.chunks(offsets).await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next().await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

async fn send(data: &SnapshotData, to: &mut SnapshotReceiver) {
    for chunk in chunks(data, to.offsets()).await {
        to.write_chunk(chunk).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_makes_the_receiver_equal() {
    let history = History::new(5);
    let (_sender_home, mut sender) = sender(&history).await;
    let (home, mut node) = receiver();
    let mut feed = node.reader.subscribe();
    let data = build(&mut sender).await;

    let mut transfer = node.inbox.begin(manifest(&data).await).await.unwrap();
    send(&data, &mut transfer).await;
    let received = transfer.finish().await.unwrap();
    node.machine.install_snapshot(received.meta(), received.clone()).await.unwrap();

    let last = history.last_index();
    assert_eq!(node.reader.applied().index, LogIndex(last));
    assert!(node.reader.with(fingerprint) == history.state_at(last));
    assert!(matches!(feed.try_recv(), Ok(Published::Installed(at)) if at.index.0 == last));
    let theirs = sender.reader.finished_tasks_below(None, 1000).await.unwrap().tasks;
    assert_eq!(node.reader.finished_tasks_below(None, 1000).await.unwrap().tasks, theirs);
    let current = node.machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(current.snapshot.id(), data.id());

    // It goes on from there, and a restart finds it.
    let next = entry(1, last + 1, submit(2, None));
    apply(&mut node.machine, vec![next]).await;
    let state = node.reader.with(fingerprint);
    drop((node, received, current));
    let config = StoreConfig::new(home.path(), MasterId(2));
    let node = Store::open(config).unwrap();
    assert!(node.reader.with(fingerprint) == state);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_transfer_goes_on_where_it_stopped() {
    let (_sender_home, mut sender) = sender(&History::new(5)).await;
    let (_home, node) = receiver();
    let data = build(&mut sender).await;
    let all = chunks(&data, &[]).await;
    let half = all.len() / 2;
    let mut transfer = node.inbox.begin(manifest(&data).await).await.unwrap();
    for chunk in all.iter().take(half).cloned() {
        transfer.write_chunk(chunk).await.unwrap();
    }
    drop(transfer);

    let mut transfer = node.inbox.begin(manifest(&data).await).await.unwrap();
    let rest = chunks(&data, transfer.offsets()).await;

    assert_eq!(rest, all[half..]);
    for chunk in rest {
        transfer.write_chunk(chunk).await.unwrap();
    }
    transfer.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_snapshot_begins_from_nothing() {
    let (_sender_home, mut sender) = sender(&History::new(3)).await;
    let (_home, node) = receiver();
    let (first, second) = (build(&mut sender).await, build(&mut sender).await);
    let mut old = node.inbox.begin(manifest(&first).await).await.unwrap();
    let chunk = chunks(&first, &[]).await.remove(0);

    let mut new = node.inbox.begin(manifest(&second).await).await.unwrap();

    assert!(new.offsets().iter().all(|offset| *offset == 0));
    let late = old.write_chunk(chunk).await;
    assert!(matches!(late, Err(ReceiveError::Superseded)), "{late:?}");
    send(&second, &mut new).await;
    new.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_misplaced_chunks_are_refused() {
    let (_sender_home, mut sender) = sender(&History::new(3)).await;
    let (_home, node) = receiver();
    let data = build(&mut sender).await;
    let good = chunks(&data, &[]).await.remove(0);
    let mut transfer = node.inbox.begin(manifest(&data).await).await.unwrap();
    let mut refusal = async |chunk| transfer.write_chunk(chunk).await.unwrap_err().to_string();

    let mut bytes = good.bytes.to_vec();
    bytes[0] ^= 1;
    let damaged = Chunk { bytes: bytes.into(), ..good.clone() };
    let name = &manifest(&data).await.files[usize::try_from(good.file).unwrap()].name;
    assert_eq!(refusal(damaged).await, format!("chunk of '{name}' has a wrong checksum"));
    let later = Chunk { offset: 4096, ..good.clone() };
    assert!(refusal(later).await.ends_with("begins at 4096, expected 0"));
    let nowhere = Chunk { file: 999, ..good.clone() };
    assert_eq!(refusal(nowhere).await, "chunk names file 999, which the snapshot does not have");
    let long = Chunk { bytes: vec![0; 1 << 20].into(), ..good.clone() };
    assert!(refusal(long).await.ends_with("is too long"));

    transfer.write_chunk(good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_the_described_one_is_thrown_away() {
    let (_sender_home, mut sender) = sender(&History::new(3)).await;
    let (_home, node) = receiver();
    let data = build(&mut sender).await;
    let mut described = manifest(&data).await;
    described.files[0].crc32 ^= 1;
    let mut transfer = node.inbox.begin(described.clone()).await.unwrap();
    send(&data, &mut transfer).await;

    let error = transfer.finish().await.unwrap_err();

    assert!(matches!(error, ReceiveError::FileChecksum(_)), "{error}");
    let again = node.inbox.begin(described).await.unwrap();
    assert!(again.offsets().iter().all(|offset| *offset == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_snapshot_is_not_finished() {
    let (_sender_home, mut sender) = sender(&History::new(3)).await;
    let (_home, node) = receiver();
    let data = build(&mut sender).await;
    let transfer = node.inbox.begin(manifest(&data).await).await.unwrap();

    let error = transfer.finish().await.unwrap_err();

    assert!(matches!(error, ReceiveError::Incomplete(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clusters_snapshot_is_refused() {
    let (_sender_home, mut sender) = sender(&History::new(2)).await;
    let (_home, node) = receiver();
    node.log.set_cluster_id(ClusterId(0xff)).await.unwrap();
    let data = build(&mut sender).await;
    assert_eq!(data.manifest().await.unwrap().cluster, Some(CLUSTER));

    let error = node.inbox.begin(manifest(&data).await).await.unwrap_err();

    assert!(matches!(error, ReceiveError::WrongCluster { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_holds_something_else_changes_nothing() {
    let history = History::new(3);
    let (_sender_home, mut sender) = sender(&history).await;
    let (home, mut node) = receiver();
    let data = build(&mut sender).await;
    let mut meta = data.meta().clone();
    meta.last_log_id = Some(history.entries[2].log_id);

    node.machine.install_snapshot(&meta, data).await.unwrap_err();

    assert!(node.fatal.reason().is_some());
    drop(node);
    let node = Store::open(StoreConfig::new(home.path(), MasterId(2))).unwrap();
    assert_eq!(node.reader.applied().index, LogIndex(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_agree_with_their_data_while_entries_are_applied() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    let history = History::new(100);
    let mut builds = JoinSet::new();
    for (round, part) in history.entries.chunks(20).enumerate() {
        let mut builder = store.machine.try_create_snapshot_builder(false).await.unwrap();
        builds.spawn(async move { builder.build_snapshot().await.unwrap() });
        apply(&mut store.machine, part.to_vec()).await;
        if round % 4 == 3 {
            while let Some(snapshot) = builds.join_next().await {
                let snapshot = snapshot.unwrap();
                let (_home, mut node) = receiver();
                node.machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
                let at = node.reader.applied().index.0;
                assert!(node.reader.with(fingerprint) == history.state_at(at), "at {at}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_goes_when_nobody_holds_it() {
    let (_sender_home, mut store) = sender(&History::new(2)).await;
    let first = build(&mut store).await;
    let path = first.path().to_owned();
    let second = build(&mut store).await;

    assert!(path.exists(), "it is still held");
    drop(first);

    assert!(!path.exists());
    assert!(second.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_snapshot_does_not_share_what_rocksdb_writes_to() {
    let (_sender_home, mut sender) = sender(&History::new(3)).await;
    let (_home, mut node) = receiver();
    let data = build(&mut sender).await;
    let before = fixture::contents(data.path());

    node.machine.install_snapshot(data.meta(), data.clone()).await.unwrap();
    let next = History::new(3).last_index() + 1;
    apply(&mut node.machine, vec![entry(1, next, submit(1, None))]).await;
    drop(node);

    assert!(fixture::contents(data.path()) == before);
    assert!(fs::read_dir(data.path()).unwrap().count() > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_be_used_is_refused_before_it_is_installed() {
    let (_sender_home, mut sender) = sender(&History::new(3)).await;
    let (home, node) = receiver();
    let data = build(&mut sender).await;
    let mut described = manifest(&data).await;
    described.meta.last_log_id = Some(History::new(3).entries[2].log_id);
    let mut transfer = node.inbox.begin(described.clone()).await.unwrap();
    send(&data, &mut transfer).await;

    let error = transfer.finish().await.unwrap_err();

    assert!(matches!(error, ReceiveError::Unusable(_)), "{error}");
    assert!(error.is_lasting());
    assert_eq!(node.inbox.failures().refused, 1);
    assert_eq!(node.fatal.reason(), None);
    // Nothing is left of the try, and nothing has to be sent again.
    assert!(!home.path().join("state/db-2").exists());
    let again = node.inbox.begin(described.clone()).await.unwrap();
    let whole = described.files.iter().map(|file| file.len).collect::<Vec<_>>();
    assert_eq!(again.offsets(), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_snapshot_takes_over_what_it_has_in_common() {
    let history = History::new(3);
    let (_sender_home, mut sender) = sender(&history).await;
    let (_home, node) = receiver();
    let first = build(&mut sender).await;
    let mut transfer = node.inbox.begin(manifest(&first).await).await.unwrap();
    send(&first, &mut transfer).await;
    drop(transfer);
    let next = entry(1, history.last_index() + 1, submit(1, None));
    apply(&mut sender.machine, vec![next]).await;
    let second = build(&mut sender).await;

    let described = manifest(&second).await;
    let mut transfer = node.inbox.begin(described.clone()).await.unwrap();

    let shared = manifest(&first).await.files;
    let held = described.files.iter().zip(transfer.offsets());
    for (file, held) in held {
        let expected = if shared.contains(file) { file.len } else { 0 };
        assert_eq!(*held, expected, "{}", file.name);
    }
    let is_table = |file: &&raft_store::ManifestFile| file.name.ends_with(".sst");
    assert!(shared.iter().filter(is_table).any(|file| described.files.contains(file)));
    send(&second, &mut transfer).await;
    transfer.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_nobody_goes_on_with_is_cleared() {
    let history = History::new(3);
    let (_sender_home, mut sender) = sender(&history).await;
    let (home, mut node) = receiver();
    let data = build(&mut sender).await;
    drop(node.inbox.begin(manifest(&data).await).await.unwrap());
    let incoming = home.path().join("state/incoming").join(data.id());

    let (last, before) = history.entries.split_last().unwrap();
    apply(&mut node.machine, before.to_vec()).await;
    build(&mut node).await;
    assert!(incoming.exists(), "it brings something still");
    apply(&mut node.machine, vec![last.clone()]).await;
    build(&mut node).await;

    assert!(!incoming.exists());
}
