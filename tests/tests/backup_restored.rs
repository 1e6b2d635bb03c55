//! A cluster loses all of its disks and is restored from a backup, first as one master and then as
//! five: workers go on, nothing is given out a second time, and what the backup never knew is listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cluster_tests::client::{Client, Web};
use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use cluster_tests::clusterctl::clusterctl;
use cluster_tests::history::History;
use cluster_tests::load::{Load, Plan};
use eventually::{eventually, require};
use serde_json::{Value, json};

/// Saves a backup from the masters that run.
async fn save(file: &Path, endpoints: &[String]) -> Value {
    let args = ["-o", "json", "snapshot", "save", file.to_str().unwrap()];
    clusterctl(endpoints, &args).await.expect(0).json()
}

/// Ends all masters and takes their disks away.
fn lose_disks(cluster: &mut Cluster) {
    for id in cluster.master_ids() {
        let master = cluster.master_mut(id);
        master.kill();
        fs::remove_dir_all(master.data_dir()).ok();
    }
}

/// Ends all masters, takes their disks away, and restores the backup on those that are named.
async fn restore(cluster: &mut Cluster, file: &Path, members: &[u64]) {
    lose_disks(cluster);
    let list = members.iter().map(|id| format!("{id}={}", cluster.master(*id).grpc()));
    let list = list.collect::<Vec<_>>().join(",");
    let mut lives = BTreeSet::new();
    for id in members {
        let (id_text, dir) = (id.to_string(), cluster.master(*id).data_dir().display().to_string());
        let args = [
            &["-o", "json", "snapshot", "restore", file.to_str().unwrap()][..],
            &["--data-dir", &dir, "--node-id", &id_text],
            &["--cluster-name", "test", "--initial-cluster", &list],
        ];
        let restored = clusterctl(&[], &args.concat()).await.expect(0).json();
        lives.insert(restored["generation_id"].as_str().unwrap().to_owned());
        // Once is enough, and a second time would undo what has happened since.
        clusterctl(&[], &args.concat()).await.expect(4);
    }
    assert_eq!(lives.len(), 1, "{lives:?}");
    for id in members {
        cluster.master_mut(*id).restart();
    }
}

