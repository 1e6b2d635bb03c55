//! Tests of the spool: crashes, damage and much use.

use std::path::Path;

use cluster_state::AttemptOutcome;

use super::results_file::{DAMAGED_FILE, FILE, REWRITE_BYTES_MIN};
use super::*;
use crate::ledger::attempt_ref;

fn result(task: u64) -> FinishedAttempt {
    let outcome = AttemptOutcome::StartFailed { detail: "no\nsuch \"file\"".to_owned() };
    FinishedAttempt { attempt: attempt_ref(task, 1), outcome, report: None }
}

fn open(dir: &Path) -> (Spool, Vec<FinishedAttempt>) {
    Spool::open(dir, Arc::new(Disk::open(dir, 0))).unwrap()
}

fn waiting(dir: &Path) -> Vec<FinishedAttempt> {
    open(dir).1
}

#[tokio::test]
async fn results_survive_until_they_are_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, before) = open(dir.path());
    assert_eq!(before, []);
    spool.store(vec![result(1), result(2)]).await.unwrap();
    spool.store(vec![result(3)]).await.unwrap();
    spool.forget(vec![result(2).attempt]);
    drop(spool);

    assert_eq!(waiting(dir.path()), [result(1), result(3)]);
}

#[tokio::test]
async fn a_torn_last_line_is_dropped_and_the_spool_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    spool.store(vec![result(1)]).await.unwrap();
    spool.store(vec![result(2)]).await.unwrap();
    drop(spool);
    let path = dir.path().join(FILE);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();

    let (spool, found) = open(dir.path());
    assert_eq!(found, [result(1)]);
    spool.store(vec![result(4)]).await.unwrap();
    drop(spool);

    assert_eq!(waiting(dir.path()), [result(1), result(4)]);
}

#[tokio::test]
async fn a_damaged_line_costs_only_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    for task in 1..=3 {
        spool.store(vec![result(task)]).await.unwrap();
    }
    drop(spool);
    let path = dir.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    let second = bytes.len() / 3;
    bytes[second + 30] ^= 1;
    let damaged = bytes[second..2 * second].to_vec();
    fs::write(&path, bytes).unwrap();

    assert_eq!(waiting(dir.path()), [result(1), result(3)]);
    assert_eq!(fs::read(dir.path().join(DAMAGED_FILE)).unwrap(), damaged);

    assert_eq!(waiting(dir.path()), [result(1), result(3)]);
    let kept = fs::read(dir.path().join(DAMAGED_FILE)).unwrap();
    assert_eq!(kept, damaged, "it is put aside once");
}

#[tokio::test]
async fn confirmed_results_do_not_fill_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    spool.store(vec![result(0)]).await.unwrap();
    for round in 1..=20 {
        let batch = (1..=5_000).map(|n| result(round * 10_000 + n)).collect::<Vec<_>>();
        let attempts = batch.iter().map(|result| result.attempt).collect();
        spool.store(batch).await.unwrap();
        spool.forget(attempts);
    }
    spool.store(vec![result(7)]).await.unwrap();
    drop(spool);

    assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() < 2 * REWRITE_BYTES_MIN);
    assert_eq!(waiting(dir.path()), [result(0), result(7)]);
}

#[tokio::test]
async fn long_results_are_not_written_anew_while_they_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    let long = |task| {
        let outcome = AttemptOutcome::StartFailed { detail: "x".repeat(1_024) };
        FinishedAttempt { attempt: attempt_ref(task, 1), outcome, report: None }
    };
    let expected = (1..=6_000).map(long).collect::<Vec<_>>();
    for batch in expected.chunks(1_000) {
        spool.store(batch.to_vec()).await.unwrap();
    }
    drop(spool);

    let lines = fs::read(dir.path().join(FILE)).unwrap();
    let lines = lines.split_inclusive(|byte| *byte == b'\n').count();
    assert_eq!(lines, 6, "one for each time it was appended to");
    assert_eq!(waiting(dir.path()), expected);
}
