//! Tests of a node after a crash: it knows all that it acknowledged, or it does not start.

use std::path::{Path, PathBuf};

use cluster_state::LogIndex;
use openraft::RaftLogReader;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftSnapshotBuilder, RaftStateMachine};
use openraft::vote::leader_id_std::LeaderId;
use raft_store::{LogId, NodeId, OpenError, Store, StoreConfig, Vote};
use tempfile::TempDir;

use crate::fixture::{self, History, apply, blank, contents, copy_tree, fingerprint, open};

/// Promises that had been made when a copy was taken.
struct Cut {
    dir: PathBuf,
    after: &'static str,
    last: Option<LogId>,
    vote: Option<Vote>,
    applied: Option<u64>,
}

fn vote(term: u64, node: u64) -> Vote {
    Vote { leader_id: LeaderId { term, voted_for: NodeId(node) }, committed: false }
}

/// A node at work, copied as a crash would leave it after each thing that it acknowledges.
struct Node {
    store: Store,
    home: TempDir,
    cuts: Vec<Cut>,
    last: Option<LogId>,
    vote: Option<Vote>,
    applied: Option<u64>,
}

impl Node {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let store = open(&home.path().join("node"));
        let cuts = Vec::new();
        let mut node = Self { store, home, cuts, last: None, vote: None, applied: None };
        node.cut("start");
        node
    }

    fn cut(&mut self, after: &'static str) {
        let dir = self.home.path().join(format!("cut-{}", self.cuts.len()));
        copy_tree(&self.home.path().join("node"), &dir);
        let Self { last, vote, applied, .. } = *self;
        self.cuts.push(Cut { dir, after, last, vote, applied });
    }

    async fn append(&mut self, entries: Vec<raft_store::Entry>) {
        self.last = entries.last().map(|entry| entry.log_id);
        self.store.log.blocking_append(entries).await.unwrap();
        self.cut("append");
    }

    async fn apply(&mut self, entries: Vec<raft_store::Entry>) {
        let last = entries.last().unwrap().log_id;
        self.store.log.save_committed(Some(last)).await.unwrap();
        apply(&mut self.store.machine, entries).await;
        self.applied = Some(last.index);
        self.cut("apply");
    }

    async fn vote(&mut self, vote: Vote) {
        self.store.log.save_vote(&vote).await.unwrap();
        self.vote = Some(vote);
        self.cut("vote");
    }

    /// The next acknowledged operation stands for the truncation too: it is done in order.
    async fn truncate_and_vote(&mut self, last: LogId, vote: Vote) {
        self.store.log.truncate_after(Some(last)).await.unwrap();
        self.last = Some(last);
        self.vote(vote).await;
    }

    async fn snapshot_and_purge(&mut self, upto: LogId) {
        let mut builder = self.store.machine.try_create_snapshot_builder(true).await.unwrap();
        builder.build_snapshot().await.unwrap();
        self.cut("snapshot");
        self.store.log.purge(upto).await.unwrap();
        self.cut("purge");
    }
}

