//! Tests of which leaders the worker obeys, and of its search for the leader.

use std::time::Duration;

use eventually::{PATIENCE, until};
use proto::v1;
use tonic::Code;

use super::Bench;
use super::scripted_leader::{EPOCH, Script, ScriptedLeader, assignment, attempt, client, exited};

const NOOP: [&str; 2] = ["--executor", "noop"];

#[tokio::test]
async fn a_worker_that_knows_masters_registers_without_being_called() {
    let mut leader = ScriptedLeader::start(1, 7).await;
    let masters = format!("127.0.0.1:1,{}", leader.address);

    let bench = Bench::start(&["--masters", &masters]).await;

    let registration = leader.registrations.next().await;
    assert_eq!((registration.cluster_id.as_str(), registration.term_seen), ("", 0));
    leader.heartbeats.next().await;
    assert!(leader.call(bench.worker).await.unwrap().session_stands);
}

#[tokio::test]
async fn a_call_from_the_leader_of_the_session_changes_nothing() {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    assert!(!leader.call(bench.worker).await.unwrap().session_stands);
    leader.registrations.next().await;
    leader.heartbeats.next().await;

    assert!(leader.call(bench.worker).await.unwrap().session_stands);

    leader.heartbeats.next().await;
    assert!(leader.registrations.is_silent());
}

#[tokio::test]
async fn an_older_term_is_refused_even_after_a_restart() {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    let older = ScriptedLeader::start(2, 6).await;
    let refusal = older.call(bench.worker).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert_eq!(refusal.metadata().get("term-seen").unwrap(), "7");
    assert!(refusal.message().contains('7'), "{}", refusal.message());
    drop(leader);

    let bench = bench.restart(&NOOP).await;

    let refusal = older.call(bench.worker).await.unwrap_err();
    assert_eq!(refusal.metadata().get("term-seen").unwrap(), "7");
    let assigned = older.assign(bench.worker, vec![assignment(1, &["x"])]).await;
    let cancelled = older.cancel(bench.worker, 1).await;
    let dismissed = older.dismiss(bench.worker, EPOCH).await;
    for refusal in [assigned.unwrap_err(), cancelled.unwrap_err(), dismissed.unwrap_err()] {
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        assert_eq!(refusal.metadata().get("term-seen").unwrap(), "7");
    }
}

#[tokio::test]
async fn another_cluster_and_a_call_for_another_worker_are_refused() {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    let call = |cluster: &str, worker: &str| v1::MasterRegisterRequest {
        leader: Some(v1::LeaderHeader { cluster_id: cluster.to_owned(), ..leader.header() }),
        worker_id: worker.to_owned(),
        masters: Vec::new(),
    };
    let other_cluster = "00000000-0000-0000-0000-0000000000c2";
    let wrong_worker = call(other_cluster, "w2");
    let wrong_cluster = call(other_cluster, "w1");
    let mut client = client(bench.worker).await;

    // A call that was meant for another worker does not bind this one to a cluster.
    let refusal = client.master_register(wrong_worker).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("this is worker w1, not w2"));
    leader.win(bench.worker).await;

    let refusal = client.master_register(wrong_cluster).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.metadata().get("term-seen").is_none());
}

#[tokio::test]
async fn a_new_leader_finds_running_attempts_running() {
    let bench = Bench::start(&[]).await;
    let mut old = ScriptedLeader::start(1, 7).await;
    old.win(bench.worker).await;
    old.assign(bench.worker, vec![assignment(1, &["/bin/sleep", "600"])]).await.unwrap();
    drop(old);

    let mut new = ScriptedLeader::start(2, 8).await;
    let registration = new.win(bench.worker).await;

    assert_eq!(registration.running, [attempt(1)]);
    assert_eq!(registration.term_seen, 7, "that it leads shows in its answer");
    let older = ScriptedLeader::start(1, 7).await;
    assert!(older.call(bench.worker).await.is_err());
}

