//! Calls of somebody who is no leader, and says he is.

use std::net::SocketAddr;
use std::time::Duration;

use proto::v1;
use tonic::{Code, Status};

use super::Bench;
use super::scripted_leader::{EPOCH, Script, ScriptedLeader, assignment, attempt, client};

/// Nobody is there.
const NOWHERE: &str = "127.0.0.1:1";
const OTHER_CLUSTER: &str = "00000000-0000-0000-0000-0000000000c2";

fn claim(leader: &ScriptedLeader, term: u64) -> v1::LeaderHeader {
    let leader_address = NOWHERE.to_owned();
    v1::LeaderHeader { term, leader_id: 9, leader_address, ..leader.header() }
}

async fn call(worker: SocketAddr, leader: v1::LeaderHeader) -> Result<(), Status> {
    let nobody = v1::MasterAddress { id: 9, address: NOWHERE.to_owned() };
    let request = v1::MasterRegisterRequest {
        leader: Some(leader),
        worker_id: "w1".to_owned(),
        masters: vec![nobody],
    };
    client(worker).await.master_register(request).await.map(drop)
}

/// Gives every order there is, each of which would hit.
async fn order(worker: SocketAddr, leader: v1::LeaderHeader) -> [Result<(), Status>; 3] {
    let (leader, worker_id) = (Some(leader), "w1".to_owned());
    let assign = v1::AssignTaskRequest {
        leader: leader.clone(),
        worker_id: worker_id.clone(),
        epoch: EPOCH,
        assignments: vec![assignment(2, &["/bin/true"])],
    };
    let cancel = v1::CancelTaskRequest {
        leader: leader.clone(),
        worker_id: worker_id.clone(),
        attempts: vec![attempt(1)],
        grace_ms: 0,
    };
    let dismiss = v1::DismissRequest { leader, worker_id, epoch: EPOCH };
    let mut client = client(worker).await;
    [
        client.assign_task(assign).await.map(drop),
        client.cancel_task(cancel).await.map(drop),
        client.dismiss(dismiss).await.map(drop),
    ]
}

#[tokio::test]
async fn a_term_that_no_leader_has_locks_no_worker_out() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    leader.assign(bench.worker, vec![assignment(1, &["/bin/sleep", "600"])]).await.unwrap();
    leader.heartbeats.until(|heartbeat| heartbeat.running_tasks == 1).await;

    for refusal in order(bench.worker, claim(&leader, u64::MAX)).await {
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.code(), Code::DeadlineExceeded, "{refusal:?}");
    }
    assert!(leader.registrations.is_silent(), "the session stands");

    // It has the worker look for the one who calls, and find the leader again.
    call(bench.worker, claim(&leader, u64::MAX)).await.unwrap();
    let registration = leader.registrations.next().await;
    assert_eq!((registration.term_seen, registration.running), (7, vec![attempt(1)]));
    leader.assign_until_accepted(bench.worker, assignment(3, &["/bin/true"])).await;
    leader.reports.next().await;
}

#[tokio::test]
async fn a_stray_call_binds_a_new_worker_to_no_cluster() {
    let bench = Bench::start(&["--executor", "noop"]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    let stray = v1::LeaderHeader { cluster_id: OTHER_CLUSTER.to_owned(), ..claim(&leader, 1) };
    call(bench.worker, stray.clone()).await.unwrap();
    assert!(order(bench.worker, stray).await.iter().all(Result::is_err));

    leader.win(bench.worker).await;
}

#[tokio::test]
async fn an_order_of_the_next_leader_waits_until_a_master_has_confirmed_it() {
    let bench = Bench::start(&["--executor", "noop"]).await;
    // No heartbeat is due while the test lasts.
    let heartbeat_interval = Duration::from_secs(300);
    let script = Script { heartbeat_interval, ..Script::default() };
    let mut old = ScriptedLeader::start_with(1, 7, script).await;
    old.win(bench.worker).await;
    let new = ScriptedLeader::start(2, 8).await;
    old.change(|script| script.successor = Some(new.header()));

    new.assign(bench.worker, vec![assignment(1, &["x"])]).await.unwrap();

    let refusal = old.assign(bench.worker, vec![assignment(2, &["x"])]).await.unwrap_err();
    assert_eq!(refusal.metadata().get("term-seen").unwrap(), "8");
}
