//! Tests of the checks before a start, and of the supervision of processes.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// Creates a directory whose programs are shell scripts.
fn programs(script: &str) -> DataDir {
    let dir = DataDir::open(None).unwrap();
    for name in ["master", "worker"] {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

/// Returns a layout on ports of this test's own, below those that the operating system assigns.
fn layout() -> Layout {
    let offset = u16::try_from(std::process::id() % 20_000).unwrap();
    Layout { masters: 1, workers: 1, base_port: 10_000 + offset, executor: None, is_secured: false }
}

#[test]
fn a_missing_program_is_named() {
    let empty = DataDir::open(None).unwrap();
    let error = LocalCluster::prepare(layout(), empty.path(), None).unwrap_err();
    let expected = format!(
        "there is no program {}: build the whole workspace first",
        empty.path().join("master").display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let programs = programs("exit 0");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let layout = Layout { base_port: port - 1, ..layout() };
    let error = LocalCluster::prepare(layout, programs.path(), None).unwrap_err();
    let expected =
        format!("port {port}, where master-1 would listen, is in use: choose another --base-port");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_process_that_ends_too_early_shows_its_log() {
    let programs = programs("echo no disk >&2; exit 3");
    let mut cluster = LocalCluster::prepare(layout(), programs.path(), None).unwrap();
    let role = Role::Master(1);
    cluster.start(role).unwrap();
    let pid = cluster.processes()[0].pid();
    let error = cluster.ready(role).await.unwrap_err();
    let expected =
        format!("master-1 (pid {pid}) ended with exit code 3; the end of its log:\nno disk");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_exit_is_noticed_once() {
    let programs = programs("exec sleep 60");
    let mut cluster = LocalCluster::prepare(layout(), programs.path(), None).unwrap();
    cluster.start(Role::Master(1)).unwrap();
    cluster.start(Role::Worker(1)).unwrap();
    cluster.kill(Role::Worker(1)).await.unwrap();
    let nobody = tokio::time::timeout(Duration::from_millis(50), cluster.next_exit()).await;
    assert!(nobody.is_err());

    let pid = i32::try_from(cluster.processes()[0].pid()).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let exit = cluster.next_exit().await;
    assert_eq!(exit.to_string(), format!("master-1 (pid {pid}) ended by SIGKILL"));
}

#[tokio::test]
async fn workers_stop_before_masters() {
    let programs =
        programs("trap 'date +%s%N; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    let mut cluster = LocalCluster::prepare(layout(), programs.path(), None).unwrap();
    let log = |cluster: &LocalCluster, role: Role| {
        std::fs::read_to_string(cluster.data_dir().join(format!("{role}.log"))).unwrap()
    };
    for role in [Role::Master(1), Role::Worker(1)] {
        cluster.start(role).unwrap();
        while !log(&cluster, role).contains("up") {
            sleep(POLL_INTERVAL).await;
        }
    }
    cluster.stop().await;
    assert!(cluster.processes().iter().all(|process| !process.is_running()));
    let stopped_at = |role| {
        log(&cluster, role).lines().last().and_then(|line| line.parse::<u64>().ok()).unwrap()
    };
    assert!(stopped_at(Role::Worker(1)) < stopped_at(Role::Master(1)));
}
