//! A million live tasks in one store: how long a restart takes, how long applying stalls while a
//! snapshot is made, and how fast single submissions are applied.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it found")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should panic")]

use std::time::{Duration, Instant};

use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use raft_store::Store;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::fixture::{apply, blank, entry, open, submit};

#[expect(
    dead_code,
    clippy::indexing_slicing,
    reason = "shared with the tests, which use all of it and may panic"
)]
#[path = "../tests/storage/fixture.rs"]
mod fixture;

const TASKS: u64 = 1_000_000;
/// Tasks in one submission here.
const TASKS_PER_ENTRY: u64 = 1_000;
/// Entries of the measurement of single submissions, and how many are applied in one call.
const SINGLES: u64 = 200_000;
const SINGLES_PER_CALL: usize = 256;

#[tokio::main]
async fn main() {
    single_submissions().await;
    let home = TempDir::new().unwrap();
    let store = filled(&home).await;
    snapshot_beside_applying(store).await;
    restart(&home);
}

async fn single_submissions() {
    let home = TempDir::new().unwrap();
    let mut store = open(home.path());
    let entries = (1..=SINGLES).map(|index| entry(1, index, submit(1, None))).collect::<Vec<_>>();
    let began = Instant::now();
    for part in entries.chunks(SINGLES_PER_CALL) {
        apply(&mut store.machine, part.to_vec()).await;
    }
    let rate = Duration::from_secs(SINGLES).as_secs_f64() / began.elapsed().as_secs_f64();
    println!("single submissions applied: {rate:.0}/s");
}

async fn filled(home: &TempDir) -> Store {
    let mut store = open(home.path());
    let began = Instant::now();
    for index in 1..=TASKS / TASKS_PER_ENTRY {
        let tasks = usize::try_from(TASKS_PER_ENTRY).unwrap();
        apply(&mut store.machine, vec![entry(1, index, submit(tasks, None))]).await;
    }
    println!("{TASKS} tasks applied in {:?}", began.elapsed());
    store
}

async fn snapshot_beside_applying(mut store: Store) {
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    let mut build = JoinSet::new();
    build.spawn(async move { builder.build_snapshot().await.unwrap() });
    let (mut longest, mut calls) = (Duration::ZERO, 0);
    let began = Instant::now();
    while build.try_join_next().is_none() {
        let index = TASKS / TASKS_PER_ENTRY + 1 + 2 * calls;
        let call = Instant::now();
        apply(&mut store.machine, vec![entry(1, index, submit(1, None)), blank(1, index + 1)])
            .await;
        longest = longest.max(call.elapsed());
        calls += 1;
        tokio::task::yield_now().await;
    }
    println!("snapshot made in {:?}; longest of {calls} applies: {longest:?}", began.elapsed());
}

fn restart(home: &TempDir) {
    let began = Instant::now();
    let store = open(home.path());
    println!(
        "restarted with {} live tasks in {:?}",
        store.reader.with(|s| s.live_tasks()),
        began.elapsed()
    );
}
