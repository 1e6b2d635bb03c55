//! The script that walks an operator through reconnection says that all is as expected.

use std::time::Duration;

use cluster_tests::process::{Launch, Process, binary, checkout};
use cluster_tests::sweep::Scratch;
use rand::RngExt;

/// Seven scenarios with a few rounds of the monitor in each.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_as_the_script_expects() {
    let dir = Scratch::new();
    let script = checkout().join("tests/worker_reconnection.sh");
    let programs = binary("master");
    let base: u16 = rand::rng().random_range(11..30) * 1_000 + 400;
    let args = [
        script.display().to_string(),
        "--interval".to_owned(),
        "2s".to_owned(),
        "--base-port".to_owned(),
        base.to_string(),
        "--bin".to_owned(),
        programs.parent().unwrap().display().to_string(),
    ];
    let launch = Launch {
        name: "worker_reconnection.sh".to_owned(),
        program: "bash".into(),
        args: args.to_vec(),
        env: Vec::new(),
        group: None,
        namespace: None,
        log: dir.path().join("script.log"),
    };
    let mut script = Process::start(launch);

    let status = script.wait(PATIENCE).await;

    assert!(status.success(), "{status}: {}", script.log());
    assert!(!script.log().contains("FAIL"), "{}", script.log());
}
