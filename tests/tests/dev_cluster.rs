//! One command starts a whole cluster on this machine, and stops it.

use std::time::Duration;

use cluster_tests::clusterctl::clusterctl;
use cluster_tests::process::{Launch, Process};
use cluster_tests::sweep::Scratch;
use eventually::{eventually, require};
use rand::RngExt;

/// Three masters with their elections, two workers, and a slow machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Workers first, then masters, each in good order.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_one_command_runs_tasks_and_stops_with_it() {
    let dir = Scratch::new();
    // Below the ports that the system gives to outgoing connections, as all ports of these tests.
    let base = rand::rng().random_range(11..30) * 1_000;
    let data = dir.path().join("data").display().to_string();
    let args = ["dev", "--base-port", &base.to_string(), "--data-dir", &data];
    let args = args.map(str::to_owned).to_vec();
    let mut dev = Process::start(Launch::of("clusterctl", "dev", dir.path(), args));
    let endpoints = [1, 2, 3].map(|number| format!("127.0.0.1:{}", base + number));

    // Whoever reads on is told everything needed: addresses, the leader, how to submit and kill.
    eventually("it has started", START_PATIENCE, async || {
        assert!(dev.is_running(), "it ended: {}", dev.log());
        let log = dev.log();
        let is_told = log.contains("task submit") && log.contains("stop everything");
        require(is_told && endpoints.iter().all(|endpoint| log.contains(endpoint)), || log)
    })
    .await;
    // As it is told: what it exports.
    let log = dev.log();
    let exported = |name: &str| {
        let prefix = format!("export CLUSTERCTL_{name}=");
        let value = log.lines().find_map(|line| line.trim().strip_prefix(&prefix));
        value.unwrap_or_else(|| panic!("no {prefix} in {log}")).to_owned()
    };
    let flags = [("--cacert", "CACERT"), ("--cert", "CERT"), ("--key", "KEY")];
    let connection = flags.map(|(flag, name)| [flag.to_owned(), exported(name)]).concat();
    let submit = ["task", "submit", "--wait", "--logs", "--", "echo", "hello"];
    let refused = clusterctl(&endpoints, &["--timeout", "2s", "status"]).await;
    assert_ne!(refused.code, 0, "somebody without a certificate was answered: {refused:?}");
    let submit = connection.iter().map(String::as_str).chain(submit).collect::<Vec<_>>();
    let done = clusterctl(&endpoints, &submit).await.expect(0);
    assert!(done.stdout.contains("hello"), "{done:?}");

    dev.terminate();
    let status = dev.wait(STOP_PATIENCE).await;
    assert!(status.success(), "{status}: {}", dev.log());
    for endpoint in &endpoints {
        let dialed = tokio::net::TcpStream::connect(endpoint).await;
        assert!(dialed.is_err(), "a master still listens on {endpoint}");
    }
}
