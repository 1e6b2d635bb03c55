//! Settings are changed through a follower while the cluster runs, and count under the next leader.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use eventually::{PATIENCE, eventually, require};
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/cluster/config";
/// Far less than the heartbeat timeout that the cluster begins with, which is half a minute.
const SILENCE_PATIENCE: Duration = Duration::from_secs(10);

/// Returns the settings once the level has risen and the first leader has recorded them.
async fn settings(cluster: &Cluster, master: u64) -> Value {
    eventually("the settings are recorded", PATIENCE, async || {
        let answer = cluster.client_of(master).send(Method::GET, PATH, &[], None).await;
        let answer = answer.map_err(|error| error.to_string())?;
        require(answer.status.is_success(), || answer.text())?;
        Ok(answer.json())
    })
    .await
}

fn times_seeded(cluster: &Cluster) -> usize {
    let lines = |log: String| log.matches("became the settings of the cluster").count();
    cluster.masters().map(|master| lines(master.log())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_through_a_follower_counts_under_the_next_leader() {
    let mut cluster = Cluster::builder().workers(1).start().await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader)[0];
    settings(&cluster, follower).await;

    let values = json!({"worker": {"heartbeat_interval": "200ms", "heartbeat_timeout": "1s"}});
    let headers = [("content-type", "application/json")];
    let body = Some(values.to_string().into_bytes());
    let answer = cluster.client_of(follower).send(Method::PUT, PATH, &headers, body).await.unwrap();
    let changed = answer.expect(200).json();
    cluster.master_mut(leader).kill();
    let next = cluster.leader_among(&cluster.others(leader)).await;

    assert_eq!(settings(&cluster, next).await, changed);
    let name = cluster.worker_names().pop().unwrap();
    let mut client = cluster.client_without(leader);
    let worker = cluster.worker_mut(&name).process();
    worker.terminate();
    assert!(worker.wait(Duration::from_secs(15)).await.success());
    cluster.worker_mut(&name).start();
    eventually("the worker has registered again", CONNECT_PATIENCE, async || {
        let worker = client.worker(&name).await;
        require(worker["epoch"] == 2, || worker.to_string())
    })
    .await;
    // It was granted what has been set, and is missed by it.
    cluster.worker_mut(&name).process().kill();
    client.await_worker(&name, "inactive", SILENCE_PATIENCE).await;

    cluster.master_mut(leader).restart();
    cluster.await_ready(leader).await;
    assert_eq!(settings(&cluster, leader).await, changed);
    assert_eq!(times_seeded(&cluster), 1, "one leader records the settings, once");
    cluster.check_replicas_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_that_were_told_otherwise_are_named() {
    let cluster = Cluster::builder().start().await;
    settings(&cluster, 1).await;
    let shown = cluster.clusterctl(&["config", "get", "reconnect.interval"]).await.expect(0);
    assert_eq!(shown.stdout.trim(), "1s", "by their flags");

    let set = ["config", "set", "reconnect.interval", "2s", "worker.lease", "10m"];
    let set = cluster.clusterctl(&set).await.expect(0);
    assert!(set.stdout.contains("reconnect.interval  2s     operator"), "{}", set.stdout);
    eventually("the status names all masters", PATIENCE, async || {
        let status = cluster.clusterctl(&["status"]).await.expect(0).stdout;
        let line = status.lines().find(|line| line.starts_with("config")).map(str::to_owned);
        let told = (1..=3).map(|id| format!("master {id} has its own reconnect.interval"));
        let has_all = told.map(|told| line.as_ref().is_some_and(|line| line.contains(&told)));
        require(has_all.into_iter().all(|is_told| is_told), || status.clone())
    })
    .await;

    cluster.clusterctl(&["config", "get", "worker.leese"]).await.expect(3);
    cluster.clusterctl(&["config", "set", "worker.lease"]).await.expect(2);
    cluster.clusterctl(&["config", "set", "worker.lease", "1s"]).await.expect(1);
    let stale = ["config", "set", "worker.lease", "9m", "--if-index", "1"];
    cluster.clusterctl(&stale).await.expect(4);
    let shown = cluster.clusterctl(&["-o", "json", "config", "get", "worker.lease"]).await;
    assert_eq!(shown.expect(0).json()["value"], "10m");
    cluster.check_replicas_agree().await;
}
