//! Settings of the cluster: recorded by its first leader, shown, and changed while it runs.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use cluster_state::SettingKey;
use eventually::{PATIENCE, eventually, require};
use master::config::{Bytes, Config};
use proto::v1;
use proto::v1::cluster_service_client::ClusterServiceClient;
use serde_json::{Value, json};
use tonic::Code;

use crate::event_socket::EventSocket;
use crate::log::Log;
use crate::one_master::{Answer, OneMaster};
use crate::worker_calls::{NOWHERE, WorkerCalls, registration};

const PATH: &str = "/api/cluster/config";

/// Returns one setting as it is shown.
async fn setting(master: &OneMaster, key: &str) -> Value {
    let config = master.get(PATH).await.json();
    let settings = config["settings"].as_array().unwrap();
    settings.iter().find(|setting| setting["key"] == key).unwrap().clone()
}

async fn put(master: &OneMaster, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    master.ask("PUT", PATH, &headers, &body.to_string()).await
}

async fn set(master: &OneMaster, body: &Value) -> Value {
    let answer = put(master, &[], body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// Gives one setting as a file does.
fn ninety_seconds(config: &mut Config) {
    config.worker.lease = Duration::from_secs(90);
    config.given = BTreeSet::from([SettingKey::Lease]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_leader_gives_the_cluster_its_settings() {
    let master = OneMaster::start_with(ninety_seconds).await;

    let answer = master.get(PATH).await;
    let config = answer.json();
    assert_eq!(answer.header("etag"), format!("\"{}\"", config["index"]));
    assert_eq!(config["settings"].as_array().unwrap().len(), SettingKey::ALL.len());
    let index = &config["index"];
    assert_eq!(
        setting(&master, "worker.lease").await,
        json!({"key": "worker.lease", "value": "1m30s", "source": "master", "master_id": 1,
               "index": index})
    );
    assert_eq!(
        setting(&master, "retention.tasks").await,
        json!({"key": "retention.tasks", "value": "2000000", "source": "default",
               "master_id": null, "index": index})
    );
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_counts_at_the_next_registration_and_outlives_the_process() {
    let master = OneMaster::start().await;
    let worker = json!({"worker_id": "worker-1", "address": NOWHERE});
    assert_eq!(master.post("/api/workers", &worker).await.status, 201);
    let calls = WorkerCalls::of(&master).await;
    assert_eq!(calls.connect("worker-1", NOWHERE, "").await.unwrap().lease_ms, 300_000);

    let changed = set(&master, &json!({"worker": {"lease": "10m"}})).await;
    let lease = setting(&master, "worker.lease").await;
    assert_eq!((&lease["value"], &lease["source"]), (&json!("10m"), &json!("operator")));
    assert_eq!(lease["index"], changed["index"]);
    let again = calls.register(registration("worker-1", NOWHERE, 1, 2)).await.unwrap();
    assert_eq!(again.lease_ms, 600_000);

    let log = Log::keep();
    let master = OneMaster::start_as(master.stop().await, ninety_seconds).await;
    assert_eq!(setting(&master, "worker.lease").await, lease);
    // It says where it differs, for it was told so by hand.
    eventually("the difference is told", PATIENCE, async || {
        let member = master.get("/api/cluster").await.json()["members"][0].clone();
        let differing = &member["differing_settings"];
        require(*differing == json!(["worker.lease"]), || format!("{differing}"))
    })
    .await;
    assert_eq!(log.count(&["configuration differs", "keys=\"worker.lease\""]), 1);

    set(&master, &json!({"worker.lease": "90s"})).await;
    eventually("there is no difference any more", PATIENCE, async || {
        let member = master.get("/api/cluster").await.json()["members"][0].clone();
        let differing = &member["differing_settings"];
        require(*differing == json!([]), || format!("{differing}"))
    })
    .await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_refused_as_a_whole() {
    let master = OneMaster::start().await;
    let before = master.get(PATH).await.json();

    let body = json!({"worker.lease": "1s", "reconnect.max_parallel": 0, "retention.tasks": 7});
    let problem = put(&master, &[], &body).await.problem(422, "invalid-value");
    assert_eq!(
        problem["errors"],
        json!([
            {"pointer": "/worker.lease",
             "detail": "must not be shorter than worker.heartbeat_timeout"},
            {"pointer": "/reconnect.max_parallel", "detail": "must be above 0"},
        ])
    );
    assert_eq!(problem["outcome"], "rejected");

    let body = json!({"worker.lease": "soon"});
    let problem = put(&master, &[], &body).await.problem(422, "invalid-value");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("/worker.lease: 'soon' is not a duration"), "{detail}");

    let body = json!({"worker": {"leese": "1m"}, "limits.request_bytes": "1MiB"});
    let problem = put(&master, &[], &body).await.problem(400, "unknown-field");
    assert_eq!(
        problem["errors"],
        json!([
            {"pointer": "/limits.request_bytes",
             "detail": "is a key of each master's own configuration"},
            {"pointer": "/worker.leese", "detail": "is not a setting of the cluster"},
        ])
    );
    for body in ["7", "[]", r#"{"worker.lease": []}"#] {
        let headers = [("content-type", "application/json")];
        master.ask("PUT", PATH, &headers, body).await.problem(400, "malformed");
    }
    assert_eq!(master.get(PATH).await.json(), before);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_may_depend_on_there_being_no_later_one() {
    let master = OneMaster::start().await;
    let first = master.get(PATH).await.header("etag").to_owned();
    let body = json!({"scheduler.strategy": "binpack"});
    assert_eq!(put(&master, &[("if-match", &first)], &body).await.status, 200);

    let body = json!({"scheduler.strategy": "spread"});
    put(&master, &[("if-match", &first)], &body).await.problem(409, "conflict");
    put(&master, &[("if-match", "*")], &body).await.problem(400, "malformed");
    assert_eq!(setting(&master, "scheduler.strategy").await["value"], "binpack");

    // Without it, changes at the same time all count.
    let (one, other) = (json!({"retention.tasks": 5}), json!({"retention.age": "1h"}));
    tokio::join!(set(&master, &one), set(&master, &other));
    assert_eq!(setting(&master, "retention.tasks").await["value"], "5");
    assert_eq!(setting(&master, "retention.age").await["value"], "1h");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_knows_the_same_settings() {
    let master = OneMaster::start().await;
    let url = format!("http://{}", master.grpc());
    let mut client = ClusterServiceClient::connect(url).await.unwrap();
    let shown = client.get_config(v1::GetConfigRequest::default()).await.unwrap().into_inner();
    assert_eq!(serde_json::to_value(&shown).unwrap(), master.get(PATH).await.json());

    let values = [("worker.lease".to_owned(), "10m".to_owned())];
    let request = v1::SetConfigRequest { values: values.into(), if_index: Some(shown.index) };
    let changed = client.set_config(request.clone()).await.unwrap().into_inner();
    assert!(changed.index > shown.index);
    assert_eq!(serde_json::to_value(&changed).unwrap(), master.get(PATH).await.json());
    let refused = client.set_config(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_an_event() {
    let master = OneMaster::start().await;
    let mut socket = EventSocket::watch(&master, &["cluster"]).await;
    let index = set(&master, &json!({"worker.lease": "10m"})).await["index"].clone();
    // An order that changes nothing is no change.
    set(&master, &json!({"worker.lease": "10m"})).await;
    set(&master, &json!({"retention.tasks": 5})).await;

    let mut event = socket.next().await;
    if event["source"] == "master" {
        // Recorded, and not yet told when the socket was opened.
        event = socket.next().await;
    }
    assert_eq!(
        (&event["type"], &event["source"], &event["changed"], &event["index"]),
        (&json!("settings"), &json!("operator"), &json!({"worker.lease": "10m"}), &index)
    );
    assert_eq!(socket.next().await["changed"], json!({"retention.tasks": "5"}));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_on_live_tasks_changes_at_once() {
    let master = OneMaster::start_with(|config| config.limits.live_bytes = Bytes(1)).await;
    let task = json!({"command": ["true"]});
    master.post("/api/tasks", &task).await.problem(429, "queue-full");
    set(&master, &json!({"limits.live_bytes": "1MiB"})).await;
    assert_eq!(master.post("/api/tasks", &task).await.status, 201);

    // The bound of a leader that comes later does not count.
    let stopped = master.stop().await;
    let master = OneMaster::start_as(stopped, |config| config.limits.live_bytes = Bytes(1)).await;
    assert_eq!(master.post("/api/tasks", &task).await.status, 201);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reconnection_monitor_is_switched_on_and_off() {
    let master = OneMaster::start_with(|config| config.reconnect.enabled = false).await;
    let worker = json!({"worker_id": "worker-1", "address": NOWHERE});
    assert_eq!(master.post("/api/workers", &worker).await.status, 201);
    master.until_metrics_say("cloudai_reconnect_monitor_running 0").await;
    set(&master, &json!({"reconnect": {"enabled": true, "interval": "20ms"}})).await;
    master.until_metrics_say("cloudai_reconnect_monitor_running 1").await;
    eventually("the worker is contacted again and again", PATIENCE, async || {
        let metrics = master.get("/metrics").await.body;
        let mut lines = metrics.lines();
        let failures =
            lines.find_map(|line| line.strip_prefix("cloudai_reconnect_failures_total "));
        let failures = failures.unwrap_or("0").parse::<f64>().unwrap();
        require(failures >= 3.0, || format!("{failures} failures"))
    })
    .await;
    set(&master, &json!({"reconnect.enabled": false})).await;
    master.until_metrics_say("cloudai_reconnect_monitor_running 0").await;
    master.stop().await;
}
