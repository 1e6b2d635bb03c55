//! What the log store promises about syncs, failures and purges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_state::{LogIndex, MasterId, Term};
use openraft::EntryPayload;
use openraft::storage::RaftLogStorageExt;
use openraft::type_config::TypeConfigExt;
use openraft::vote::leader_id_std::LeaderId;
use rocksdb::DB;
use tempfile::TempDir;

use super::*;
use crate::identity::Layout;
use crate::rocks;
use crate::types::{Payload, log_id};

/// A state that says what a test wants it to.
#[derive(Default)]
struct FakeState {
    durable: AtomicU64,
    flushes: AtomicU64,
}

impl StateDurability for FakeState {
    fn durable_index(&self) -> Option<LogIndex> {
        Some(LogIndex(self.durable.load(Ordering::Acquire)))
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

struct World {
    home: TempDir,
    state: Arc<FakeState>,
    log: LogStore,
}

impl World {
    fn new(break_guard: impl FnOnce(Guard) -> Guard) -> Self {
        let home = TempDir::new().unwrap();
        let identity = Identity { node: MasterId(1), cluster: None };
        let layout = Layout::new(home.path().to_owned());
        let held = Held::empty(identity);
        Guard::create(&layout.guard(), held.witness()).unwrap();
        let guard = break_guard(Guard::open(&layout.guard()).unwrap());
        let state = Arc::new(FakeState::default());
        let links = Links {
            state: Arc::clone(&state) as Arc<dyn StateDurability>,
            identity: KnownIdentity::new(identity),
            fatal: Fatal::default(),
            lock: Arc::new(layout.lock().unwrap()),
        };
        let options = LogOptions { cache_bytes_max: 0, ..LogOptions::default() };
        let database = rocks::open_log(&layout.log()).unwrap();
        let log = LogStore::start(database, held, guard, links, options).unwrap();
        Self { home, state, log }
    }

    /// Closes the log and looks at what is on disk.
    fn into_database(self) -> (TempDir, DB) {
        drop(self.log);
        let database = rocks::open_log_read_only(&self.home.path().join("log")).unwrap();
        (self.home, database)
    }
}

fn entry(index: u64) -> Entry {
    let payload = EntryPayload::Normal(Payload(vec![7; 100].into()));
    Entry { log_id: log_id(Term(1), LogIndex(index)), payload }
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: LeaderId { term, voted_for: 1 }, committed: false }
}

/// Entries on disk, by their index.
fn stored(database: &DB) -> Vec<u64> {
    let disk = database.cf_handle("entries").unwrap();
    let rows = database.iterator_cf(disk, rocksdb::IteratorMode::Start);
    rows.map(|row| u64::from_be_bytes((*row.unwrap().0).try_into().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_wait_share_a_sync() {
    let mut world = World::new(|guard| guard);
    let mut waiting = Vec::new();
    for index in 0..2_000 {
        let (done, synced) = TypeConfig::oneshot();
        world.log.append([entry(index)], IOFlushed::signal(done)).await.unwrap();
        waiting.push(synced);
    }
    for synced in waiting {
        synced.await.unwrap().unwrap();
    }

    let LogStats { syncs, entries, .. } = world.log.stats();
    assert_eq!(entries, 2_000);
    assert!(syncs < 1_000, "{syncs} syncs");
    assert_eq!(world.log.fsync_age(), Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_nothing_is_accepted() {
    let mut world = World::new(Guard::broken);
    world.log.blocking_append([entry(0)]).await.unwrap();

    let error = world.log.save_vote(&vote(1)).await.unwrap_err();

    assert!(error.to_string().contains("failed"), "{error}");
    assert!(world.log.0.shared.fatal.reason().is_some());
    // The vote that nobody was promised is not what readers see.
    assert_eq!(world.log.read_vote().await.unwrap(), None);
    world.log.save_vote(&vote(2)).await.unwrap_err();
    world.log.blocking_append([entry(1)]).await.unwrap_err();
    world.log.truncate_after(None).await.unwrap_err();
    world.log.purge(entry(0).log_id).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_waits_until_the_state_is_durable() {
    let mut world = World::new(|guard| guard);
    world.log.blocking_append((0..10).map(entry)).await.unwrap();
    world.state.durable.store(3, Ordering::Release);
    world.log.purge(entry(6).log_id).await.unwrap();
    world.log.save_vote(&vote(1)).await.unwrap();
    assert!(world.state.flushes.load(Ordering::Acquire) > 0, "it was asked to become durable");

    // Readers see it purged at once; on disk nothing has happened.
    let state = world.log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(entry(6).log_id));
    assert_eq!(world.log.try_get_log_entries(..).await.unwrap(), [7, 8, 9].map(entry));
    let (_home, database) = world.into_database();
    assert_eq!(stored(&database), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_below_what_is_durable_deletes() {
    let mut world = World::new(|guard| guard);
    world.log.blocking_append((0..10).map(entry)).await.unwrap();
    world.state.durable.store(9, Ordering::Release);
    world.log.purge(entry(6).log_id).await.unwrap();

    let (_home, database) = world.into_database();

    assert_eq!(stored(&database), [7, 8, 9]);
    let held = Held::load(&database).unwrap();
    // No identity was written to this log, so it does not count as one.
    assert!(held.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaces_a_truncated_tail_is_what_is_read() {
    let mut world = World::new(|guard| guard);
    world.log.blocking_append((0..10).map(entry)).await.unwrap();

    world.log.truncate_after(Some(entry(4).log_id)).await.unwrap();
    let newer = |index| Entry { log_id: log_id(Term(2), LogIndex(index)), ..entry(index) };
    world.log.append((5..8).map(newer), IOFlushed::noop()).await.unwrap();

    let expected = (0..5).map(entry).chain((5..8).map(newer)).collect::<Vec<_>>();
    assert_eq!(world.log.try_get_log_entries(..).await.unwrap(), expected);
    world.log.save_vote(&vote(2)).await.unwrap();
    assert_eq!(world.log.try_get_log_entries(..).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_log_is_refused() {
    let mut world = World::new(|guard| guard);
    world.log.blocking_append([entry(0)]).await.unwrap();

    let error = world.log.append([entry(2)], IOFlushed::noop()).await.unwrap_err();

    assert_eq!(error.to_string(), "log entry 1 is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_bounded_in_bytes_but_never_empty() {
    let mut world = World::new(|guard| guard);
    let large = |index| {
        let payload = EntryPayload::Normal(Payload(vec![1; REPLICATION_BYTES_MAX / 2].into()));
        Entry { payload, ..entry(index) }
    };
    world.log.blocking_append((0..6).map(large)).await.unwrap();

    let part = world.log.limited_get_log_entries(1, 6).await.unwrap();

    assert_eq!(part, [1, 2].map(large));
    let streamed = world.log.entries_stream(0..6).await.map(Result::unwrap);
    assert_eq!(streamed.collect::<Vec<_>>().await, (0..6).map(large).collect::<Vec<_>>());
}