/// Reopens a copy and compares it with what had been acknowledged.
async fn check(cut: &Cut, history: &History) {
    let context = format!("{} after {}", cut.dir.display(), cut.after);
    let mut store = open(&cut.dir);
    let log_state = store.log.get_log_state().await.unwrap();
    assert_eq!(log_state.last_log_id, cut.last, "{context}");
    assert_eq!(store.log.read_vote().await.unwrap(), cut.vote, "{context}");

    let (applied, _) = store.machine.applied_state().await.unwrap();
    let next = applied.map_or(0, |applied| applied.index + 1);
    if let Some(upto) = cut.applied {
        let lost = store.log.try_get_log_entries(next..=upto).await.unwrap();
        assert_eq!(lost.len() as u64, (upto + 1).saturating_sub(next), "{context}");
        apply(&mut store.machine, lost).await;
        let state = store.reader.with(fingerprint);
        assert!(state == history.state_at(upto), "{context}: another state");
        let violations = store.reader.with(cluster_state::State::check_invariants);
        assert!(violations.is_ok(), "{context}: {violations:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_any_write_loses_nothing_that_was_acknowledged() {
    let history = History::new(6);
    let mut node = Node::start();
    node.vote(vote(1, 1)).await;
    for from in (0..=history.last_index()).step_by(3) {
        let part = history.slice(from, from + 2);
        node.append(part.clone()).await;
        node.apply(part).await;
        if from == 18 {
            node.snapshot_and_purge(history.entries[12].log_id).await;
        }
        if from == 24 {
            let last = node.last.unwrap();
            // What an old leader could not commit gives way to what the new one says.
            node.append((1..=4).map(|n| blank(1, last.index + n)).collect()).await;
            node.truncate_and_vote(last, vote(2, 3)).await;
        }
    }

    assert!(node.cuts.len() > 30, "{} copies", node.cuts.len());
    for cut in &node.cuts {
        check(cut, &history).await;
    }
}

/// A log of some entries, its node stopped in good order.
async fn stopped_node(history: &History) -> TempDir {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    store.log.save_vote(&vote(1, 1)).await.unwrap();
    for from in (0..=history.last_index()).step_by(3) {
        store.log.blocking_append(history.slice(from, from + 2)).await.unwrap();
    }
    drop(store);
    home
}

/// The write-ahead log that holds everything which is not in table files yet.
fn wal(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let is_wal = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    files.filter(is_wal).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_cut_anywhere_below_its_guard_does_not_start() {
    let history = History::new(3);
    let home = stopped_node(&history).await;
    let whole = std::fs::read(wal(home.path())).unwrap();
    let copies = TempDir::new().unwrap();

    let mut refused = 0;
    for len in (0..whole.len()).step_by(13).chain(whole.len() - 3..whole.len()) {
        let dir = copies.path().join(format!("cut-{len}"));
        copy_tree(home.path(), &dir);
        std::fs::write(wal(&dir), &whole[..len]).unwrap();
        let before = contents(&dir);
        match Store::open(fixture::config(&dir)) {
            Err(OpenError::LogBehindGuard { .. } | OpenError::Damaged { .. }) => {
                refused += 1;
                assert!(contents(&dir) == before, "refusing the cut at {len} changed the disk");
            }
            Err(error) => panic!("cut at {len}: {error}"),
            Ok(mut store) => {
                // Only what nobody was told of may be missing.
                let last = store.log.get_log_state().await.unwrap().last_log_id;
                assert_eq!(last.map(|last| last.index), Some(history.last_index()), "{len}");
            }
        }
    }
    assert!(refused > 60, "{refused} refused of {} bytes", whole.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_does_not_cover_yet_is_cut_at_an_entry() {
    let history = History::new(3);
    let home = TempDir::new().unwrap();
    // Every entry follows the last writing of the guard, which the vote caused.
    let mut store = Store::open(StoreConfig::new(home.path(), cluster_state::MasterId(1))).unwrap();
    store.log.save_vote(&vote(1, 1)).await.unwrap();
    for entry in &history.entries {
        store.log.blocking_append([entry.clone()]).await.unwrap();
    }
    let copies = TempDir::new().unwrap();
    let whole = copies.path().join("whole");
    copy_tree(home.path(), &whole);
    let bytes = std::fs::read(wal(&whole)).unwrap();

    let mut lengths = std::collections::BTreeSet::new();
    for len in (0..=bytes.len()).rev().step_by(97) {
        let dir = copies.path().join(format!("cut-{len}"));
        copy_tree(&whole, &dir);
        std::fs::write(wal(&dir), &bytes[..len]).unwrap();
        let Ok(mut store) = Store::open(StoreConfig::new(&dir, cluster_state::MasterId(1))) else {
            continue;
        };
        assert_eq!(store.log.read_vote().await.unwrap(), Some(vote(1, 1)));
        let entries = store.log.try_get_log_entries(..).await.unwrap();
        assert_eq!(entries, history.entries[..entries.len()]);
        lengths.insert(entries.len());
    }
    assert!(lengths.len() > 5, "{lengths:?}");
    assert_eq!(lengths.last(), Some(&history.entries.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_wal_was_removed_does_not_start() {
    let home = stopped_node(&History::new(2)).await;
    std::fs::remove_file(wal(home.path())).unwrap();
    let before = contents(home.path());

    let error = Store::open(fixture::config(home.path())).unwrap_err();

    assert!(
        matches!(error, OpenError::LogBehindGuard { .. } | OpenError::Damaged { .. }),
        "{error}"
    );
    assert!(contents(home.path()) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_middle_of_the_log_is_noticed() {
    let home = stopped_node(&History::new(4)).await;
    let path = wal(home.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
    let before = contents(home.path());

    let error = Store::open(fixture::config(home.path())).unwrap_err();

    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(contents(home.path()) == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_good_order_keeps_everything() {
    let history = History::new(5);
    let home = TempDir::new().unwrap();
    let last = history.last_index();
    {
        let mut store = open(home.path());
        store.log.blocking_append(history.entries.clone()).await.unwrap();
        store.log.save_committed(Some(history.entries[10].log_id)).await.unwrap();
        apply(&mut store.machine, history.entries.clone()).await;
    }

    let mut store = open(home.path());

    // The state was flushed when it was closed, so that nothing is left to be applied.
    assert_eq!(store.reader.applied().index, LogIndex(last));
    assert!(store.reader.with(fingerprint) == history.state_at(last));
    let committed = store.log.read_committed().await.unwrap();
    assert_eq!(committed, Some(history.entries[10].log_id));
    // What finished is on disk, except what was forgotten.
    let finished = store.reader.finished_tasks_below(None, 100).await.unwrap().tasks;
    assert!(!finished.is_empty());
}
