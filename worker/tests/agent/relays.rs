//! Tests of the routes of heartbeats, reports and goodbyes.

use std::time::Duration;

use super::Bench;
use super::scripted_leader::{ScriptedLeader, assignment, exited};

const NOOP: [&str; 2] = ["--executor", "noop"];
/// Many heartbeats of a scripted leader.
const MANY_HEARTBEATS: Duration = Duration::from_millis(500);

/// A worker in session with a leader, whose heartbeats go through a follower.
async fn relayed() -> (Bench, ScriptedLeader, ScriptedLeader) {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    let mut follower = ScriptedLeader::start_follower(&leader).await;
    leader.call(bench.worker).await.unwrap();
    leader.registrations.next().await;
    follower.heartbeats.next().await;
    (bench, leader, follower)
}

#[tokio::test]
async fn heartbeats_go_to_a_follower_and_all_else_to_the_leader() {
    let (bench, mut leader, mut follower) = relayed().await;

    leader.assign(bench.worker, vec![assignment(1, &["x"])]).await.unwrap();

    assert_eq!(leader.reports.next().await.finished, [exited(1, 0)]);
    follower.heartbeats.next().await;
    assert!(leader.heartbeats.is_silent());
    assert!(follower.registrations.is_silent() && follower.reports.is_silent());
}

#[tokio::test]
async fn a_session_outlives_the_follower() {
    let (bench, mut leader, follower) = relayed().await;

    drop(follower);

    leader.heartbeats.next().await;
    assert!(leader.call(bench.worker).await.unwrap().session_stands);
    assert!(leader.registrations.is_silent());
}

#[tokio::test]
async fn a_session_outlives_a_follower_that_hangs() {
    let (bench, mut leader, follower) = relayed().await;

    follower.change(|script| script.answers = false);

    leader.heartbeats.next().await;
    assert!(leader.call(bench.worker).await.unwrap().session_stands);
    assert!(leader.registrations.is_silent());
}

#[tokio::test]
async fn a_leader_that_gets_a_follower_is_relieved() {
    let bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;

    let mut follower = ScriptedLeader::start_follower(&leader).await;

    follower.heartbeats.next().await;
    // What was under way has arrived by the first pause.
    while tokio::time::timeout(MANY_HEARTBEATS, leader.heartbeats.next()).await.is_ok() {}
    assert!(leader.registrations.is_silent());
}

#[tokio::test]
async fn results_reach_a_leader_that_only_the_follower_reaches() {
    let (bench, leader, mut follower) = relayed().await;
    let header = leader.header();
    drop(leader);

    assign_as(&header, &bench).await;

    assert_eq!(follower.reports.next().await.finished, [exited(1, 0)]);
    follower.heartbeats.next().await;
    assert!(follower.registrations.is_silent());
}

#[tokio::test]
async fn a_goodbye_takes_any_way_that_is_left() {
    let (mut bench, mut leader, follower) = relayed().await;
    drop(follower);
    bench.agent.stop(Duration::from_secs(5)).await;
    leader.heartbeats.until(|heartbeat| heartbeat.goodbye).await;

    let (mut bench, leader, mut follower) = relayed().await;
    drop(leader);
    bench.agent.stop(Duration::from_secs(5)).await;
    follower.heartbeats.until(|heartbeat| heartbeat.goodbye).await;
}

#[tokio::test]
async fn a_goodbye_is_not_held_up_by_masters_that_hang() {
    let (mut bench, mut leader, follower) = relayed().await;
    follower.change(|script| script.answers = false);
    bench.agent.stop(Duration::from_secs(5)).await;
    leader.heartbeats.until(|heartbeat| heartbeat.goodbye).await;
}

#[tokio::test]
async fn results_are_reported_before_the_goodbye_even_when_the_leader_has_just_died() {
    let (mut bench, leader, mut follower) = relayed().await;
    let header = leader.header();
    leader.change(|script| script.confirms = false);
    assign_as(&header, &bench).await;
    drop(leader);

    bench.agent.stop(Duration::from_secs(5)).await;

    follower.heartbeats.until(|heartbeat| heartbeat.goodbye).await;
    let reported = follower.reports.until(|report| !report.finished.is_empty()).await;
    assert_eq!(reported.finished, [exited(1, 0)]);
}

#[tokio::test]
async fn a_worker_that_stops_while_it_registers_says_goodbye() {
    let mut bench = Bench::start(&NOOP).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.change(|script| script.registers = false);
    leader.call(bench.worker).await.unwrap();
    leader.registrations.next().await;

    let answer = async {
        // The stop is under way by then; were it not, it would be an ordinary goodbye.
        tokio::time::sleep(Duration::from_millis(200)).await;
        leader.change(|script| script.registers = true);
        leader.heartbeats.until(|heartbeat| heartbeat.goodbye).await
    };
    tokio::join!(bench.agent.stop(Duration::from_secs(5)), answer);
}

/// Assigns in the name of a leader that can reach the worker, but is not reached by it.
async fn assign_as(header: &proto::v1::LeaderHeader, bench: &Bench) {
    let request = proto::v1::AssignTaskRequest {
        leader: Some(header.clone()),
        worker_id: "w1".to_owned(),
        epoch: super::scripted_leader::EPOCH,
        assignments: vec![assignment(1, &["x"])],
    };
    super::scripted_leader::client(bench.worker).await.assign_task(request).await.unwrap();
}
