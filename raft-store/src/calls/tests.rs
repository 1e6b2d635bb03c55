//! Tests that fail every storage call: the node ends as a whole, or reports the failure and goes
//! on. The remains of a crash between two writes are no obstacle to the next start.

use cluster_state::{LogIndex, MasterId, TaskId, Term};
use futures_util::stream;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftSnapshotBuilder, RaftStateMachine};
use openraft::vote::leader_id_std::LeaderId;
use openraft::{EntryPayload, RaftLogReader};
use tempfile::TempDir;

use super::*;
use crate::types::{Entry, NodeId, Vote, log_id};
use crate::{LogOptions, Manifest, SnapshotData, SnapshotReceiver, Store, StoreConfig};

/// Iterates over all calls. It does not compile if one is missing in the chain.
fn every_call() -> impl Iterator<Item = Call> {
    let next = |call: &Call| match call {
        Call::LogWrite => Some(Call::LogRead),
        Call::LogRead => Some(Call::GuardWrite),
        Call::GuardWrite => Some(Call::StateWrite),
        Call::StateWrite => Some(Call::StateFlush),
        Call::StateFlush => Some(Call::SnapshotInstall),
        Call::SnapshotInstall => Some(Call::SnapshotTake),
        Call::SnapshotTake => Some(Call::SnapshotRead),
        Call::SnapshotRead => Some(Call::SnapshotReceive),
        Call::SnapshotReceive => Some(Call::SnapshotPrepare),
        Call::SnapshotPrepare => Some(Call::HistoryRead),
        Call::HistoryRead => Some(Call::SeenWrite),
        Call::SeenWrite => None,
    };
    std::iter::successors(Some(Call::LogWrite), next)
}

fn config(home: &TempDir) -> StoreConfig {
    let log = LogOptions { cache_bytes_max: 0, guard_entries: 1, ..LogOptions::default() };
    StoreConfig { log, ..StoreConfig::new(home.path(), MasterId(1)) }
}

fn open(home: &TempDir) -> Store {
    Store::open(config(home)).unwrap()
}

fn entry(term: u64, index: u64) -> Entry {
    Entry { log_id: log_id(Term(term), LogIndex(index)), payload: EntryPayload::Blank }
}

fn vote(term: u64, node: u64, committed: bool) -> Vote {
    Vote { leader_id: LeaderId { term, voted_for: NodeId(node) }, committed }
}

type Tried = Result<(), Box<dyn Error>>;

async fn apply(store: &mut Store, from: u64, to: u64) -> Tried {
    let entries = (from..=to).map(|index| Ok((entry(1, index), None)));
    Ok(store.machine.apply(stream::iter(entries)).await?)
}

async fn take(store: &mut Store) -> Result<SnapshotData, Box<dyn Error>> {
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    Ok(builder.build_snapshot().await?.snapshot)
}

async fn transfer(data: &SnapshotData, store: &Store) -> Result<SnapshotReceiver, Box<dyn Error>> {
    let manifest = Manifest::clone(&*data.manifest().await?);
    let mut receiver = store.inbox.begin(manifest).await?;
    let mut chunks = data.chunks(receiver.offsets()).await?;
    while let Some(chunk) = chunks.next().await? {
        receiver.write_chunk(chunk).await?;
    }
    Ok(receiver)
}

/// A node with entries 0 to 9 applied, and a snapshot of another up to entry 19.
struct World {
    store: Store,
    ahead: Store,
    /// Snapshot of the other node.
    snapshot: SnapshotData,
    _homes: [TempDir; 2],
}

impl World {
    async fn new() -> Self {
        let homes = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let (mut store, mut ahead) = (open(&homes[0]), open(&homes[1]));
        store.log.blocking_append((0..10).map(|index| entry(1, index))).await.unwrap();
        apply(&mut store, 0, 9).await.unwrap();
        apply(&mut ahead, 0, 19).await.unwrap();
        let snapshot = take(&mut ahead).await.unwrap();
        Self { store, ahead, snapshot, _homes: homes }
    }

    /// Makes the call.
    async fn attempt(&mut self, call: Call) -> Tried {
        let store = &mut self.store;
        match call {
            Call::LogWrite => {
                let next = store.log.get_log_state().await?.last_log_id.unwrap().index + 1;
                Ok(store.log.blocking_append([entry(1, next)]).await?)
            }
            Call::LogRead => Ok(store.log.try_get_log_entries(2..4).await.map(drop)?),
            Call::GuardWrite => Ok(store.log.save_vote(&vote(2, 1, false)).await?),
            Call::StateWrite => apply(store, 10, 10).await,
            Call::StateFlush => {
                store.log.purge(entry(1, 5).log_id).await?;
                Err(store.fatal.raised().await.to_string().into())
            }
            Call::SnapshotInstall => {
                let received = transfer(&self.snapshot, store).await?.finish().await?;
                Ok(store.machine.install_snapshot(received.meta(), received.clone()).await?)
            }
            Call::SnapshotTake => take(store).await.map(drop),
            Call::SnapshotRead => {
                let data = take(&mut self.ahead).await?;
                Ok(data.chunks(&[]).await.map(drop)?)
            }
            Call::SnapshotReceive => transfer(&self.snapshot, store).await.map(drop),
            Call::SnapshotPrepare => {
                Ok(transfer(&self.snapshot, store).await?.finish().await.map(drop)?)
            }
            Call::HistoryRead => Ok(store.reader.finished_task(TaskId(1)).await.map(drop)?),
            Call::SeenWrite => {
                Ok(store.seen.keep([(NodeId(2), entry(1, 5).log_id)].into()).await?)
            }
        }
    }

