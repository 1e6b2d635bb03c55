//! Every order is on record, on every master and in its file exactly once, whoever is killed meanwhile.

use std::path::Path;
use std::time::Duration;

use cluster_tests::client::Client;
use cluster_tests::cluster::Cluster;
use cluster_tests::volume::Volume;
use eventually::{eventually, require};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
/// File of each master, within its data directory.
const FILE: &str = "trail.jsonl";

/// Registers workers, which are orders of anonymous admins.
async fn order(cluster: &Cluster, names: &[&str]) {
    for name in names {
        cluster.clusterctl(&["worker", "register", name, "127.0.0.1:9"]).await.expect(0);
    }
}

async fn trail(cluster: &Cluster) -> Vec<Value> {
    let shown = cluster.clusterctl(&["audit", "--limit", "5000", "-o", "json"]).await.expect(0);
    shown.json().as_array().unwrap().clone()
}

fn objects(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["object"].as_str().unwrap()).collect()
}

/// Returns the records in the file of a master.
fn in_file(cluster: &Cluster, master: u64) -> Vec<Value> {
    records_in(&cluster.master(master).data_dir().join(FILE))
}

fn records_in(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["index"].is_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_on_record_once_whoever_is_killed() {
    let mut cluster = Cluster::builder().master_arg("--audit-file", FILE).start().await;
    order(&cluster, &["a1", "a2", "a3"]).await;
    let first = trail(&cluster).await;
    assert_eq!(objects(&first), ["worker/a1", "worker/a2", "worker/a3"]);

    // The leader is killed, and a successor goes on with the same trail.
    let leader = cluster.leader().await;
    cluster.master_mut(leader).kill();
    cluster.leader_among(&cluster.others(leader)).await;
    order(&cluster, &["b1", "b2"]).await;
    let missing = cluster.clusterctl(&["worker", "cordon", "nobody"]).await.expect(3);
    assert!(!missing.stderr.is_empty());
    cluster.master_mut(leader).restart();
    cluster.await_ready(leader).await;

    // Another is killed while it writes, again and again.
    let victim = cluster.others(cluster.leader().await)[0];
    for round in ["c", "d", "e"] {
        let names = [1, 2, 3].map(|number| format!("{round}{number}"));
        order(&cluster, &[&names[0]]).await;
        cluster.master_mut(victim).kill();
        order(&cluster, &[&names[1]]).await;
        cluster.master_mut(victim).restart();
        order(&cluster, &[&names[2]]).await;
        cluster.await_ready(victim).await;
    }
    cluster.clusterctl(&["leader", "transfer"]).await.expect(0);

    let records = trail(&cluster).await;
    let numbers = records.iter().map(|record| record["number"].as_u64().unwrap());
    assert!(numbers.eq(1..=17), "{records:#?}");
    assert_eq!(records[..3], first[..]);
    assert_eq!(records[5]["reason"], "unknown-worker");
    let transfer = records[15..].iter().map(|record| record["outcome"].as_str().unwrap());
    assert!(transfer.eq(["begun", "done"]), "{records:#?}");
    for master in cluster.master_ids() {
        eventually(&format!("the file of master {master} has them all"), PATIENCE, async || {
            let found = in_file(&cluster, master);
            require(found == records, || format!("{:?}", objects(&found)))
        })
        .await;
    }

    // What a later reader asks for, and what comes while it reads.
    let selected = cluster.clusterctl(&["audit", "--object", "worker/b", "-o", "json"]).await;
    assert_eq!(objects(selected.expect(0).json().as_array().unwrap()), ["worker/b1", "worker/b2"]);
    let table = cluster.clusterctl(&["audit", "--outcome", "rejected"]).await.expect(0).stdout;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("rejected: unknown-worker"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_in_the_file_of_the_master_that_refused() {
    let cluster = Cluster::builder()
        .masters(1)
        .master_arg("--audit-file", FILE)
        .master_arg("--access-anonymous", "viewer")
        .start()
        .await;
    for _ in 0..3 {
        cluster.clusterctl(&["worker", "register", "w1", "127.0.0.1:9"]).await.expect(5);
    }
    let path = cluster.master(1).data_dir().join(FILE);
    eventually("the refusals are in the file", PATIENCE, async || {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused = lines.filter(|line| line["refused"].is_string()).collect::<Vec<_>>();
        let count = refused.iter().filter_map(|line| line["count"].as_u64()).sum::<u64>();
        require(count == 3, || text.clone())?;
        assert_eq!(refused[0]["action"], "manage workers");
        assert_eq!(refused[0]["principal"], "anonymous");
        Ok(())
    })
    .await;
    assert!(in_file(&cluster, 1).is_empty(), "a stranger does not write to the log");
}

/// Registers so many workers over HTTP.
async fn order_many(client: &mut Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let worker = json!({"worker_id": format!("w{number}"), "address": "127.0.0.1:9"});
        client.post("/api/workers", &worker).await.unwrap().expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_file_stops_nothing_and_loses_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let volume = match Volume::mount(dir.path(), 1) {
        Ok(volume) => volume,
        Err(obstacle) => {
            eprintln!("SKIPPED: no disk can be filled here: {obstacle}");
            return;
        }
    };
    let path = dir.path().join(FILE);
    let mut cluster = Cluster::builder()
        .masters(1)
        .master_arg("--audit-file", path.to_str().unwrap())
        .master_arg("--audit-file-bytes", "64KiB")
        .start()
        .await;
    let mut client = cluster.client();
    order_many(&mut client, 0..10).await;

    // The file gets full of what there is no room for, is begun anew, and so is the master.
    volume.fill();
    order_many(&mut client, 10..400).await;
    eventually("the failures are counted", PATIENCE, async || {
        let failures = client.metric("cloudai_audit_file_failures_total").await;
        require(failures.is_some_and(|failures| failures > 0.0), || format!("{failures:?}"))
    })
    .await;
    cluster.master_mut(1).kill();
    std::fs::remove_file(&path).unwrap();
    volume.fill();
    cluster.master_mut(1).restart();
    cluster.await_ready(1).await;
    order_many(&mut client, 400..410).await;

    volume.free();
    let expected = trail(&cluster).await;
    assert_eq!(expected.len(), 410);
    eventually("the files have every record once", PATIENCE, async || {
        let older = records_in(&path.with_extension("jsonl.1"));
        let found = [older, records_in(&path)].concat();
        require(found == expected, || format!("{} records", found.len()))
    })
    .await;
}
