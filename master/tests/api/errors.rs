//! Every refusal is a problem, whoever refuses: the router, the reader of bodies, the state.

use master::config::{Bytes, Config};
use serde_json::json;

use crate::one_master::OneMaster;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test(flavor = "multi_thread")]
async fn a_path_or_method_that_is_not_there_is_a_problem() {
    let master = OneMaster::start().await;
    let problem = master.get("/api/nothing").await.problem(404, "not-found");
    assert_eq!(problem["detail"], "there is nothing at /api/nothing");
    let answer = master.ask("PUT", "/api/tasks", &[], "").await;
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    for id in ["t9", "nonsense"] {
        master.get(&format!("/api/tasks/{id}")).await.problem(404, "not-found");
        master.delete(&format!("/api/tasks/{id}")).await.problem(404, "not-found");
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_a_problem() {
    let master = OneMaster::start().await;
    let post = async |headers: &[(&str, &str)], body: &str| {
        master.ask("POST", "/api/tasks", headers, body).await
    };
    post(&JSON, "{\"command\": [").await.problem(400, "malformed");
    post(&JSON, "").await.problem(400, "malformed");
    post(&JSON, "17").await.problem(400, "malformed");
    post(&JSON, &"[".repeat(10_000)).await.problem(400, "malformed");
    post(&[], "{}").await.problem(415, "unsupported-media-type");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    post(&form, "command=true").await.problem(415, "unsupported-media-type");
    let problem = post(&JSON, r#"{"comand": ["true"]}"#).await.problem(400, "unknown-field");
    assert!(problem["detail"].as_str().unwrap().contains("`comand`"));
    assert_eq!(problem["outcome"], "rejected");
    assert_eq!(problem["errors"][0]["pointer"], "/comand");
    let nested = r#"[{"command": ["true"]}, {"resources": {"ram": 1}}]"#;
    let problem = post(&JSON, nested).await.problem(400, "unknown-field");
    assert_eq!(problem["errors"][0]["pointer"], "/1/resources/ram");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_any_body_is_pointed_at() {
    let master = OneMaster::start().await;
    for (path, body, pointer) in [
        ("/api/workers", json!({"worker_id": "w1", "adress": "w1:1"}), "/adress"),
        ("/api/workers", json!({"worker_id": "w1", "labels": {"a": 1}}), "/labels/a"),
        ("/api/workers/w1/labels", json!({"set": {}, "unset": []}), "/unset"),
        ("/api/tokens", json!({"token_id": "t", "ttl": 5}), "/ttl"),
    ] {
        let answer = master.post(path, &body).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{path}: {}", answer.body);
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_a_problem() {
    let master = OneMaster::start().await;
    let long = format!("{{\"command\": [\"{}\"]}}", "x".repeat(8 << 20));
    let problem = master.ask("POST", "/api/tasks", &JSON, &long).await.problem(413, "too-large");
    assert_eq!(problem["outcome"], "rejected");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_task_is_told_with_its_place() {
    let master = OneMaster::start().await;
    let task = json!({
        "command": [], "priority": 101, "max_attempts": 0,
        "resources": {"cpu": -1.0}, "run_timeout": "soon",
    });
    let problem = master.post("/api/tasks", &task).await.problem(422, "invalid-task");
    let errors = problem["errors"].as_array().unwrap();
    let mut pointers =
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect::<Vec<_>>();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["/command", "/max_attempts", "/priority", "/resources/cpu", "/run_timeout"]
    );
    assert!(!problem["detail"].as_str().unwrap().starts_with("/0"));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_makes_no_sense_is_a_problem() {
    let master = OneMaster::start().await;
    for query in [
        "limit=0",
        "limit=1001",
        "limit=many",
        "state=done",
        "worker=a%2Fb",
        "cursor=17",
        "consistency=fresh",
        "wait=1s",
        "index=1&wait=soon",
        "limit=1&limit=2",
    ] {
        master.get(&format!("/api/tasks?{query}")).await.problem(400, "malformed");
    }
    let problem = master.get("/api/tasks?stat=queued").await.problem(400, "unknown-field");
    assert!(problem["detail"].as_str().unwrap().contains("`stat`"));
    master.get("/api/tasks/t1?x=1").await.problem(400, "unknown-field");
    master.get("/livez").await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_tasks_at_once_are_refused() {
    let master = OneMaster::start().await;
    let tasks = vec![json!({"command": ["true"]}); 10_001];
    let problem = master.post("/api/tasks", &json!(tasks)).await.problem(422, "limit-reached");
    assert_eq!(problem["outcome"], "rejected");
    assert_eq!(master.get("/api/tasks").await.json()["tasks"], json!([]));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_is_nearly_full_takes_no_new_tasks() {
    let master = OneMaster::start().await;
    let waiting = master.submit("true").await;
    let dir = master.stop().await;
    let more_than_there_is =
        |config: &mut Config| config.limits.disk_free_min = Bytes::mib(1 << 40);
    let master = OneMaster::start_as(dir, more_than_there_is).await;

    let task = json!({"command": ["true"]});
    let problem = master.post("/api/tasks", &task).await.problem(429, "disk-full");

    assert_eq!(problem["outcome"], "rejected");
    assert!(problem["detail"].as_str().unwrap().contains("limits.disk_free_min"), "{problem}");
    // What makes room is still possible.
    let cancelled = master.delete(&format!("/api/tasks/{waiting}")).await;
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    let status = master.get("/api/cluster").await.json();
    assert!(status["members"][0]["free_bytes"].as_u64().unwrap() > 0, "{status}");
    master.stop().await;
}
