//! A master's disk is full: it says so and stops, and the others go on.

use std::process::Command;
use std::time::Duration;

use cluster_tests::client::{Answer, Client};
use cluster_tests::cluster::Cluster;
use cluster_tests::load::{Load, Plan};
use cluster_tests::process::binary;
use cluster_tests::tree::copy;
use cluster_tests::volume::Volume;
use eventually::{eventually, require};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_master_whose_disk_fills_up_stops_and_comes_back() {
    // Neither refuses tasks before, nor has anything to give up.
    let mut cluster = Cluster::builder()
        .workers(1)
        .master_arg("--limits-disk-free-min", "0")
        .master_arg("--limits-disk-reserve", "0")
        .start()
        .await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader).pop().unwrap();
    let Some(volume) = move_to_a_small_disk(&mut cluster, follower) else { return };
    cluster.await_ready(follower).await;
    let load = Load::start(&cluster.client_without(follower), cluster.effects(), Plan::STEADY);
    load.progress(20).await;

    volume.fill();
    // Files that it has open have some room left in them, which is used up first.
    let mut client = cluster.client_without(follower);
    let bulk = vec![bulky_task(); 50];
    let what = "the master has no room any more";
    eventually(what, Duration::from_secs(60), async || {
        let answer = client.post("/api/tasks", &bulk.as_slice().into()).await;
        answer.map_err(|error| format!("{error:#}"))?.expect(201);
        require(!cluster.master_mut(follower).is_running(), || "it still runs".to_owned())
    })
    .await;

    let status = cluster.master_mut(follower).wait(Duration::from_secs(30)).await;
    assert!(!status.success(), "it ended well: {status}");
    let log = cluster.master(follower).log();
    assert!(log.contains("No space left"), "it does not say why: {log}");
    load.progress(100).await;
    volume.free();
    cluster.master_mut(follower).restart();
    cluster.await_ready(follower).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// Moves the data of a master to a volume of 256 MiB, and starts it again; none where there is none.
fn move_to_a_small_disk(cluster: &mut Cluster, id: u64) -> Option<Volume> {
    cluster.master_mut(id).kill();
    let data = cluster.master(id).data_dir().to_owned();
    let aside = cluster.path("aside");
    std::fs::rename(&data, &aside).unwrap();
    std::fs::create_dir(&data).unwrap();
    let volume = match Volume::mount(&data, 256) {
        Ok(volume) => volume,
        Err(obstacle) => {
            eprintln!("SKIPPED: no disk can be filled here: {obstacle}");
            return None;
        }
    };
    copy(&aside, &data);
    cluster.master_mut(id).restart();
    Some(volume)
}

/// Submits until the answer has that status; returns it.
async fn submit_until(client: &mut Client, status: u16) -> Answer {
    let what = format!("a submission is answered with {status}");
    eventually(&what, Duration::from_secs(30), async || {
        let answer = client.post("/api/tasks", &bulky_task()).await;
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        require(answer.status.as_u16() == status, || answer.text())?;
        Ok(answer)
    })
    .await
}

/// While the others are a quorum, nobody waits for its disk, and it does not lead. When they are not, new
/// tasks are refused, and the answer names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_counts_when_a_quorum_needs_it() {
    let builder = Cluster::builder()
        .master_arg("--limits-disk-reserve", "0")
        .master_arg("--limits-disk-free-min", "100MiB");
    let mut cluster = builder.start().await;
    let full = cluster.others(cluster.leader().await)[0];
    let Some(volume) = move_to_a_small_disk(&mut cluster, full) else { return };
    cluster.await_ready(full).await;
    let mut client = cluster.client_without(full);
    let waiting = client.submit(&bulky_task()).await;

    volume.fill_but(60);
    let problem = format!("the disk of master {full} has");
    eventually("the status tells", Duration::from_secs(30), async || {
        let status = cluster.status(cluster.leader().await).await;
        let problems = status["problems"].to_string();
        require(problems.contains(&problem), || problems)
    })
    .await;
    submit_until(&mut client, 201).await;
    // It hands over again at once.
    cluster.clusterctl(&["leader", "transfer", "--to", &full.to_string()]).await;
    let others = cluster.others(full);
    let leader = cluster.leader_among(&others).await;
    assert_eq!(cluster.probe(full, "/leader").await, Some(503));

    let silent = others.into_iter().find(|other| *other != leader).unwrap();
    cluster.master_mut(silent).kill();
    let mut client = cluster.client_of(leader);
    let refused = submit_until(&mut client, 429).await;
    assert_eq!(refused.problem().as_deref(), Some("disk-full"));
    assert!(refused.text().contains(&problem), "{}", refused.text());
    client.delete(&format!("/api/tasks/{waiting}")).await.expect(202);

    volume.free();
    submit_until(&mut client, 201).await;
    cluster.master_mut(silent).restart();
    cluster.await_ready(silent).await;
    cluster.check_replicas_agree().await;
}

/// A hundred kilobytes that wait for a worker that is never there.
fn bulky_task() -> Value {
    json!({"command": ["true"], "env": {"BULK": "x".repeat(100_000)}, "worker_id": "nobody"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_starts_on_the_disk_that_it_has_filled() {
    let mut cluster = Cluster::builder()
        .masters(1)
        .master_arg("--limits-disk-reserve", "32MiB")
        .master_arg("--limits-disk-free-min", "64MiB")
        .start()
        .await;
    let Some(volume) = move_to_a_small_disk(&mut cluster, 1) else { return };
    cluster.await_ready(1).await;
    let mut client = cluster.client();
    let waiting = client.submit(&bulky_task()).await;
    cluster.master_mut(1).kill();

    volume.fill();
    cluster.master_mut(1).restart();
    cluster.await_ready(1).await;

    assert!(cluster.master(1).log().contains("the reserve is given up"));
    let free = cluster.own_status(1).await["free_bytes"].as_u64();
    assert!(free.is_some_and(|free| free < 64 << 20), "{free:?}");
    let refused = client.post("/api/tasks", &bulky_task()).await.unwrap().expect(429);
    assert_eq!(refused.problem().as_deref(), Some("disk-full"));
    client.delete(&format!("/api/tasks/{waiting}")).await.expect(202);
    volume.free();
    submit_until(&mut client, 201).await;
}

#[test]
fn a_master_does_not_start_on_a_full_disk() {
    let dir = tempfile::TempDir::new().unwrap();
    let volume = match Volume::mount(dir.path(), 1) {
        Ok(volume) => volume,
        Err(obstacle) => {
            eprintln!("SKIPPED: no disk can be filled here: {obstacle}");
            return;
        }
    };
    volume.fill();
    let args = "--node-id 1 --initial-cluster 1=127.0.0.1:10911 --grpc-listen 127.0.0.1:10911 \
                --http-listen 127.0.0.1:10912 --data-dir";
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "20"]).arg(binary("master")).args(args.split_whitespace());
    let output = command.arg(dir.path().join("data")).output().unwrap();

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaints = stderr.lines().filter(|line| line.starts_with("master: ")).collect::<Vec<_>>();
    assert_eq!(complaints.len(), 1, "not one line of complaint: {stderr}");
    assert!(complaints.concat().contains("No space left"), "{complaints:?}");
}
