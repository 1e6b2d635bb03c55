//! Processes of tasks end with their attempt, and with the worker, however it ends.

use std::path::{Path, PathBuf};

use eventually::{PATIENCE, until};
use nix::sys::signal::{Signal, kill};
use proto::v1;
use proto::v1::finished_attempt::Outcome;

use super::Bench;
use super::binary::{Program, children_of, is_alive, keeper_of};
use super::scripted_leader::{ScriptedLeader, assignment, attempt, exited};

/// The numbers that a task has written, once there are so many.
async fn pids(dir: &Path, count: usize) -> Vec<String> {
    let path = dir.join("tasks/t1/1/pids");
    let read = || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    until("processes have started", PATIENCE, || read().len() >= count).await;
    read()
}

fn none_is_alive(pids: &[String]) -> bool {
    !pids.iter().any(|pid| is_alive(pid))
}

/// Leaves its group, its session, and its parent.
const FAMILY: &str = "(setsid sleep 600 & echo $! >> pids); sleep 600 & echo $! >> pids; \
     trap '' HUP; echo $$ >> pids; wait";

struct Running {
    program: Program,
    leader: ScriptedLeader,
    dir: tempfile::TempDir,
}

async fn running(script: &str, more: &[&str]) -> Running {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), more);
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(program.address).await;
    let work = vec![assignment(1, &["/bin/sh", "-c", script])];
    leader.assign(program.address, work).await.unwrap();
    Running { program, leader, dir }
}

impl Running {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[tokio::test]
async fn tasks_end_with_a_worker_that_is_killed() {
    let mut running = running(FAMILY, &[]).await;
    let pids = pids(running.dir.path(), 3).await;

    running.program.signal(Signal::SIGKILL);
    running.program.ended().await;

    until("all have ended", PATIENCE, || none_is_alive(&pids)).await;
}

#[tokio::test]
async fn a_worker_that_is_hung_up_ends_in_order() {
    let mut running = running(FAMILY, &["--shutdown-grace", "1s"]).await;
    let pids = pids(running.dir.path(), 3).await;

    running.program.signal(Signal::SIGHUP);

    running.leader.heartbeats.until(|heartbeat| heartbeat.goodbye).await;
    assert!(none_is_alive(&pids), "the goodbye says that nothing runs");
    assert!(running.program.ended().await.success());
}

#[tokio::test]
async fn a_keeper_that_ends_is_replaced() {
    let mut running = running(FAMILY, &[]).await;
    let pids = pids(running.dir.path(), 3).await;
    let worker = running.program.id();
    let first = keeper_of(worker).unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    let is_replaced = || keeper_of(worker).is_some_and(|second| second != first);
    until("there is another", PATIENCE, is_replaced).await;

    running.program.signal(Signal::SIGKILL);
    running.program.ended().await;

    until("all have ended", PATIENCE, || none_is_alive(&pids)).await;
}

#[tokio::test]
async fn what_hides_from_its_attempt_is_killed_all_the_same() {
    let script = "env -i setsid sleep 600 & echo $! >> pids";
    let mut running = running(script, &[]).await;
    let pids = pids(running.dir.path(), 1).await;

    assert_eq!(running.leader.reports.next().await.finished, [exited(1, 0)]);

    until("it has ended", PATIENCE, || none_is_alive(&pids)).await;
}

#[tokio::test]
async fn orphans_that_end_leave_nothing() {
    let script = "for n in 1 2 3 4 5; do (setsid true &); done; echo $$ > pids; \
         while [ ! -e go ]; do sleep 0.05; done";
    let mut running = running(script, &[]).await;
    pids(running.dir.path(), 1).await;

    let worker = running.program.id();
    let is_clean = || children_of(worker).iter().all(|(_, is_zombie)| !is_zombie);
    until("none is left", PATIENCE, is_clean).await;

    std::fs::write(running.path("tasks/t1/1/go"), "").unwrap();
    assert_eq!(running.leader.reports.next().await.finished, [exited(1, 0)]);
}

#[tokio::test]
async fn few_open_files_are_enough_for_many_attempts() {
    const COUNT: usize = 120;
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start_limited(dir.path(), 256);
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(program.address).await;

    let mut waiting = (1..).take(COUNT).collect::<Vec<_>>();
    let mut results = Vec::new();
    while results.len() < COUNT {
        let work = waiting.iter().map(|task| assignment(*task, &["sleep", "0.2"])).collect();
        let accepted = leader.assign(program.address, work).await.unwrap();
        waiting.retain(|task| !accepted.contains(&attempt(*task)));
        results.extend(leader.reports.next().await.finished);
    }

    for result in results {
        assert_eq!(result.outcome, Some(Outcome::ExitCode(0)), "{result:?}");
    }
}

fn is_declined(result: &v1::FinishedAttempt) -> bool {
    matches!(result.outcome, Some(Outcome::Unfit(_)))
}

#[tokio::test]
async fn a_machine_that_cannot_run_tasks_hands_them_back_until_it_can() {
    let bench = Bench::start(&[]).await;
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(bench.worker).await;
    let tasks = bench.dir.path().join("tasks");
    std::fs::remove_dir_all(&tasks).unwrap_or_default();
    std::fs::write(&tasks, "in the way").unwrap();

    // Each is handed back; after some the machine does not even try.
    let mut task = 0;
    let mut run = async |leader: &mut ScriptedLeader| {
        task += 1;
        let work = vec![assignment(task, &["/bin/true"])];
        leader.assign(bench.worker, work).await.unwrap();
        leader.reports.next().await.finished.remove(0)
    };
    for _ in 0..10 {
        let result = run(&mut leader).await;
        assert!(is_declined(&result), "{result:?}");
    }
    assert!(!is_serving(bench.worker).await);
    let told = leader.heartbeats.until(|heartbeat| heartbeat.unfit.is_some()).await.unfit;
    assert!(told.as_ref().is_some_and(|reason| reason.contains("/tasks")), "{told:?}");

    std::fs::remove_file(&tasks).unwrap();
    while is_declined(&run(&mut leader).await) {}
    assert!(is_serving(bench.worker).await);
    leader.heartbeats.until(|heartbeat| heartbeat.unfit.is_none()).await;
}

async fn is_serving(worker: std::net::SocketAddr) -> bool {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{worker}")).unwrap();
    let mut client = HealthClient::new(endpoint.connect().await.unwrap());
    let request = tonic_health::pb::HealthCheckRequest::default();
    client.check(request).await.unwrap().into_inner().status() == ServingStatus::Serving
}

#[tokio::test]
async fn a_machine_that_finds_no_program_is_tried_and_found_unfit() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start_with(dir.path(), |command| {
        command.env("PATH", "/nonexistent");
    });
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(program.address).await;

    let mut results = Vec::new();
    for task in 1.. {
        leader.assign(program.address, vec![assignment(task, &["true"])]).await.unwrap();
        results.push(leader.reports.next().await.finished.remove(0));
        if results.last().is_some_and(is_declined) {
            break;
        }
    }
    assert!(results.len() >= 5, "a few tasks may be to blame themselves");
    assert!(!is_serving(program.address).await);
}
