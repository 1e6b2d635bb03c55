//! Whoever watches the cluster loses no event and gets none twice, whatever replica dies.

use std::time::Duration;

use cluster_tests::cluster::{CONNECT_PATIENCE, Cluster};
use cluster_tests::event_stream::EventStream;
use eventually::{eventually, require};
use serde_json::Value;

const REPLICATED: [&str; 2] = ["workers", "cluster"];

fn index(event: &Value) -> u64 {
    event["index"].as_u64().unwrap_or_else(|| panic!("without an index: {event}"))
}

fn is_about(event: &Value, worker: &str, reason: &str) -> bool {
    event["worker_id"] == worker && event["reason"] == reason
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_where_they_broke_off() {
    let builder = Cluster::builder().master_arg("--worker-heartbeat-interval", "500ms");
    let mut cluster = builder.start().await;
    let start = cluster.client().get("/api/workers").await.index().unwrap();
    let first = cluster.leader().await;
    let [second, third] = cluster.others(first)[..] else { panic!("not three masters") };
    let address = |cluster: &Cluster, id: u64| cluster.master(id).http().to_owned();

    let mut stream = EventStream::open(&address(&cluster, first), &REPLICATED, start).await;
    // Usage is known to the leader alone, and told by a follower.
    let mut usage = EventStream::open(&address(&cluster, third), &["telemetry"], start).await;
    let worker = cluster.add_worker().await;
    let mut events = stream.until(|event| is_about(event, &worker, "registered")).await;
    assert_eq!(usage.next().await["worker_id"], *worker);

    cluster.master_mut(first).kill();
    let last = events.last().map(index).unwrap();
    let mut stream = EventStream::open(&address(&cluster, second), &REPLICATED, last).await;
    events.extend(stream.until(|event| event["type"] == "leader").await);
    assert_ne!(events.last().unwrap()["leader_id"], first, "{events:?}");

    let mut client = cluster.client_without(first);
    // A worker that has not met the new leader yet has nobody to say goodbye to.
    eventually("the worker follows the new leader", CONNECT_PATIENCE, async || {
        let seen = client.worker(&worker).await;
        require(seen["last_heartbeat"].is_string(), || seen.to_string())
    })
    .await;
    cluster.worker_mut(&worker).process().terminate();
    cluster.worker_mut(&worker).process().wait(Duration::from_secs(15)).await;
    cluster.worker_mut(&worker).start();
    events.extend(stream.until(|event| is_about(event, &worker, "registered")).await);
    let reasons = events.iter().filter_map(|event| event["reason"].as_str()).collect::<Vec<_>>();
    assert_eq!(reasons, ["preregistered", "registered", "shutdown", "registered"], "{events:?}");

    let end = events.last().map(index).unwrap();
    let mut stream = EventStream::open(&address(&cluster, third), &REPLICATED, start).await;
    let replay = stream.until(|event| index(event) == end).await;
    assert_eq!(events, replay, "the third replica tells it otherwise");
    assert!(events.is_sorted_by(|one, next| index(one) < index(next)), "{events:?}");
    // What was reported while there was no leader is gone; what is reported now comes.
    let ended_at = events.last().unwrap()["timestamp"].as_str();
    usage.until(|sample| sample["timestamp"].as_str() >= ended_at).await;
}
