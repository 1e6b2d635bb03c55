//! A million live tasks: applying does not stall for a snapshot, and a restart takes seconds.

#![expect(clippy::print_stderr, reason = "the figures are what it is run for")]

use std::time::{Duration, Instant};

use cluster_state::TaskId;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use raft_store::Store;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::fixture::{apply, blank, entry, open, submit};

const TASKS: u64 = 1_000_000;

/// Tasks in one submission here.
const TASKS_PER_ENTRY: usize = 1_000;

async fn loaded(home: &TempDir) -> Store {
    let mut store = open(home.path());
    let entries = TASKS / TASKS_PER_ENTRY as u64;
    for index in 1..=entries {
        apply(&mut store.machine, vec![entry(1, index, submit(TASKS_PER_ENTRY, None))]).await;
    }
    assert_eq!(store.reader.with(|state| state.live_tasks() as u64), TASKS);
    store
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes half a minute and 2 GiB of memory"]
async fn a_million_live_tasks_cost_seconds_at_a_restart_and_no_pause_at_a_snapshot() {
    let home = TempDir::new().unwrap();
    let began = Instant::now();
    let mut store = loaded(&home).await;
    eprintln!("loaded in {:?}", began.elapsed());

    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    let mut build = JoinSet::new();
    build.spawn(async move { builder.build_snapshot().await.unwrap() });
    let (mut longest, mut applied) = (Duration::ZERO, 0);
    let began = Instant::now();
    let snapshot = loop {
        if let Some(snapshot) = build.try_join_next() {
            break snapshot.unwrap();
        }
        let index = 1_000_000 + applied;
        let call = Instant::now();
        apply(&mut store.machine, vec![entry(1, index, submit(1, None)), blank(1, index)]).await;
        longest = longest.max(call.elapsed());
        applied += 1;
        tokio::task::yield_now().await;
    };
    eprintln!("snapshot in {:?}, {applied} calls, longest {longest:?}", began.elapsed());
    assert!(longest < Duration::from_millis(100), "an apply took {longest:?}");
    drop((snapshot, store));

    let began = Instant::now();
    let store = open(home.path());
    let took = began.elapsed();
    eprintln!("restarted in {took:?}");
    assert!(store.reader.with(|state| state.task(TaskId(TASKS)).is_some()));
    assert!(took < Duration::from_secs(10), "the restart took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn single_submissions_per_second() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    let count = 200_000;
    let entries = (1..=count).map(|index| entry(1, index, submit(1, None))).collect::<Vec<_>>();
    let began = Instant::now();
    for part in entries.chunks(256) {
        apply(&mut store.machine, part.to_vec()).await;
    }
    let rate = Duration::from_secs(count).as_secs_f64() / began.elapsed().as_secs_f64();
    eprintln!("{rate:.0} entries/s");
}
