//! The worker registry over REST.

use std::collections::BTreeMap;

use serde_json::json;

use crate::one_master::OneMaster;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_registered_while_it_is_offline_and_removed() {
    let master = OneMaster::start().await;
    let worker =
        json!({"worker_id": "worker-1", "address": "127.0.0.1:1", "labels": {"zone": "a"}});
    let registered = master.post("/api/workers", &worker).await;
    assert_eq!(registered.status, 201, "{}", registered.body);
    assert_eq!(registered.header("location"), "/api/workers/worker-1");
    assert_eq!(registered.json()["is_active"], json!(false));
    assert_eq!(registered.json()["reason"], "preregistered");

    let listed = master.get("/api/workers").await.json();
    assert_eq!(listed["workers"][0]["worker_id"], "worker-1");
    assert_eq!(listed["workers"][0]["last_heartbeat"], json!(null));
    assert_eq!(listed["next_cursor"], json!(null));
    assert_eq!(master.get("/api/workers/worker-1").await.json()["labels"], json!({"zone": "a"}));

    assert_eq!(master.delete("/api/workers/worker-1").await.status, 204);
    master.delete("/api/workers/worker-1").await.problem(404, "not-found");
    master.get("/api/workers/worker-1").await.problem(404, "not-found");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_in_pages_by_name() {
    let master = OneMaster::start().await;
    for id in ["b", "a", "c"] {
        let worker = json!({"worker_id": id, "address": "127.0.0.1:1"});
        master.post("/api/workers", &worker).await;
    }
    let first = master.get("/api/workers?limit=2").await.json();
    assert_eq!(first["workers"][1]["worker_id"], "b");
    assert_eq!(first["next_cursor"], "b");
    let second = master.get("/api/workers?limit=2&cursor=b").await.json();
    assert_eq!(second["workers"][0]["worker_id"], "c");
    assert_eq!(second["next_cursor"], json!(null));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_makes_no_sense_is_a_problem() {
    let master = OneMaster::start().await;
    let bad = json!({"worker_id": "a/b", "address": "nowhere"});
    let problem = master.post("/api/workers", &bad).await.problem(422, "invalid-value");
    assert_eq!(problem["errors"][0]["pointer"], "/worker_id");
    assert_eq!(problem["errors"][1]["pointer"], "/address");
    let unknown = json!({"worker_id": "a", "address": "127.0.0.1:1", "adress": "x"});
    master.post("/api/workers", &unknown).await.problem(400, "unknown-field");
    master.get("/api/workers/nobody").await.problem(404, "not-found");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_again_changes_what_is_named_and_nothing_else() {
    let master = OneMaster::start().await;
    let first = json!({"worker_id": "w", "address": "127.0.0.1:1", "labels": {"zone": "a"}});
    assert_eq!(master.post("/api/workers", &first).await.status, 201);

    let moved = json!({"worker_id": "w", "address": "127.0.0.1:2"});
    let moved = master.post("/api/workers", &moved).await;
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert_eq!(moved.json()["labels"], json!({"zone": "a"}));
    let labeled = json!({"worker_id": "w", "labels": {"zone": "b"}});
    let labeled = master.post("/api/workers", &labeled).await.json();
    assert_eq!(labeled["address"], "127.0.0.1:2");
    assert_eq!(labeled["labels"], json!({"zone": "b"}));
    let bare = json!({"worker_id": "w", "labels": {}});
    assert_eq!(master.post("/api/workers", &bare).await.json()["labels"], json!({}));

    let history = master.get("/api/workers/w/history").await.json();
    let events = history["events"].as_array().unwrap().iter();
    let details = events.map(|event| event["detail"].clone()).collect::<Vec<_>>();
    assert_eq!(details, [json!(null), json!("address"), json!("labels"), json!("labels")]);
    let nowhere = json!({"worker_id": "new"});
    let problem = master.post("/api/workers", &nowhere).await.problem(422, "invalid-value");
    assert_eq!(problem["errors"][0]["pointer"], "/address");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_labels_of_one_worker_are_bounded() {
    let master = OneMaster::start().await;
    let worker = json!({"worker_id": "w", "address": "127.0.0.1:1"});
    assert_eq!(master.post("/api/workers", &worker).await.status, 201);
    let label = |number: usize| json!({"set": BTreeMap::from([(format!("label-{number}"), "x")])});
    for number in 0..64 {
        assert_eq!(master.post("/api/workers/w/labels", &label(number)).await.status, 200);
    }
    let refused = master.post("/api/workers/w/labels", &label(64)).await;
    refused.problem(422, "limit-reached");
    let long = (0..64).map(|number| (format!("label-{number}"), "x".repeat(256)));
    let long = json!({"set": long.collect::<BTreeMap<_, _>>()});
    master.post("/api/workers/w/labels", &long).await.problem(422, "limit-reached");
    master.stop().await;
}
