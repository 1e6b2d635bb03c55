//! Tasks that wait for others.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use cluster_state::Level;
use proto::client::{Client, ClientOptions};
use proto::v1;
use serde_json::{Value, json};

use crate::one_master::OneMaster;

async fn at_level_2() -> OneMaster {
    let master = OneMaster::start().await;
    master.state(|state| (state.meta().level >= Level(2)).then_some(())).await;
    master
}

fn task(more: &Value) -> Value {
    let mut task = json!({"command": ["true"]});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    task
}

async fn submit(master: &OneMaster, tasks: &[Value]) -> Value {
    let tasks = tasks.iter().map(task).collect::<Vec<_>>();
    let answer = master.post("/api/tasks", &json!(tasks)).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let accepted = answer.json();
    accepted.as_array().unwrap().iter().map(|task| task["state"].clone()).collect()
}

async fn shown(master: &OneMaster, id: &str) -> Value {
    master.get(&format!("/api/tasks/{id}")).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_is_submitted_by_local_names_and_goes_down_with_its_root() {
    let master = at_level_2().await;
    let states = submit(
        &master,
        &[
            json!({"local_name": "pack", "after": ["test", "build"]}),
            json!({"local_name": "build"}),
            json!({"local_name": "test", "after": ["build"]}),
            json!({"after_any": ["pack"]}),
        ],
    )
    .await;
    assert_eq!(states, json!(["blocked", "queued", "blocked", "blocked"]));

    let pack = shown(&master, "t1").await;
    assert_eq!((&pack["after"], &pack["dependents"]), (&json!(["t2", "t3"]), &json!(["t4"])));
    assert_eq!(pack["pending_reason"], "waiting for t2, t3");
    assert_eq!(shown(&master, "t2").await["dependents"], json!(["t1", "t3"]));
    assert_eq!(shown(&master, "t4").await["after_any"], json!(["t1"]));
    let explained = master.get("/api/tasks/t3/explain").await.json();
    assert_eq!(explained["pending_reason"], "waiting for t2");
    let listed = master.get("/api/tasks?state=blocked").await.json();
    let reasons = listed["tasks"].as_array().unwrap().iter();
    let reasons = reasons.map(|task| task["pending_reason"].clone()).collect::<Value>();
    assert_eq!(reasons, json!(["waiting for t1", "waiting for t2", "waiting for t2, t3"]));
    let queue = master.get("/api/queue").await.json();
    assert_eq!(queue["states"], json!({"blocked": 3, "queued": 1}));
    let metrics = master.get("/metrics").await.body;
    assert!(metrics.contains("cloudai_tasks{state=\"blocked\"} 3"), "{metrics}");

    assert_eq!(master.delete("/api/tasks/t2").await.status, 202);
    let pack = shown(&master, "t1").await;
    assert_eq!(pack["state"], "aborted");
    assert_eq!(pack["reason"], "its dependency t2 was cancelled");
    assert!(pack["finished_at"].is_string() && pack["attempts"] == json!([]), "{pack}");
    assert_eq!(shown(&master, "t4").await["state"], "queued");
    let listed = master.get("/api/tasks?state=aborted").await.json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 2);
    let ended = master.get("/api/tasks/t3/wait?timeout=10s").await.json();
    assert_eq!(ended["state"], "aborted");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_over_decides_at_once() {
    let master = at_level_2().await;
    submit(&master, &[json!({}), json!({})]).await;
    assert_eq!(master.delete("/api/tasks/t1").await.status, 202);
    let states = submit(
        &master,
        &[
            json!({"after": ["t1"]}),
            json!({"after_any": ["t1"]}),
            json!({"after_any": ["t1", "t2"]}),
        ],
    )
    .await;
    assert_eq!(states, json!(["aborted", "queued", "blocked"]));
    assert_eq!(shown(&master, "t3").await["reason"], "its dependency t1 was cancelled");

    // An aborted task is retried after what it needs.
    let none = json!(null);
    let early = master.post("/api/tasks/t3/retry", &none).await.problem(409, "conflict");
    let detail = "task t3 cannot be retried: its dependency t1 was cancelled: retry that first";
    assert_eq!(early["detail"], detail);
    assert_eq!(master.post("/api/tasks/t1/retry", &none).await.json()["state"], "queued");
    assert_eq!(master.post("/api/tasks/t3/retry", &none).await.json()["state"], "blocked");

    let master = OneMaster::start_in(master.stop().await).await;
    assert_eq!(shown(&master, "t3").await["pending_reason"], "waiting for t1");
    assert_eq!(master.delete("/api/tasks/t1").await.status, 202);
    assert_eq!(shown(&master, "t3").await["state"], "aborted");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_graph_is_pointed_at_and_nothing_is_accepted() {
    let master = at_level_2().await;
    submit(&master, &[json!({})]).await;
    for (tasks, pointer, detail) in [
        (
            json!([
                task(&json!({"local_name": "a", "after": ["b"]})),
                task(&json!({"local_name": "b", "after": ["a"]}))
            ]),
            "/0/after",
            "makes a circle: a after b after a",
        ),
        (
            json!([task(&json!({"after": ["nobody"]}))]),
            "/0/after/0",
            "is neither the id of a task, as in t17, nor a local name of this submission",
        ),
        (
            json!([task(&json!({})), task(&json!({"after": ["t1"], "after_any": ["t99"]}))]),
            "/1/after_any",
            "names t99, which never was or is forgotten",
        ),
        (task(&json!({"after": ["t1", "t1"]})), "/after/1", "is named twice"),
        (task(&json!({"after": ["t99"]})), "/after", "names t99, which never was or is forgotten"),
        (task(&json!({"local_name": "a", "after": ["a"]})), "/after/0", "is the task itself"),
    ] {
        let problem = master.post("/api/tasks", &tasks).await.problem(422, "invalid-task");
        assert_eq!(problem["errors"], json!([{"pointer": pointer, "detail": detail}]));
        assert_eq!(problem["outcome"], "rejected");
    }
    let listed = master.get("/api/tasks").await.json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_is_repeated_under_its_key_even_if_what_it_waited_for_is_over() {
    let master = at_level_2().await;
    let grpc = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    let task = |name: &str, after: &[&str]| v1::TaskSpec {
        command: vec!["true".to_owned()],
        local_name: Some(name.to_owned()),
        after: after.iter().map(|text| (*text).to_owned()).collect(),
        ..v1::TaskSpec::default()
    };
    submit(&master, &[json!({})]).await;
    let tasks = vec![task("first", &["t1"]), task("second", &["first"])];
    let key = Some("graph".to_owned());
    let states = |accepted: Vec<v1::SubmittedTask>| {
        let shown = accepted.iter().map(|task| (task.task_id.clone(), task.state()));
        shown.collect::<Vec<_>>()
    };
    let accepted = states(grpc.submit(tasks.clone(), key.clone()).await.unwrap());
    let blocked = v1::TaskState::Blocked;
    assert_eq!(accepted, [("t2".to_owned(), blocked), ("t3".to_owned(), blocked)]);

    assert_eq!(master.delete("/api/tasks/t1").await.status, 202);
    let again = states(grpc.submit(tasks.clone(), key.clone()).await.unwrap());
    let aborted = v1::TaskState::Aborted;
    assert_eq!(again, [("t2".to_owned(), aborted), ("t3".to_owned(), aborted)]);
    let other = vec![task("first", &["t1"]), task("second", &["t1"])];
    let refused = grpc.submit(other, key).await.unwrap_err();
    assert!(refused.to_string().contains("idempotency key"), "{refused}");
    master.stop().await;
}
