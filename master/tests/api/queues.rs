//! Named queues over REST and gRPC: created, changed, named by tasks, paused, deleted.

use cluster_state::Level;
use proto::client::{Client, ClientOptions};
use proto::v1;
use serde_json::{Value, json};

use crate::one_master::{Answer, OneMaster};

async fn at_level_2() -> OneMaster {
    let master = OneMaster::start().await;
    master.state(|state| (state.meta().level >= Level(2)).then_some(())).await;
    master
}

async fn put(master: &OneMaster, queue: &str, body: &Value) -> Answer {
    let path = format!("/api/queues/{queue}");
    master.ask("PUT", &path, &[("content-type", "application/json")], &body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_created_changed_paused_and_deleted() {
    let master = at_level_2().await;
    let settings = json!({
        "weight": 3, "max_running": 4, "max_running_per_key": 2,
        "rate": {"starts": 5, "per": "1m"},
    });
    let created = put(&master, "night", &settings).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let created = created.json();
    for (field, expected) in [
        ("name", json!("night")),
        ("weight", json!(3)),
        ("paused", json!(false)),
        ("max_running", json!(4)),
        ("max_running_per_key", json!(2)),
        ("rate", json!({"starts": 5, "per": "60s"})),
        ("tasks", json!(0)),
        ("share", json!(0.0)),
        ("held", json!(null)),
    ] {
        assert_eq!(created[field], expected, "{field}");
    }
    assert_eq!(master.get("/api/queues/night").await.json(), created);

    // Absent settings are those of a new queue.
    let at = created["settings_index"].clone();
    let changed = put(&master, "night", &json!({"weight": 2, "settings_index": at})).await.json();
    assert_eq!(json!([changed["weight"], changed["max_running"]]), json!([2, null]));
    let late = put(&master, "night", &json!({"weight": 9, "settings_index": at})).await;
    late.problem(409, "conflict");
    put(&master, "night", &json!({"settings_index": 0})).await.problem(409, "conflict");

    let paused = master.post("/api/queues/night/pause", &Value::Null).await.json();
    assert_eq!(json!([paused["paused"], paused["held"]]), json!([true, "it is paused"]));
    let resumed = master.post("/api/queues/night/resume", &Value::Null).await.json();
    assert_eq!(resumed["paused"], false);
    let listed = master.get("/api/queues").await.json();
    let names = listed["queues"].as_array().unwrap().iter().map(|queue| queue["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["default", "night"]);

    assert_eq!(master.delete("/api/queues/night").await.status, 204);
    master.get("/api/queues/night").await.problem(404, "not-found");
    master.delete("/api/queues/night").await.problem(404, "not-found");
    master.post("/api/queues/night/pause", &Value::Null).await.problem(404, "not-found");
    master.delete("/api/queues/default").await.problem(422, "invalid-task");

    let trail = master.get("/api/audit?object=queue/&order=oldest").await.json();
    let actions = trail["records"].as_array().unwrap().iter();
    let actions = actions.map(|one| json!([one["action"], one["outcome"]])).collect::<Vec<_>>();
    assert_eq!(actions[..2], [json!(["put-queue", "done"]), json!(["put-queue", "done"])]);
    assert!(actions.contains(&json!(["pause-queue", "done"])), "{actions:?}");
    assert!(actions.contains(&json!(["delete-queue", "done"])), "{actions:?}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_are_refused_with_their_place() {
    let master = at_level_2().await;
    for (body, pointer) in [
        (json!({"weight": 0}), "/weight"),
        (json!({"weight": 10_001}), "/weight"),
        (json!({"max_running": 0}), "/max_running"),
        (json!({"max_running_per_key": 0}), "/max_running_per_key"),
        (json!({"rate": {"starts": 0, "per": "1s"}}), "/rate/starts"),
        (json!({"rate": {"starts": 1, "per": "soon"}}), "/rate/per"),
        (json!({"rate": {"starts": 1, "per": "25h"}}), "/rate/per"),
    ] {
        let problem = put(&master, "a", &body).await.problem(422, "invalid-value");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    put(&master, "a", &json!({"wait": 1})).await.problem(400, "unknown-field");
    put(&master, "a", &json!({"name": "b"})).await.problem(422, "invalid-value");
    put(&master, "-a", &json!({})).await.problem(422, "invalid-value");
    assert_eq!(master.get("/api/queues").await.json()["queues"].as_array().unwrap().len(), 1);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_names_a_queue_that_exists_and_says_what_holds_it_back() {
    let master = at_level_2().await;
    let task = json!({"command": ["a"], "queue": "night", "concurrency_key": "db:1"});
    let refused = master.post("/api/tasks", &task).await.problem(422, "invalid-task");
    assert_eq!(refused["detail"], "a task names the queue 'night', which does not exist");
    assert_eq!(put(&master, "night", &json!({"paused": true})).await.status, 200);
    assert_eq!(master.post("/api/tasks", &task).await.status, 201);
    for (field, value) in [("queue", "a/b"), ("concurrency_key", " x")] {
        let mut task = task.clone();
        task[field] = json!(value);
        let problem = master.post("/api/tasks", &task).await.problem(422, "invalid-task");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"));
    }

    let shown = master.get("/api/tasks/t1").await.json();
    assert_eq!(json!([shown["queue"], shown["concurrency_key"]]), json!(["night", "db:1"]));
    assert_eq!(shown["pending_reason"], "its queue night is paused");
    let explained = master.get("/api/tasks/t1/explain").await.json();
    assert_eq!(explained["pending_reason"], "its queue night is paused");
    let queue = master.get("/api/queues/night").await.json();
    assert_eq!(json!([queue["waiting"], queue["running"], queue["tasks"]]), json!([1, 0, 1]));
    let summary = master.get("/api/queue").await.json();
    assert_eq!(summary["classes"][0]["queue"], "night");

    let in_use = master.delete("/api/queues/night").await.problem(409, "conflict");
    assert_eq!(in_use["detail"], "queue 'night' is in use: 1 of its tasks are not over");
    assert_eq!(master.delete("/api/tasks/t1").await.status, 202);
    master
        .until_metrics_say(r#"cloudai_tasks_finished_total{state="cancelled",queue="night"} 1"#)
        .await;
    let schedule = json!({"name": "s", "cron": "@yearly", "task": task});
    assert_eq!(master.post("/api/schedules", &schedule).await.status, 201);
    master.delete("/api/queues/night").await.problem(409, "conflict");
    assert_eq!(master.delete("/api/schedules/s").await.status, 204);
    assert_eq!(master.delete("/api/queues/night").await.status, 204);

    // Its queue is gone, so it cannot run again.
    let retried = master.post("/api/tasks/t1/retry", &Value::Null).await;
    assert_eq!(retried.status, 409, "{}", retried.body);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_says_and_does_the_same() {
    let master = at_level_2().await;
    let grpc = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    let spec = v1::QueueSpec { name: "a".to_owned(), weight: Some(7), ..v1::QueueSpec::default() };
    let put = grpc.put_queue(spec).await.unwrap();
    let shown = master.get("/api/queues/a").await.json();
    assert_eq!(serde_json::to_value(&put).unwrap(), shown);
    assert_eq!(serde_json::to_value(grpc.named_queue("a").await.unwrap()).unwrap(), shown);
    assert!(grpc.pause_queue("a", true).await.unwrap().paused);
    assert_eq!(grpc.queues().await.unwrap().queues.len(), 2);
    grpc.delete_queue("a").await.unwrap();
    assert!(grpc.named_queue("a").await.is_err());
    master.stop().await;
}
