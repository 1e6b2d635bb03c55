//! Two of three disks are lost under load: the commands of the documentation's page bring the cluster
//! back, with all that the third disk had, and nothing of the past can harm it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use cluster_tests::history::number;
use cluster_tests::load::{Load, Plan};
use cluster_tests::process::{binary, checkout};
use cluster_tests::runbook::{Step, steps};
use cluster_tests::shims::die_at;
use cluster_tests::tree::{copy, fingerprint};
use eventually::{eventually, require};
use tokio::process::Command;

/// Time for a process to end by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Exit code of a master that does not belong to its cluster any more.
const EXPELLED: i32 = 3;
/// Tasks of each generation.
const GENERATION: u64 = 1_000_000_000_000;

/// Runs the commands of a block on each machine that it names.
async fn perform(cluster: &mut Cluster, step: &Step) {
    let machines =
        if step.on.is_empty() { vec![None] } else { step.on.iter().map(|id| Some(*id)).collect() };
    for machine in machines {
        let (last, before) = step.commands.split_last().unwrap();
        for command in before {
            command_on(cluster, machine, command, 0).await;
        }
        command_on(cluster, machine, last, step.exits_with).await;
    }
}

async fn command_on(cluster: &mut Cluster, machine: Option<u64>, command: &str, expected: i32) {
    match (command, machine) {
        ("systemctl stop cloudai-master", Some(id)) => {
            let master = cluster.master_mut(id);
            master.terminate();
            master.wait(PATIENCE).await;
            return;
        }
        ("systemctl start cloudai-master", Some(id)) => {
            cluster.master_mut(id).restart();
            return cluster.await_ready(id).await;
        }
        _ => {}
    }
    let command = translated(cluster, machine, command);
    let dir = cluster.path("");
    if expected == 0 {
        let output = shell(&dir, &command).await;
        assert!(output.status.success(), "{command}: {output:?}");
        return;
    }
    // What is lost is noticed within some moments.
    eventually(&format!("{command} fails"), PATIENCE, async || {
        let output = shell(&dir, &command).await;
        require(output.status.code() == Some(expected), || format!("{output:?}"))
    })
    .await;
}

/// Puts this test's addresses, directories and names in the place of the page's.
fn translated(cluster: &Cluster, machine: Option<u64>, command: &str) -> String {
    let mut command = command.replace(" prod", " test");
    for id in cluster.master_ids() {
        command = command.replace(&format!("10.0.0.{id}:50051"), cluster.master(id).grpc());
    }
    machine.map_or(command.clone(), |id| {
        let dir = cluster.master(id).data_dir().display().to_string();
        command.replace("/var/lib/cloudai", &dir)
    })
}

