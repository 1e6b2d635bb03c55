//! Tests of what processes are given to read, and of results that they leave.

use cluster_state::{Payload, TaskResult};

use super::*;

#[tokio::test]
async fn a_process_reads_what_it_is_given_and_leaves_a_result() {
    let mut bench = bench();
    let text = "line\n".repeat(13_000);
    let stdin = Some(text.clone().into());
    let script = "wc -l; cd /; printf '\\0\\377ok' > \"$CLOUDAI_RESULT\"; exit 3";
    bench.executor.start(Launch { stdin, ..shell(script) });

    let ended = bench.ended.recv().await.unwrap();
    let kept = TaskResult::Kept(Payload::from(b"\0\xffok".as_slice()));
    let report = AttemptReport { usage: None, result: Some(kept) }.boxed();
    let outcome = AttemptOutcome::Exited { code: 3 };
    assert_eq!(ended, FinishedAttempt { attempt: A, outcome, report });
    assert_eq!(bench.output(OutputStream::Stdout).await.trim(), "13000");
}

#[tokio::test]
async fn a_result_is_taken_when_nothing_is_left_that_could_write_it() {
    let mut bench = bench();
    let child =
        "trap 'echo late > $CLOUDAI_RESULT; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    bench.executor.start(shell(&format!("sh -c \"{child}\"; echo unreachable")));
    bench.printed().await;
    bench.executor.running().stop(A, Stop::Terminate(Duration::from_secs(600)));
    let report = bench.ended.recv().await.unwrap().report.unwrap();
    assert_eq!(report.result, Some(TaskResult::Kept(Payload::from(b"late\n".as_slice()))));
}
