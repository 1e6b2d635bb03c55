//! The worker registry over REST.

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