#[tokio::test]
async fn a_leader_that_calls_is_preferred_to_one_that_does_not_answer() {
    let bench = Bench::start(&NOOP).await;
    let mute = Script { answers: false, ..Script::default() };
    let mut mute = ScriptedLeader::start_with(1, 7, mute).await;
    mute.call(bench.worker).await.unwrap();
    mute.registrations.next().await;

    let mut new = ScriptedLeader::start(2, 8).await;
    new.win(bench.worker).await;
}

#[tokio::test]
async fn results_of_an_outage_are_reported_when_a_leader_is_back() {
    let bench = Bench::start(&[]).await;
    let mut old = ScriptedLeader::start(1, 7).await;
    old.win(bench.worker).await;
    let script = "while [ ! -e go ]; do sleep 0.02; done; exit 4";
    old.assign(bench.worker, vec![assignment(1, &["/bin/sh", "-c", script])]).await.unwrap();
    drop(old);
    let attempt_dir = bench.dir.path().join("tasks/t1/1");
    until("the task has begun", PATIENCE, || attempt_dir.exists()).await;
    std::fs::write(attempt_dir.join("go"), "").unwrap();
    let spool = bench.dir.path().join("spool/results");
    until("the result is kept", PATIENCE, || std::fs::metadata(&spool).unwrap().len() > 0).await;

    let mut new = ScriptedLeader::start(2, 8).await;

    // What is not on disk for certain follows in a report.
    let registration = new.win(bench.worker).await;
    let finished = match registration.running.as_slice() {
        [] => registration.finished,
        [_, ..] => new.reports.next().await.finished,
    };
    assert_eq!(finished, [exited(1, 4)]);
}

#[tokio::test]
async fn unconfirmed_results_survive_a_restart() {
    let bench = Bench::start(&NOOP).await;
    let script = Script { confirms: false, ..Script::default() };
    let mut leader = ScriptedLeader::start_with(1, 7, script).await;
    let first = leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["x"])]).await.unwrap();
    leader.reports.next().await;

    let bench = bench.restart(&NOOP).await;
    leader.change(|script| script.confirms = true);
    // It remembers the masters, so it comes by itself.
    let second = leader.registrations.next().await;
    assert_eq!(second.finished, [exited(1, 0)]);
    assert_ne!(second.incarnation, first.incarnation);
    leader.heartbeats.until(|heartbeat| heartbeat.incarnation == second.incarnation).await;

    let bench = bench.restart(&NOOP).await;
    let third = leader.registrations.until(|r| r.incarnation != second.incarnation).await;
    assert_eq!(third.finished, [], "what was confirmed is forgotten");
    drop(bench);
}

#[tokio::test]
async fn a_leader_that_asks_for_it_is_registered_with_again() {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["sleep", "600"])]).await.unwrap();

    leader.change(|script| script.wants_registration = true);

    let again = tokio::time::timeout(Duration::from_secs(5), leader.registrations.next()).await;
    assert_eq!(again.unwrap().running, [attempt(1)]);
}

#[tokio::test]
async fn a_leader_that_hangs_does_not_keep_its_workers_from_the_next() {
    let mut old = ScriptedLeader::start(1, 7).await;
    let mut new = ScriptedLeader::start(2, 8).await;
    new.change(|script| script.answers = false);
    // The new leader cannot call: the worker has to find it.
    let masters = format!("{},{}", old.address, new.address);
    let bench = Bench::start(&["--executor", "noop", "--masters", &masters]).await;
    if tokio::time::timeout(Duration::from_millis(100), new.registrations.next()).await.is_ok() {
        old.call(bench.worker).await.unwrap();
    }
    old.registrations.next().await;
    old.heartbeats.next().await;
    new.change(|script| script.answers = true);

    let lost_at = tokio::time::Instant::now();
    old.change(|script| script.answers = false);
    new.registrations.next().await;

    let searched = lost_at.elapsed();
    assert!(searched < Duration::from_secs(6), "found the next leader after {searched:?}");
    assert!(old.registrations.is_silent(), "the one that hangs is asked last");
}

