//! Tests of control groups, where they may be written.

use super::*;
use crate::cgroups::tests::real;

#[tokio::test]
async fn what_an_attempt_has_used_is_told_and_its_group_is_gone() {
    let Some((groups, real)) = real("used") else { return };
    let mut bench = bench_of(Devices::open(BTreeMap::new()), Some(Arc::new(groups)));
    // It runs until it has used some time in its group.
    let script = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done";
    bench.executor.start(shell(script));

    let ended = bench.ended.recv().await.unwrap();
    assert_eq!(ended.outcome, AttemptOutcome::Exited { code: 0 });
    let usage = ended.report.unwrap().usage.unwrap();
    assert!(usage.cpu_micros > 1_000 && !usage.out_of_memory, "{usage:?}");
    assert!(real.is_empty());
}

#[tokio::test]
async fn a_stop_ends_all_that_is_in_the_group() {
    let Some((groups, real)) = real("stop") else { return };
    let mut bench = bench_of(Devices::open(BTreeMap::new()), Some(Arc::new(groups)));
    // It leaves nothing by which the worker would know it.
    let child = "trap : TERM; echo $$; while :; do sleep 0.05; done";
    bench.executor.start(shell(&format!("sleep 0.2; env -i setsid sh -c '{child}' & wait")));
    bench.printed().await;
    bench.executor.running().stop(A, Stop::Kill);

    assert_eq!(bench.outcome().await, AttemptOutcome::Signaled { signal: 9 });
    assert_eq!(stat(printed_process(&bench.output(OutputStream::Stdout).await)), None);
    assert!(real.is_empty());
}

#[tokio::test]
async fn what_hides_from_the_worker_ends_with_its_attempt() {
    let Some((groups, real)) = real("hides") else { return };
    let mut bench = bench_of(Devices::open(BTreeMap::new()), Some(Arc::new(groups)));
    let script = "sleep 0.2; env -i setsid sh -c 'echo $$; exec >&- 2>&-; sleep 600' & sleep 0.5";

    assert_eq!(bench.run(shell(script)).await, AttemptOutcome::Exited { code: 0 });
    assert_eq!(stat(printed_process(&bench.output(OutputStream::Stdout).await)), None);
    assert!(real.is_empty());
}