fn number(task: &str) -> u64 {
    task.trim_start_matches('t').parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cluster_gives_nothing_out_twice() {
    let mut cluster = Cluster::builder().masters(5).workers(1).start().await;
    let worker = cluster.worker_names().pop().unwrap();
    let mut client = cluster.client();
    let load = Load::start(&client, cluster.effects(), Plan::STEADY);
    load.progress(50).await;
    assert!(load.stop().await.failures.is_empty());
    let lasting = cluster.effects().lasting("lasting", Duration::from_secs(12));
    let lasting = client.submit_under(&lasting, "lasting").await.unwrap();
    client.await_state(&lasting, "running").await;
    cluster.await_converged().await;
    let first = cluster.path("first.backup");
    let saved = save(&first, &cluster.grpc_addresses()).await;
    let term = saved["term"].as_u64().unwrap();

    // Whatever happens from here on is lost with the disks, and was given out all the same.
    let mut lost = Client::new(Web::plain(), cluster.http_addresses(), History::default());
    let mut given = Vec::new();
    for _ in 0..20 {
        given.push(lost.submit(&json!({ "command": ["true"] })).await);
    }
    lost.await_state(given.last().unwrap(), "completed").await;
    let running = lost.submit(&json!({ "command": ["sleep", "600"] })).await;
    lost.await_state(&running, "running").await;
    let process = cluster.worker_mut(&worker).process();
    process.kill();
    cluster.worker_mut(&worker).start();
    lost.await_worker(&worker, "active", CONNECT_PATIENCE).await;
    let epoch = lost.worker(&worker).await["epoch"].as_u64().unwrap();
    let newest = number(&running);

    restore(&mut cluster, &first, &[1]).await;
    cluster.await_ready(1).await;
    let mut alone = cluster.client_of(1);
    alone.await_worker(&worker, "active", CONNECT_PATIENCE).await;
    assert!(alone.worker(&worker).await["epoch"].as_u64().unwrap() > epoch);
    let leader = alone.get("/api/cluster/leader").await.expect(200).json();
    assert!(leader["term"].as_u64().unwrap() > term + 1_000_000, "{leader}");
    let gone = alone.get(&format!("/api/tasks/{running}")).await;
    assert_eq!(gone.status.as_u16(), 404, "{}", gone.text());
    let next = alone.submit_under(&cluster.effects().task("next"), "next").await.unwrap();
    assert!(number(&next) > newest + 1_000_000, "{next} after {running}");
    alone.await_state(&next, "completed").await;
    let resumed = alone.await_end(&lasting).await;
    assert_eq!(resumed["state"], "completed", "{resumed}");

    let second = cluster.path("second.backup");
    save(&second, &[cluster.master(1).grpc().to_owned()]).await;
    let shown = ["-o", "json", "snapshot", "inspect", second.to_str().unwrap()];
    let shown = clusterctl(&[], &shown).await.expect(0).json();
    assert_eq!(shown["generation"], 1, "{shown}");
    restore(&mut cluster, &second, &[1, 2, 3, 4, 5]).await;
    cluster.await_all_ready().await;
    cluster.client().await_worker(&worker, "active", CONNECT_PATIENCE).await;
    let load = Load::start(&cluster.client(), cluster.effects(), Plan::STEADY);
    load.progress(50).await;
    assert!(load.stop().await.failures.is_empty());
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_what_it_runs_through_a_restoration() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let worker = cluster.worker_names().pop().unwrap();
    let mut client = cluster.client();
    let lasting = cluster.effects().lasting("lasting", Duration::from_secs(15));
    let lasting = client.submit_under(&lasting, "lasting").await.unwrap();
    client.await_state(&lasting, "running").await;
    let file = cluster.path("a.backup");
    save(&file, &cluster.grpc_addresses()).await;

    restore(&mut cluster, &file, &[1, 2, 3]).await;
    cluster.await_all_ready().await;
    client.await_worker(&worker, "active", CONNECT_PATIENCE).await;
    let task = client.await_end(&lasting).await;
    assert_eq!(task["state"], "completed", "{task}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 1, "it was disturbed: {task}");
    cluster.check_history().await;
    cluster.check_replicas_agree().await;
}

/// A task that begins with a line in the effects, and ends with this code when the file is there.
fn until_told(cluster: &Cluster, name: &str, code: u8) -> Value {
    let told = cluster.path("told");
    let wait = format!("while [ ! -e {} ]; do sleep 0.1; done; exit {code}", told.display());
    cluster.effects().script(name, &wait)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_backup_never_knew_is_listed_and_nothing_is_done_twice() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let worker = cluster.worker_names().pop().unwrap();
    let endpoints = cluster.grpc_addresses();
    let mut client = cluster.client();
    let known = client.submit_under(&until_told(&cluster, "known", 0), "known").await.unwrap();
    client.await_state(&known, "running").await;
    // It waits at the backup, and begins after it.
    clusterctl(&endpoints, &["worker", "cordon", &worker]).await.expect(0);
    let waiting =
        client.submit_under(&until_told(&cluster, "waiting", 0), "waiting").await.unwrap();
    let file = cluster.path("a.backup");
    save(&file, &endpoints).await;

    // A history of its own: what it is told is lost with the disks.
    clusterctl(&endpoints, &["worker", "uncordon", &worker]).await.expect(0);
    let mut lost = Client::new(Web::plain(), cluster.http_addresses(), History::default());
    let failed = lost.submit(&until_told(&cluster, "failed", 3)).await;
    let endless = lost.submit(&cluster.effects().script("endless", "exec sleep 600")).await;
    for task in [&waiting, &failed, &endless] {
        lost.await_state(task, "running").await;
    }
    lose_disks(&mut cluster);
    fs::write(cluster.path("told"), b"").unwrap();
    let spool = cluster.worker(&worker).data_dir().join("spool/results");
    eventually("the results are on the worker's disk", CONNECT_PATIENCE, async || {
        let results = fs::read_to_string(&spool).unwrap();
        let count = results.matches("finished").count();
        require(count == 3, || format!("{count} of 3 results: {results}"))
    })
    .await;

    restore(&mut cluster, &file, &[1, 2, 3]).await;
    cluster.await_all_ready().await;
    client.await_worker(&worker, "active", CONNECT_PATIENCE).await;
    // The backup knows the worker as active: it may not have reported yet.
    let listed = eventually("the worker's results are listed", CONNECT_PATIENCE, async || {
        let listed = clusterctl(&endpoints, &["-o", "json", "orphan", "list"]).await.expect(0);
        let listed = listed.json();
        let count = listed.as_array().map_or(0, Vec::len);
        require(count == 3, || format!("{count} of 3 results: {listed}"))?;
        Ok(listed)
    })
    .await;
    let mut found = Vec::new();
    for orphan in listed.as_array().unwrap() {
        assert_eq!([&orphan["worker_id"], &orphan["generation"]], [&json!(worker), &json!(1)]);
        found.push((
            orphan["task_id"].as_str().unwrap().to_owned(),
            orphan["exit_code"].as_i64(),
            orphan["reason"].as_str().map(str::to_owned),
        ));
    }
    found.sort();
    let mut expected = vec![
        (waiting.clone(), Some(0), None),
        (failed.clone(), Some(3), None),
        (endless.clone(), None, Some("stopped".to_owned())),
    ];
    expected.sort();
    assert_eq!(found, expected, "{listed}");
    let status = clusterctl(&endpoints, &["status"]).await.expect(0).stdout;
    assert!(status.contains("3 (clusterctl orphan list)"), "{status}");

    // The state knows one of the tasks: whether it is done again is its operator's choice.
    client.await_end(&known).await;
    assert_eq!(client.task(&waiting).await["state"], "queued");
    client.delete(&format!("/api/tasks/{waiting}")).await.expect(202);
    clusterctl(&endpoints, &["orphan", "drop", "--all"]).await.expect(0);
    let status = clusterctl(&endpoints, &["status"]).await.expect(0).stdout;
    assert!(!status.contains("orphan"), "{status}");
    for task in [&known, &waiting, &failed, &endless] {
        assert_eq!(cluster.effects().of(task).len(), 1, "{task} was begun again");
    }
    cluster.check_replicas_agree().await;
}
