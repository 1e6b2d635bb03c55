//! Results that nobody has confirmed, and many of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cluster_state::{AttemptNumber, AttemptOutcome, AttemptRef, FinishedAttempt, TaskId};
use proto::limits::{BATCH_BYTES, ENVELOPE_BYTES, MESSAGE_BYTES_MAX};
use proto::v1;

use super::Bench;
use super::scripted_leader::{Script, ScriptedLeader, assignment, attempt};

/// So many that no message holds them.
const RESULTS: usize = MESSAGE_BYTES_MAX / DETAIL_BYTES + 1_000;
const DETAIL_BYTES: usize = 1_024;

/// A data directory as a worker leaves it that could not report.
fn left_behind(results: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut content = String::new();
    for task in 1..=results {
        let result = FinishedAttempt {
            attempt: AttemptRef {
                task: TaskId(task.try_into().unwrap()),
                attempt: AttemptNumber(1),
            },
            outcome: AttemptOutcome::StartFailed { detail: "x".repeat(DETAIL_BYTES) },
            report: None,
        };
        let json = serde_json::json!([{ "finished": result }]).to_string();
        writeln!(content, "{:08x} {json}", crc32fast::hash(json.as_bytes())).unwrap();
    }
    std::fs::create_dir(dir.path().join("spool")).unwrap();
    std::fs::write(dir.path().join("spool/results"), content).unwrap();
    dir
}

fn names(finished: &[v1::FinishedAttempt]) -> BTreeSet<String> {
    finished.iter().map(|result| result.attempt.clone().unwrap().task_id).collect()
}

fn detail_bytes(finished: &[v1::FinishedAttempt]) -> usize {
    let detail = |result: &v1::FinishedAttempt| {
        let Some(v1::finished_attempt::Outcome::StartError(detail)) = &result.outcome else {
            unreachable!("not a failed start: {result:?}")
        };
        detail.len()
    };
    finished.iter().map(detail).sum()
}

#[tokio::test]
async fn more_results_than_a_message_holds_are_named_and_then_reported() {
    let bench =
        Bench::start_in(left_behind(RESULTS), &["--limits-spool-bytes-max", "1000000000"]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.change(|script| script.unwanted = vec![attempt(RESULTS as u64)]);

    let registration = leader.win(bench.worker).await;

    assert!(detail_bytes(&registration.finished) <= BATCH_BYTES);
    assert_eq!(registration.finished.len() + registration.running.len(), RESULTS);
    let mut told = names(&registration.finished);
    while told.len() < RESULTS {
        let report = leader.reports.next().await;
        assert!(detail_bytes(&report.finished) <= BATCH_BYTES + ENVELOPE_BYTES);
        let more = names(&report.finished);
        assert!(told.is_disjoint(&more), "what is confirmed is not reported again");
        told.extend(more);
    }
    assert!(told.contains(&format!("t{RESULTS}")), "wanted or not, the leader hears of it");
    assert!(leader.reports.is_silent());
}

#[tokio::test]
async fn a_worker_whose_results_nobody_confirms_takes_on_nothing() {
    let bench = Bench::start_in(
        left_behind(10),
        &["--executor", "noop", "--limits-spool-bytes-max", "5000"],
    )
    .await;
    let silent = Script { confirms: false, ..Script::default() };
    let mut leader = ScriptedLeader::start_with(1, 7, silent).await;
    leader.win(bench.worker).await;

    let refused = leader.assign(bench.worker, vec![assignment(99, &["true"])]).await.unwrap_err();
    assert!(refused.message().contains("spool-full"), "{refused}");

    leader.change(|script| script.confirms = true);
    leader.reports.next().await;
    leader.assign_until_accepted(bench.worker, assignment(99, &["true"])).await;
}
