//! The `worker` program: its start, its signals, and its end by force.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use eventually::{PATIENCE, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use proto::v1;
use tonic::Code;

use super::scripted_leader::{EPOCH, Script, ScriptedLeader, assignment, client, exited, lost};
use super::written;

/// The program while it runs; killed when the test ends.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    pub(crate) fn start(dir: &Path, more: &[&str]) -> Self {
        Self::start_with(dir, |command| {
            command.args(more);
        })
    }

    /// With so many open files at most.
    pub(crate) fn start_limited(dir: &Path, open_files: u32) -> Self {
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--nofile={open_files}:{open_files}"));
        let worker = command(dir);
        limited.arg(worker.get_program()).args(worker.get_args());
        Self::spawn(limited)
    }

    pub(crate) fn start_with(dir: &Path, edit: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(dir);
        edit(&mut command);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "info"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| listening_address(&line.unwrap())).unwrap();
        // The pipe must be emptied, or the program would wait for it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        eventually("the program has ended", PATIENCE, async || {
            self.child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.args(["--worker-id", "w1", "--data-dir"]).arg(dir);
    command
}

fn listening_address(line: &str) -> Option<SocketAddr> {
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    let address =
        event.get("address").filter(|_| event.get("message") == Some(&"worker listening".into()));
    address.map(|address| address.as_str().unwrap().parse().unwrap())
}

fn refused(dir: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = command(dir).args(arguments).output().unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

/// The process that ends what a killed worker leaves behind.
pub(crate) fn keeper_of(worker: u32) -> Option<Pid> {
    children_of(worker).into_iter().map(|(pid, _)| pid).find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(b"keeper")
    })
}

/// Processes with this parent, and whether each has ended.
pub(crate) fn children_of(parent: u32) -> Vec<(Pid, bool)> {
    let parent = parent.to_string();
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse() else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let mut fields = fields.split(' ');
        let is_over = fields.next() == Some("Z");
        if fields.next() == Some(&parent) {
            children.push((Pid::from_raw(pid), is_over));
        }
    }
    children
}

pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn what_a_killed_worker_left_behind_is_dead_before_it_registers_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path(), &[]);
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(program.address).await;
    // One of them leaves its group, so that only the mark finds it.
    let script = "setsid sleep 600 & echo $! > other; echo $$ > pid; exec sleep 600";
    leader.assign(program.address, vec![assignment(1, &["/bin/sh", "-c", script])]).await.unwrap();
    let attempt_dir = dir.path().join("tasks/t1/1");
    let processes =
        [written(&attempt_dir.join("pid")).await, written(&attempt_dir.join("other")).await];
    assert!(processes.iter().all(|pid| is_alive(pid)));

    // Without its keeper, which would end them.
    kill(keeper_of(program.id()).unwrap(), Signal::SIGKILL).unwrap();
    program.signal(Signal::SIGKILL);
    assert_eq!(program.ended().await.signal(), Some(9));
    assert!(processes.iter().all(|pid| is_alive(pid)), "nobody has stopped them");
    let _program = Program::start(dir.path(), &[]);
    let registration = leader.registrations.next().await;

    assert_eq!(registration.running, []);
    assert!(!processes.iter().any(|pid| is_alive(pid)));
}

