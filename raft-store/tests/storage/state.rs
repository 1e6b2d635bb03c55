//! Tests of the memory, the disk and the messages after an apply.

use std::sync::Arc;

use cluster_state::{Level, LogIndex, TaskId, Timestamp};
use openraft::EntryPayload;
use openraft::storage::RaftStateMachine;
use raft_store::{Entry, Payload, Published};
use tempfile::TempDir;

use crate::fixture::{History, apply, blank, entry, fingerprint, open, submit};

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_matter_how_many_entries_come_at_once() {
    let history = History::new(10);
    let mut stored = Vec::new();
    for size in [1, 2, 7, 1_000] {
        let home = TempDir::new().unwrap();
        let mut store = open(home.path());
        for part in history.entries.chunks(size) {
            apply(&mut store.machine, part.to_vec()).await;
        }
        drop(store);

        let store = open(home.path());
        assert!(store.reader.with(fingerprint) == history.state_at(history.last_index()), "{size}");
        let finished = store.reader.finished_tasks_below(None, 1_000).await.unwrap().tasks;
        let expired = store.reader.expired_history(Timestamp(u64::MAX), 1_000).await.unwrap();
        assert_eq!(finished.len(), expired.len(), "{size}");
        stored.push((finished, expired));
    }
    assert!(stored.iter().all(|one| *one == stored[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_newer_level_stops_the_node_and_names_the_level() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());

    let entries =
        futures_util::stream::iter([Ok((holding(0, &[200, Level::NEWEST.0 + 1, 2, 3]), None))]);
    store.machine.apply(entries).await.unwrap_err();

    assert_eq!(
        store.fatal.reason().as_deref(),
        Some(
            "log entry 0 needs feature level 3, and this release knows levels up to 2: \
             start a release that knows level 3"
        )
    );
    assert_eq!(store.machine.applied_state().await.unwrap().0, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_this_release_does_not_know_stops_the_node() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());

    // `RaiseLevel` in an encoding that is known: stamp, term, and a level that is not.
    let raise = holding(0, &[23, 1, 0, 1, Level::NEWEST.0 + 1]);
    let entries = futures_util::stream::iter([Ok((raise, None))]);
    store.machine.apply(entries).await.unwrap_err();

    let reason = store.fatal.reason().unwrap();
    assert!(reason.contains("start a release that knows level 3"), "{reason}");
    assert_eq!(store.reader.level(), Level::FIRST);
    assert_eq!(store.machine.applied_state().await.unwrap().0, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_is_rejected_and_changes_nothing() {
    let home = TempDir::new().unwrap();
    let history = History::new(1);
    let last = history.last_index();
    let mut store = open(home.path());
    apply(&mut store.machine, history.entries.clone()).await;

    let unknown: &[u8] = &[200, 1, 0, 0];
    let cut_short: &[u8] = &[12, 1, 0xff];
    let with_stray_bytes: &[u8] = &[12, 1, 0, 0, 0, 0, 0];
    let garbage: [&[u8]; 5] = [&[], &[12], unknown, cut_short, with_stray_bytes];
    let entries = (1..).zip(garbage).map(|(at, bytes)| holding(last + at, bytes));
    apply(&mut store.machine, entries.collect()).await;

    assert!(store.reader.with(fingerprint) == history.state_at(last));
    assert_eq!(store.reader.applied().index, LogIndex(last + 5));
    assert_eq!(store.fatal.reason(), None);
    drop(store);

    let mut store = open(home.path());
    apply(&mut store.machine, vec![blank(1, last + 6)]).await;
    assert_eq!(store.reader.applied().index, LogIndex(last + 6));
}

fn holding(index: u64, payload: &[u8]) -> Entry {
    let payload = EntryPayload::Normal(Payload::new(payload.to_vec().into()));
    Entry { payload, ..blank(1, index) }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_newest_first_and_forgotten_oldest_first() {
    let history = History::new(4);
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    apply(&mut store.machine, history.entries.clone()).await;
    let reader = store.reader.clone();

    let all = reader.finished_tasks_below(None, 100).await.unwrap().tasks;
    let ids = all.iter().map(|task| task.id).collect::<Vec<_>>();
    assert!(ids.is_sorted_by(|left, right| left > right), "{ids:?}");
    assert_eq!(reader.finished_tasks_below(Some(ids[1]), 2).await.unwrap().tasks, all[2..4]);

    let newest = &all[0];
    assert_eq!(reader.finished_task(newest.id).await.unwrap().as_ref(), Some(newest));
    assert_eq!(reader.task(newest.id).await.unwrap().as_ref(), Some(newest));
    // The first round's first task was forgotten in the second round.
    assert_eq!(reader.task(TaskId(1)).await.unwrap(), None);

    let expired = reader.expired_history(Timestamp(u64::MAX), 100).await.unwrap();
    assert_eq!(expired.len(), all.len());
    let ends = all.iter().map(|task| (task.finished_at.unwrap(), task.id));
    let mut ends = ends.collect::<Vec<_>>();
    ends.sort_unstable();
    assert_eq!(expired, ends.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    let some = reader.expired_history(ends[2].0, 100).await.unwrap();
    assert_eq!(some.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_tells_what_was_applied() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    let history = History::new(1);
    let mut feed = store.reader.subscribe();

    apply(&mut store.machine, history.entries.clone()).await;

    let Ok(Published::Applied(batch)) = feed.try_recv() else { panic!("nothing was published") };
    assert_eq!(batch.index_from, LogIndex(0));
    assert_eq!(batch.index_to, LogIndex(history.last_index()));
    let mut rebuilt = cluster_state::State::new();
    for (_, change) in Arc::try_unwrap(batch).unwrap().changes {
        rebuilt.follow(change);
    }
    assert!(fingerprint(&rebuilt) == history.state_at(history.last_index()));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_entries_are_applied_in_several_batches() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    let mut feed = store.reader.subscribe();
    let large = (1..6).map(|index| entry(1, index, submit(1_500, None)));

    apply(&mut store.machine, std::iter::once(blank(1, 0)).chain(large).collect()).await;

    let mut batches = Vec::new();
    while let Ok(Published::Applied(batch)) = feed.try_recv() {
        batches.push((batch.index_from.0, batch.index_to.0));
    }
    assert_eq!(batches, [(0, 2), (3, 4), (5, 5)]);
}

#[tokio::test(flavor = "multi_thread")]
#[should_panic(expected = "the state is read within a read of the state")]
async fn a_look_at_the_state_looks_once() {
    let home = TempDir::new().unwrap();
    let reader = open(home.path()).reader;

    reader.with(|state| {
        let seen = reader.with(cluster_state::State::live_tasks);
        assert_eq!(state.live_tasks(), seen);
    });
}