async fn shell(dir: &Path, command: &str) -> Output {
    let programs = binary("master").parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(dir).env("PATH", path).kill_on_drop(true);
    tokio::time::timeout(PATIENCE, shell.output()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_brings_back_what_one_of_three_disks_had() {
    let mut cluster = Cluster::builder().workers(2).start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(50).await;
    // Of the two whose disks are lost one leads, so that the third may lack what they acknowledged.
    cluster.clusterctl(&["leader", "transfer", "--to", "1"]).await;
    load.progress(100).await;
    for id in [1, 3] {
        cluster.master_mut(id).kill();
    }
    let past = cluster.path("past");
    copy(cluster.master(3).data_dir(), &past);
    for id in [1, 3] {
        fs::remove_dir_all(cluster.master(id).data_dir()).unwrap();
    }

    let page = fs::read_to_string(checkout().join("docs/lost-quorum.md")).unwrap();
    for step in steps(&page) {
        perform(&mut cluster, &step).await;
    }
    cluster.await_voters().await;
    for worker in cluster.worker_names() {
        cluster.client().await_worker(&worker, "active", CONNECT_PATIENCE).await;
    }
    load.progress(50).await;
    assert!(load.stop().await.failures.is_empty());
    give_up_what_was_lost(&cluster).await;
    cluster.check_history().await;

    // A disk that was thought to be lost comes back.
    let data = cluster.master(3).data_dir().to_owned();
    let master = cluster.master_mut(3);
    master.kill();
    fs::remove_dir_all(&data).unwrap();
    copy(&past, &data);
    master.restart();
    assert_eq!(master.wait(PATIENCE).await.code(), Some(EXPELLED));
    let log = master.log();
    assert!(log.lines().last().unwrap_or_default().contains("belongs to generation 0"), "{log}");
    fs::remove_dir_all(&data).unwrap();
    cluster.master_mut(3).restart();
    cluster.await_voters().await;
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_beside_a_live_cluster_is_refused() {
    let mut cluster = Cluster::builder().workers(0).start().await;
    let leader = cluster.leader().await;
    let stopped = cluster.master_ids().into_iter().find(|id| *id != leader).unwrap();
    cluster.master_mut(stopped).kill();
    let (source, target) = (cluster.master(stopped).data_dir().to_owned(), cluster.path("target"));
    let recover = async |force: &[&str]| {
        let mut master = Command::new(binary("master"));
        master.arg("recover").arg(&source).arg("--data-dir").arg(&target);
        master.args(["--yes", "test"]).args(force).output().await.unwrap()
    };

    let refused = recover(&[]).await;
    let reason = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{reason}");
    let at = cluster.master(leader).grpc();
    let leads = format!("master {leader} at {at} leads in term");
    assert!(reason.contains("the cluster is alive") && reason.contains(&leads), "{reason}");
    assert!(!target.exists(), "something was written");

    let forced = recover(&["--force"]).await;
    assert!(forced.status.success(), "{}", String::from_utf8_lossy(&forced.stderr));
}

/// Only the newest tasks may be lost: the third disk had a beginning of the log, and all of it counts.
async fn give_up_what_was_lost(cluster: &Cluster) {
    let tasks = cluster.client().tasks().await;
    let known = tasks.iter().filter_map(|task| number(task["task_id"].as_str()?));
    let newest = known.filter(|number| *number < GENERATION).max().unwrap();
    let lost = cluster.history().acknowledged();
    let lost = lost.iter().filter_map(|task| number(task));
    let lost = lost.filter(|number| (newest + 1..GENERATION).contains(number)).count();
    eprintln!("{lost} acknowledged tasks are lost with the disks, up to t{newest} all are there");
    cluster.history().give_up(newest + 1..GENERATION);
}

/// The data directory of a master of a cluster that has worked.
async fn used_directory() -> (Cluster, PathBuf) {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(20).await;
    load.stop().await;
    for id in cluster.master_ids() {
        cluster.master_mut(id).kill();
    }
    let dir = cluster.master(2).data_dir().to_owned();
    (cluster, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_killed_at_any_file_operation_is_done_again() {
    let (cluster, source) = used_directory().await;
    let library = die_at(&cluster.path("")).unwrap();
    let before = fingerprint(&source);
    let target = cluster.path("target");
    let recover = async |die_at: usize| {
        let mut master = Command::new(binary("master"));
        master.arg("recover").arg(&source).arg("--data-dir").arg(&target);
        master.args(["--yes", "test", "-o", "json"]);
        master.env("LD_PRELOAD", &library).env("CLOUDAI_DIE_AT", die_at.to_string());
        master.output().await.unwrap()
    };
    let inspect = async || {
        let output = Command::new(binary("master"))
            .args(["inspect", "-o", "json"])
            .arg(&target)
            .output()
            .await
            .unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()[0].clone()
    };

    let mut operations = 1;
    loop {
        let output = recover(operations).await;
        if output.status.code().is_some() {
            assert!(output.status.success(), "at operation {operations}: {output:?}");
            break;
        }
        let found = inspect().await;
        if found["refused"].is_null() {
            // The last one makes the end durable.
            break;
        }
        let reason = found["refused"].as_str().unwrap();
        let is_unfinished = reason.contains("half done") || reason.contains("holds no data");
        assert!(is_unfinished, "after operation {operations}: {found}");
        operations += 1;
    }
    assert!(operations > 20, "only {operations} operations were counted");
    let found = inspect().await;
    assert_eq!(found["refused"], serde_json::Value::Null, "{found}");
    assert_eq!((&found["generation"], &found["master"]), (&1.into(), &2.into()), "{found}");
    assert_eq!(recover(0).await.status.code(), Some(4));
    assert!(fingerprint(&source) == before, "the source was changed");
    eprintln!("killed at each of {operations} file operations");
}
