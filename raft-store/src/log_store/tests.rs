//! Tests of the log store's promises about syncs, failures and purges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cluster_state::{LogIndex, MasterId, Term};
use eventually::{PATIENCE, until};
use futures_util::StreamExt;
use openraft::raft::AppendEntriesRequest;
use openraft::storage::RaftLogStorageExt;
use openraft::type_config::TypeConfigExt;
use openraft::vote::leader_id_std::LeaderId;
use openraft::{EntryPayload, RaftLogReader};
use parking_lot::Mutex;
use proto::limits::{COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX};
use rocksdb::DB;
use tempfile::TempDir;

use super::reading::REPLICATION_BYTES_MAX;
use super::*;
use crate::calls::Call;
use crate::identity::Layout;
use crate::network::wire;
use crate::rocks;
use crate::types::{NodeId, Payload, log_id};

/// A state that reports the positions that a test sets.
#[derive(Default)]
struct FakeState {
    applied: AtomicU64,
    durable: AtomicU64,
    flushes: AtomicU64,
    /// Held by tests to block a flush that has begun.
    disk: Mutex<()>,
}

impl StateDurability for FakeState {
    fn applied_index(&self) -> Option<LogIndex> {
        self.applied.load(Ordering::Acquire).checked_sub(1).map(LogIndex)
    }

    fn durable_index(&self) -> Option<LogIndex> {
        Some(LogIndex(self.durable.load(Ordering::Acquire)))
    }

    fn flush(&self) -> Result<(), StorageError> {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        drop(self.disk.lock());
        Ok(())
    }
}

struct World {
    home: TempDir,
    state: Arc<FakeState>,
    log: LogStore,
}

impl World {
    fn new() -> Self {
        Self::with_cache(0)
    }

    fn with_cache(cache_bytes_max: usize) -> Self {
        let home = TempDir::new().unwrap();
        let identity = Identity { node: NodeId(1), name: MasterId(1), cluster: None };
        let layout = Layout::new(home.path().to_owned());
        let held = Held::empty(identity);
        Guard::create(&layout.guard(), held.witness()).unwrap();
        let guard = Guard::open(&layout.guard()).unwrap();
        let state = Arc::new(FakeState::default());
        let links = Links {
            state: Arc::clone(&state) as Arc<dyn StateDurability>,
            identity: KnownIdentity::new(identity),
            calls: Calls::default(),
            lock: Arc::new(layout.lock().unwrap()),
        };
        let options = LogOptions { cache_bytes_max, ..LogOptions::default() };
        let database = rocks::open_log(&layout.log()).unwrap();
        let log = LogStore::start(database, held, guard, links, options).unwrap();
        Self { home, state, log }
    }

    fn calls(&self) -> &Calls {
        &self.log.0.shared.calls
    }

    /// Closes the log and opens its database.
    fn into_database(self) -> (TempDir, DB) {
        drop(self.log);
        let database = rocks::open_log_read_only(&self.home.path().join("log")).unwrap();
        (self.home, database)
    }
}

fn entry(index: u64) -> Entry {
    let payload = EntryPayload::Normal(Payload::new(vec![7; 100].into()));
    Entry { log_id: log_id(Term(1), LogIndex(index)), payload }
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: LeaderId { term, voted_for: NodeId(1) }, committed: false }
}