#[tokio::test]
async fn a_worker_frozen_past_its_lease_has_lost_it_before_it_does_anything_else() {
    let lease = Duration::from_millis(800);
    let script = Script { lease, ..Script::default() };
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]);
    let mut leader = ScriptedLeader::start_with(1, 7, script).await;
    leader.win(program.address).await;
    let sleeper = ["/bin/sh", "-c", "echo $$ > pid; exec sleep 600"];
    leader.assign(program.address, vec![assignment(1, &sleeper)]).await.unwrap();
    let pid = written(&dir.path().join("tasks/t1/1/pid")).await;
    let mut early = client(program.address).await;

    program.signal(Signal::SIGSTOP);
    // Whatever was under way when it froze has arrived by the first pause.
    while tokio::time::timeout(2 * lease, leader.heartbeats.next()).await.is_ok() {}
    // This waits in the socket, and is there as soon as the worker wakes up.
    let request = v1::AssignTaskRequest {
        leader: Some(leader.header()),
        worker_id: "w1".to_owned(),
        epoch: EPOCH,
        assignments: vec![assignment(2, &sleeper)],
    };
    let mut late = std::pin::pin!(early.assign_task(request));
    let moment = Duration::from_millis(100);
    assert!(tokio::time::timeout(moment, &mut late).await.is_err());
    assert!(is_alive(&pid), "only the worker is frozen");
    program.signal(Signal::SIGCONT);

    let registration = leader.registrations.next().await;
    assert!(!is_alive(&pid), "it registered before it had ended what ran");
    assert_eq!(registration.running, []);
    assert_eq!(registration.finished, [lost(1, v1::AttemptLoss::LeaseExpired)]);
    assert_eq!(late.await.unwrap_err().code(), Code::Unavailable);
    assert!(!dir.path().join("tasks/t2").exists());
}

#[tokio::test]
async fn sigterm_ends_the_program_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path(), &["--executor", "noop"]);
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(program.address).await;
    leader.assign(program.address, vec![assignment(1, &["x"])]).await.unwrap();
    assert_eq!(leader.reports.next().await.finished, [exited(1, 0)]);

    program.signal(Signal::SIGTERM);

    leader.heartbeats.until(|heartbeat| heartbeat.goodbye).await;
    assert!(program.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path(), &["--shutdown-grace", "10m"]);
    let mut leader = ScriptedLeader::start(1, 7).await;
    leader.win(program.address).await;
    let script = "trap '' TERM; echo $$ > pid; while :; do sleep 1; done";
    leader.assign(program.address, vec![assignment(1, &["/bin/sh", "-c", script])]).await.unwrap();
    let pid = written(&dir.path().join("tasks/t1/1/pid")).await;

    program.signal(Signal::SIGTERM);
    // The worker still sends heartbeats while it waits for the attempt.
    tokio::time::timeout(Duration::from_secs(5), leader.heartbeats.next()).await.unwrap();
    program.signal(Signal::SIGINT);

    assert_eq!(program.ended().await.code(), Some(1));
    assert!(!is_alive(&pid));
}

#[test]
fn a_wrong_start_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let open = refused(dir.path(), &["--listen", "0.0.0.0:0"]);
    assert!(open.contains("insecure"), "{open}");
    let docker = refused(dir.path(), &["--executor", "docker"]);
    assert!(docker.contains("'docker' is neither process nor noop"), "{docker}");

    let _program = Program::start(dir.path(), &[]);
    let in_use = refused(dir.path(), &["--listen", "127.0.0.1:0"]);
    assert!(in_use.contains("in use by another process"), "{in_use}");
}

#[test]
fn a_configuration_file_can_be_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("worker.toml");
    let check = || {
        let worker = env!("CARGO_BIN_EXE_worker");
        Command::new(worker).args(["config", "check"]).arg(&file).output().unwrap()
    };
    std::fs::write(&file, "worker_id = \"w7\"\ndata_dir = \"/data\"\ncpu = 2").unwrap();
    let good = check();
    assert!(good.status.success());
    let in_force = String::from_utf8(good.stdout).unwrap();
    assert!(in_force.contains("cpu = 2.0") && in_force.contains("shutdown_grace = \"10s\""));

    let secret = "masters = [\"m1:1\"]\njoin_token = \"fleet.s3cret\"";
    let text = format!("worker_id = \"w7\"\ndata_dir = \"/data\"\n{secret}");
    std::fs::write(&file, text).unwrap();
    let masked = String::from_utf8(check().stdout).unwrap();
    assert!(masked.contains("join_token = \"fleet.***\""), "{masked}");

    std::fs::write(&file, "worker_id = \"w7\"\ndata_dri = \"/data\"").unwrap();
    let bad = check();
    assert!(!bad.status.success());
    let complaint = String::from_utf8(bad.stderr).unwrap();
    assert!(
        complaint.contains("unknown key 'data_dri'") && complaint.contains("'data_dir'?"),
        "{complaint}"
    );
}
