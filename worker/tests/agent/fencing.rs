//! Attempts that must not go on: unwanted ones, and all of them when the lease has lapsed.

use std::path::Path;
use std::time::Duration;

use eventually::{PATIENCE, until};
use proto::v1;
use tokio::time::Instant;

use super::scripted_leader::{Script, ScriptedLeader, assignment, attempt, lost};
use super::{Bench, written};

/// Writes its number, so that the test can see whether it lives.
const SLEEPER: [&str; 3] = ["/bin/sh", "-c", "echo $$ > pid.new; mv pid.new pid; exec sleep 600"];

async fn pid(dir: &Path, task: u64) -> u32 {
    written(&dir.join(format!("tasks/t{task}/1/pid"))).await.parse().unwrap()
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

async fn has_ended(pid: u32) {
    until("the process has ended", PATIENCE, || !is_alive(pid)).await;
}

#[tokio::test]
async fn attempts_that_the_leader_does_not_want_are_killed_and_not_reported() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    let work = vec![assignment(1, &SLEEPER), assignment(2, &SLEEPER)];
    leader.assign(bench.worker, work).await.unwrap();
    let (unwanted, wanted) = (pid(bench.dir.path(), 1).await, pid(bench.dir.path(), 2).await);

    leader.change(|script| {
        script.unwanted = vec![attempt(1)];
        script.wants_registration = true;
    });
    leader.registrations.next().await;
    leader.change(|script| script.wants_registration = false);

    has_ended(unwanted).await;
    let heartbeat = leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 1).await;
    assert_eq!(heartbeat.running_tasks, 1);
    assert!(is_alive(wanted));
    assert!(leader.reports.is_silent());
}

#[tokio::test]
async fn a_worker_without_a_lease_kills_its_attempts_and_comes_back_empty() {
    let lease = Duration::from_millis(600);
    let script = Script { lease, ..Script::default() };
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start_with(1, 7, script).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &SLEEPER)]).await.unwrap();
    let process = pid(bench.dir.path(), 1).await;

    let silent_since = Instant::now();
    leader.change(|script| script.answers = false);
    has_ended(process).await;
    let lived = silent_since.elapsed();
    assert!(lived > lease / 2 && lived < lease * 5, "killed after {lived:?}");

    leader.change(|script| script.answers = true);
    let registration = leader.registrations.next().await;
    assert_eq!(registration.running, []);
    assert_eq!(registration.finished, [lost(1, v1::AttemptLoss::LeaseExpired)]);
    leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 0).await;
    assert!(leader.reports.is_silent(), "how its process ended is nobody's business");
}

#[tokio::test]
async fn acknowledged_heartbeats_keep_the_lease() {
    let lease = Duration::from_millis(600);
    let script = Script { lease, ..Script::default() };
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start_with(1, 7, script).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &SLEEPER)]).await.unwrap();
    let process = pid(bench.dir.path(), 1).await;

    let since = Instant::now();
    while since.elapsed() < 3 * lease {
        leader.heartbeats.next().await;
    }

    assert!(is_alive(process));
}

#[tokio::test]
async fn a_fenced_attempt_that_is_assigned_again_has_not_failed() {
    let lease = Duration::from_millis(600);
    let script = Script { lease, confirms: false, ..Script::default() };
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start_with(1, 7, script).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &SLEEPER)]).await.unwrap();
    let process = pid(bench.dir.path(), 1).await;
    leader.change(|script| script.answers = false);
    has_ended(process).await;
    leader.change(|script| script.answers = true);
    let registration = leader.registrations.next().await;
    assert_eq!(registration.finished, [lost(1, v1::AttemptLoss::LeaseExpired)]);

    // Its start was not recorded before the leader was lost, so the leader sends it again.
    leader.assign_until_accepted(bench.worker, assignment(1, &SLEEPER)).await;

    let report = leader.reports.next().await;
    assert_eq!(report.finished, [lost(1, v1::AttemptLoss::LeaseExpired)]);
    leader.change(|script| script.confirms = true);
    leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 0).await;
}

#[tokio::test]
async fn attempts_that_asked_for_it_end_with_the_connection_and_others_do_not() {
    let heartbeat_timeout = Duration::from_millis(600);
    let script = Script { heartbeat_timeout, ..Script::default() };
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start_with(1, 7, script).await;
    leader.win(bench.worker).await;
    let hasty = v1::Assignment { requeue_on_disconnect: true, ..assignment(1, &SLEEPER) };
    leader.assign(bench.worker, vec![hasty, assignment(2, &SLEEPER)]).await.unwrap();
    let (hasty, patient) = (pid(bench.dir.path(), 1).await, pid(bench.dir.path(), 2).await);

    let silent_since = Instant::now();
    leader.change(|script| script.answers = false);
    has_ended(hasty).await;
    let lived = silent_since.elapsed();
    assert!(lived > heartbeat_timeout / 2 && lived < heartbeat_timeout * 5, "{lived:?}");
    // A report needs no heartbeat before it.
    assert_eq!(leader.reports.next().await.finished, [lost(1, v1::AttemptLoss::Disconnected)]);

    leader.change(|script| script.answers = true);
    leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 1).await;
    assert!(is_alive(patient));
}