/// Returns the indexes of the entries on disk.
fn stored(database: &DB) -> Vec<u64> {
    let disk = database.cf_handle("entries").unwrap();
    let rows = database.iterator_cf(disk, rocksdb::IteratorMode::Start);
    rows.map(|row| u64::from_be_bytes((*row.unwrap().0).try_into().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_wait_share_a_sync() {
    let mut world = World::new();
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
    let mut world = World::new();
    world.log.blocking_append([entry(0)]).await.unwrap();
    world.calls().inject(Call::GuardWrite);

    let error = world.log.save_vote(&vote(1)).await.unwrap_err();

    assert!(error.to_string().contains("failed"), "{error}");
    assert!(world.calls().fatal().reason().is_some());
    world.calls().mend();
    // Readers do not see the vote that was promised to nobody.
    assert_eq!(world.log.read_vote().await.unwrap(), None);
    world.log.save_vote(&vote(2)).await.unwrap_err();
    world.log.blocking_append([entry(1)]).await.unwrap_err();
    world.log.truncate_after(None).await.unwrap_err();
    world.log.purge(entry(0).log_id).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_waits_until_the_state_is_durable() {
    let mut world = World::new();
    world.log.blocking_append((0..10).map(entry)).await.unwrap();
    world.state.durable.store(3, Ordering::Release);
    world.log.purge(entry(6).log_id).await.unwrap();
    world.log.save_vote(&vote(1)).await.unwrap();
    // The state is flushed on a thread of its own.
    until("a flush", PATIENCE, || world.state.flushes.load(Ordering::Acquire) > 0).await;

    // Readers see it purged at once; the disk is unchanged.
    let state = world.log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(entry(6).log_id));
    assert_eq!(world.log.try_get_log_entries(..).await.unwrap(), [7, 8, 9].map(entry));
    let (_home, database) = world.into_database();
    assert_eq!(stored(&database), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_takes_long_to_become_durable_holds_up_nobody() {
    let mut world = World::new();
    world.log.blocking_append((0..10).map(entry)).await.unwrap();
    let state = Arc::clone(&world.state);
    let (locked, is_locked) = mpsc::channel();
    let (unlock, may_unlock) = mpsc::channel::<()>();
    let disk = std::thread::spawn(move || {
        let _hangs = state.disk.lock();
        locked.send(()).unwrap();
        may_unlock.recv().ok();
    });
    is_locked.recv().unwrap();
    world.log.purge(entry(6).log_id).await.unwrap();
    world.log.save_vote(&vote(1)).await.unwrap();
    until("a flush", PATIENCE, || world.state.flushes.load(Ordering::Acquire) > 0).await;

    world.log.save_vote(&vote(2)).await.unwrap();
    world.log.blocking_append([entry(10)]).await.unwrap();
    world.log.purge(entry(8).log_id).await.unwrap();
    world.log.blocking_append([entry(11)]).await.unwrap();

    assert_eq!(world.state.flushes.load(Ordering::Acquire), 1, "one at a time");
    drop(unlock);
    disk.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_below_what_is_durable_deletes() {
    let mut world = World::new();
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
    let mut world = World::new();
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
    let mut world = World::new();
    world.log.blocking_append([entry(0)]).await.unwrap();

    let error = world.log.append([entry(2)], IOFlushed::noop()).await.unwrap_err();

    assert_eq!(error.to_string(), "log entry 1 is missing");
}

fn sized(index: u64, bytes: usize) -> Entry {
    let payload = EntryPayload::Normal(Payload::new(vec![1; bytes].into()));
    Entry { payload, ..entry(index) }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_bounded_in_bytes_but_never_empty() {
    let mut world = World::new();
    let large = |index| sized(index, REPLICATION_BYTES_MAX * 2 / 5);
    world.log.blocking_append((0..6).map(large)).await.unwrap();

    let part = world.log.limited_get_log_entries(1, 6).await.unwrap();

    assert_eq!(part, [1, 2].map(large));
    let streamed = world.log.entries_stream(0..6).await.map(Result::unwrap);
    assert_eq!(streamed.collect::<Vec<_>>().await, (0..6).map(large).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_peer_holds_what_fits_to_the_byte() {
    let without_payload = entry_bytes(&sized(0, 0));
    // All in memory, and all on disk.
    for cache_bytes_max in [1 << 30, 0] {
        for (surplus, sent) in [(-1, 2), (0, 2), (1, 1)] {
            let mut world = World::with_cache(cache_bytes_max);
            let first = sized(0, REPLICATION_BYTES_MAX / 3);
            let room = REPLICATION_BYTES_MAX - entry_bytes(&first) - without_payload;
            let second = sized(1, room.checked_add_signed(surplus).unwrap());
            world.log.blocking_append([first, second, sized(2, 1_000)]).await.unwrap();

            let part = world.log.limited_get_log_entries(0, 3).await.unwrap();

            assert_eq!(part.len(), sent, "{surplus} bytes above the bound");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_to_a_peer_fits_into_a_message() {
    // All in memory, and all on disk.
    for cache_bytes_max in [1 << 30, 0] {
        let mut world = World::with_cache(cache_bytes_max);
        let mut sizes = vec![150 << 10; 13];
        sizes.extend([COMMAND_BYTES_MAX, 1, COMMAND_BYTES_MAX - 1, COMMAND_BYTES_MAX, 1]);
        let entries = (0..).zip(sizes).map(|(index, bytes)| sized(index, bytes));
        let entries = entries.collect::<Vec<_>>();
        for one in &entries {
            world.log.blocking_append([one.clone()]).await.unwrap();
        }

        let (mut next, end) = (0, entries.len() as u64);
        let mut sent = Vec::new();
        while next < end {
            let part = world.log.limited_get_log_entries(next, end).await.unwrap();
            assert_eq!(part.first().unwrap().log_id.index, next);
            next = part.last().unwrap().log_id.index + 1;
            let (vote, leader_commit) = (vote(1), Some(entry(next).log_id));
            let prev_log_id = leader_commit;
            let request =
                AppendEntriesRequest { vote, prev_log_id, leader_commit, entries: part.clone() };
            let bytes = prost::Message::encoded_len(&wire::append_out(request).unwrap());
            assert!(bytes <= MESSAGE_BYTES_MAX, "{bytes} bytes for {} entries", part.len());
            sent.extend(part);
        }
        assert_eq!(sent, entries);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_log_is_an_error_wherever_it_is_read() {
    let mut world = World::new();
    world.log.blocking_append((0..10).map(entry)).await.unwrap();
    let disk = Arc::clone(&world.log.0.disk);
    disk.database().delete_cf(disk.entries().unwrap(), 5_u64.to_be_bytes()).unwrap();

    let streamed = world.log.entries_stream(2..8).await.collect::<Vec<_>>().await;
    assert!(streamed.last().unwrap().is_err(), "{streamed:?}");
    assert_eq!(streamed.iter().filter(|entry| entry.is_ok()).count(), 0);
    let whole = world.log.try_get_log_entries(2..8).await.unwrap_err();
    assert_eq!(whole.to_string(), "log entry 5 is missing");
    let for_peer = world.log.limited_get_log_entries(5, 8).await.unwrap_err();
    assert_eq!(for_peer.to_string(), "log entry 5 is missing");
    assert_eq!(&*world.calls().fatal().reason().unwrap(), "log entry 5 is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_needs_what_is_purged_is_sent_nothing() {
    let mut world = World::new();
    world.log.blocking_append((0..10).map(entry)).await.unwrap();
    world.log.purge(entry(6).log_id).await.unwrap();

    assert_eq!(world.log.limited_get_log_entries(3, 10).await.unwrap(), []);
    assert_eq!(world.log.limited_get_log_entries(7, 10).await.unwrap(), [7, 8, 9].map(entry));
    let streamed = world.log.entries_stream(3..10).await.collect::<Vec<_>>().await;
    assert!(streamed[0].is_err(), "what is applied must not be left out: {streamed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_or_committed_is_never_cut() {
    for is_applied in [true, false] {
        let mut world = World::new();
        world.log.blocking_append((0..10).map(entry)).await.unwrap();
        if is_applied {
            world.state.applied.store(7, Ordering::Release);
        } else {
            world.log.save_committed(Some(entry(6).log_id)).await.unwrap();
        }
        world.log.truncate_after(Some(entry(6).log_id)).await.unwrap();
        assert_eq!(world.calls().fatal().reason(), None);

        let error = world.log.truncate_after(Some(entry(5).log_id)).await.unwrap_err();

        assert!(error.to_string().contains("nothing was cut"), "{error}");
        assert_eq!(&*world.calls().fatal().reason().unwrap(), error.to_string());
        assert_eq!(world.log.get_log_state().await.unwrap().last_log_id, Some(entry(6).log_id));
        let (_home, database) = world.into_database();
        assert_eq!(stored(&database), (0..7).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_is_on_disk_when_it_returns() {
    let mut world = World::new();
    world.log.blocking_append((0..10).map(entry)).await.unwrap();

    world.log.truncate_after(Some(entry(4).log_id)).await.unwrap();

    assert_eq!(stored(world.log.0.disk.database()), (0..5).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_beyond_a_tail_of_a_newer_term_ends_the_log_there() {
    let of_term = |term, index| Entry { log_id: log_id(Term(term), LogIndex(index)), ..entry(0) };
    // Beyond the end, and at it.
    for upto in [1_034, 10] {
        let mut world = World::new();
        world.log.blocking_append((0..11).map(|index| of_term(5, index))).await.unwrap();
        world.log.save_vote(&vote(5)).await.unwrap();

        world.log.purge(of_term(4, upto).log_id).await.unwrap();
        world.log.blocking_append([of_term(6, upto + 1)]).await.unwrap();
        world.log.save_vote(&vote(6)).await.unwrap();

        let state = world.log.get_log_state().await.unwrap();
        assert_eq!(state.last_log_id, Some(of_term(6, upto + 1).log_id));
        let layout = Layout::new(world.home.path().to_owned());
        let (_home, database) = world.into_database();
        assert_eq!(stored(&database), [upto + 1]);
        let identity = Identity { node: NodeId(1), name: MasterId(1), cluster: None };
        let purged = Some(of_term(4, upto).log_id);
        let last = Some(of_term(6, upto + 1).log_id);
        let held = Held { vote: Some(vote(6)), purged, last, ..Held::empty(identity) };
        Guard::read(&layout.guard()).unwrap().check(&held.witness()).unwrap();
    }
}