#[tokio::test]
async fn a_dismissed_worker_ends_what_runs_and_waits_to_be_called() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.change(|script| script.confirms = false);
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["/bin/true"])]).await.unwrap();
    leader.reports.next().await;
    leader.assign(bench.worker, vec![assignment(2, &["/bin/sleep", "600"])]).await.unwrap();
    leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 1).await;

    assert_eq!(leader.dismiss(bench.worker, EPOCH).await.unwrap(), 1);
    leader.dismiss_until_nothing_runs(bench.worker, EPOCH).await;

    let assigned = leader.assign(bench.worker, vec![assignment(3, &["x"])]).await;
    assert_eq!(assigned.unwrap_err().code(), Code::Unavailable);
    // What was under way has arrived by the first pause, which is many heartbeats long.
    let pause = Duration::from_secs(1);
    while tokio::time::timeout(pause, leader.heartbeats.next()).await.is_ok() {}
    assert!(leader.registrations.is_silent());

    leader.change(|script| script.confirms = true);
    let registration = leader.win(bench.worker).await;
    assert_eq!(registration.running, []);
    assert_eq!(registration.finished, [exited(1, 0)], "what ended before is not lost");
}

#[tokio::test]
async fn a_worker_that_was_unregistered_while_away_ends_what_runs() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["/bin/sleep", "600"])]).await.unwrap();
    leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 1).await;

    leader.change(|script| {
        (script.wants_registration, script.refusal) = (true, Some(Code::NotFound));
    });
    assert_eq!(leader.registrations.next().await.running, [attempt(1)]);
    leader.dismiss_until_nothing_runs(bench.worker, EPOCH).await;

    leader.change(|script| (script.wants_registration, script.refusal) = (false, None));
    let registration = leader.win(bench.worker).await;
    assert_eq!((registration.running.len(), registration.finished.len()), (0, 0));
}

#[tokio::test]
async fn a_join_token_is_presented_and_a_refusal_leaves_the_worker_waiting() {
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.change(|script| script.refusal = Some(Code::PermissionDenied));
    let masters = leader.address.to_string();
    let words = ["--executor", "noop", "--masters", &masters, "--join-token", "fleet.s3cret"];
    let bench = Bench::start(&words).await;

    assert_eq!(leader.registrations.next().await.join_token, "fleet.s3cret");
    let again = tokio::time::timeout(Duration::from_secs(2), leader.registrations.next()).await;
    assert!(again.is_err(), "a refused worker asks seldom");

    leader.change(|script| script.refusal = None);
    leader.win(bench.worker).await;
}

#[tokio::test]
async fn a_dismissal_of_an_older_registration_ends_nothing() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["/bin/sleep", "600"])]).await.unwrap();

    let refusal = leader.dismiss(bench.worker, EPOCH - 1).await.unwrap_err();

    assert_eq!(refusal.code(), Code::FailedPrecondition, "{refusal:?}");
    leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 1).await;
    assert!(leader.assign(bench.worker, vec![assignment(2, &["/bin/true"])]).await.is_ok());
}

#[tokio::test]
async fn a_worker_whose_name_is_taken_asks_until_it_is_free() {
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.change(|script| script.refusal = Some(Code::AlreadyExists));
    let masters = leader.address.to_string();
    let bench = Bench::start(&["--executor", "noop", "--masters", &masters]).await;
    let first = leader.registrations.next().await;
    assert_eq!(first.start, 1);

    // Without a join token, and without being called.
    let again = leader.registrations.next().await;
    assert_eq!((&again.data_id, again.incarnation), (&first.data_id, first.incarnation));
    leader.change(|script| script.refusal = None);
    leader.heartbeats.next().await;

    let bench = bench.restart(&["--executor", "noop"]).await;
    let restarted = leader.registrations.until(|said| said.start != first.start).await;
    assert_eq!((restarted.data_id, restarted.start), (first.data_id, 2));
    drop(bench);
}