    fn inject(&self, call: Call) {
        self.store.inbox.calls().inject(call);
        self.ahead.inbox.calls().inject(call);
    }

    fn mend(&self) {
        self.store.inbox.calls().mend();
        self.ahead.inbox.calls().mend();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_fails_ends_the_node_or_is_told() {
    assert_eq!(every_call().count(), 12);
    for call in every_call() {
        let mut world = World::new().await;
        world.inject(call);

        let error = world.attempt(call).await.unwrap_err();

        let error = describe(&*error);
        assert!(error.contains(&format!("{call:?} fails")), "{call:?}: {error}");
        world.mend();
        match call.consequence() {
            Consequence::Fatal => {
                let reason = world.store.fatal.reason();
                let reason = reason.unwrap_or_else(|| panic!("{call:?} leaves a half-dead node"));
                assert!(reason.contains(&format!("{call:?} fails")), "{reason}");
                world.store.log.save_vote(&vote(3, 1, false)).await.unwrap_err();
            }
            Consequence::Told => {
                assert_eq!(world.store.fatal.reason(), None, "{call:?}");
                world.attempt(call).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_stream_of_entries_ends_the_node() {
    let mut world = World::new().await;
    let broken = stream::iter([Err(std::io::Error::other("it breaks off"))]);

    world.store.machine.apply(broken).await.unwrap_err();

    assert!(world.store.fatal.reason().unwrap().contains("it breaks off"));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_do_not_follow_are_not_applied() {
    // A gap, a repeated entry, an older term.
    for (term, index) in [(1, 11), (1, 9), (0, 10)] {
        let mut world = World::new().await;

        let entries = stream::iter([Ok((entry(term, index), None))]);
        let error = world.store.machine.apply(entries).await.unwrap_err();

        let expected = format!("entry {index} of term {term} was to be applied after entry 9");
        assert_eq!(error.to_string(), expected);
        assert_eq!(*world.store.fatal.reason().unwrap(), *expected);
        assert_eq!(world.store.reader.applied().index, LogIndex(9));
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_taken_is_tried_again() {
    let mut world = World::new().await;
    world.inject(Call::SnapshotTake);
    let mut builder = world.store.machine.try_create_snapshot_builder(false).await.unwrap();

    let build = builder.build_snapshot();
    let mend = async {
        while world.store.inbox.failures().not_taken < 3 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        world.mend();
    };
    let (built, ()) = tokio::join!(build, mend);

    assert_eq!(built.unwrap().meta.last_log_id.unwrap().index, 9);
    assert_eq!(world.store.fatal.reason(), None);
}

/// Operation during which the crash comes.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The vote for the winner, after a lost candidacy of its own.
    ObeyTheWinner,
    Append,
    Truncate,
    PurgeBeyondTheEnd,
    /// A purge at the index of the log's end, of an older term.
    PurgeAtTheEnd,
}

impl Step {
    const ALL: [Self; 5] = [
        Self::ObeyTheWinner,
        Self::Append,
        Self::Truncate,
        Self::PurgeBeyondTheEnd,
        Self::PurgeAtTheEnd,
    ];

    async fn take(self, store: &mut Store) {
        let log = &mut store.log;
        // Errors are expected: the crash is one.
        match self {
            Self::ObeyTheWinner => log.save_vote(&vote(7, 1, true)).await.ok(),
            Self::Append => log.blocking_append([entry(6, 10)]).await.ok(),
            Self::Truncate => log.truncate_after(Some(entry(1, 4).log_id)).await.ok(),
            Self::PurgeBeyondTheEnd => log.purge(entry(5, 40).log_id).await.ok(),
            Self::PurgeAtTheEnd => log.purge(entry(5, 9).log_id).await.ok(),
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_writes_of_one_step_is_no_obstacle() {
    for step in Step::ALL {
        for crash in [Call::LogWrite, Call::GuardWrite] {
            let home = TempDir::new().unwrap();
            let mut store = open(&home);
            store.log.save_vote(&vote(7, 3, false)).await.unwrap();
            store.log.blocking_append((0..10).map(|index| entry(6, index))).await.unwrap();
            // A snapshot that the state has, as before a purge.
            let entries = (0..=40).map(|index| Ok((entry(5, index), None)));
            if matches!(step, Step::PurgeBeyondTheEnd | Step::PurgeAtTheEnd) {
                store.machine.apply(stream::iter(entries)).await.unwrap();
                take(&mut store).await.unwrap();
            }

            store.inbox.calls().inject(crash);
            step.take(&mut store).await;
            drop(store);

            let mut store = Store::open(config(&home))
                .unwrap_or_else(|error| panic!("{step:?}, {crash:?}: {error}"));
            let vote_kept = store.log.read_vote().await.unwrap();
            assert!(vote_kept >= Some(vote(7, 3, false)), "{step:?}, {crash:?}: {vote_kept:?}");
        }
    }
}
