//! Schedules over REST and gRPC: described, previewed, fired, paused, run by hand, replaced, deleted.

use cluster_state::Level;
use eventually::{PATIENCE, eventually, require};
use proto::client::{Client, ClientOptions};
use serde_json::{Value, json};

use crate::one_master::{Answer, OneMaster};

async fn at_level_2() -> OneMaster {
    let master = OneMaster::start().await;
    master.state(|state| (state.meta().level >= Level(2)).then_some(())).await;
    master
}

async fn put(master: &OneMaster, path: &str, body: &Value) -> Answer {
    master.ask("PUT", path, &[("content-type", "application/json")], &body.to_string()).await
}

fn nightly() -> Value {
    json!({
        "name": "nightly", "cron": "30 2 * * MON-FRI", "time_zone": "europe/berlin",
        "task": {"command": ["backup"], "env": {"A": "b"}, "secret_env": {"KEY": "hidden"}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_created_shown_replaced_and_deleted() {
    let master = at_level_2().await;
    let created = master.post("/api/schedules", &nightly()).await;
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.header("location"), "/api/schedules/nightly");
    let shown = master.get("/api/schedules/nightly").await.json();
    assert_eq!(shown, created.json());
    for (field, expected) in [
        ("cron", json!("30 2 * * MON-FRI")),
        ("time_zone", json!("Europe/Berlin")),
        ("overlap", json!("skip")),
        ("catch_up_window", json!("1h")),
        ("paused", json!(false)),
        ("secret_env", json!(["KEY"])),
        ("started", json!(0)),
        ("last_at", json!(null)),
        ("runs", json!([])),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    assert_eq!(shown["task"]["env"], json!({"A": "b"}));
    assert!(!created.body.contains("hidden"));

    let again = master.post("/api/schedules", &nightly()).await;
    again.problem(409, "conflict");
    let next = master.get("/api/schedules/nightly/next?count=3").await.json();
    let runs = next["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]["at"]), (3, &shown["next_at"]));
    let local = runs[0]["local"].as_str().unwrap();
    assert!(local.contains(" 02:30:00 +0") || local.contains(" 03:00:00 +02:00"), "{local}");

    let mut other = nightly();
    (other["cron"], other["overlap"]) = (json!("@daily"), json!("buffer_one"));
    other.as_object_mut().unwrap().remove("name");
    let replaced = put(&master, "/api/schedules/nightly", &other).await;
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    assert_eq!(replaced.json()["overlap"], "buffer_one");
    assert_eq!(replaced.json()["created_at"], shown["created_at"]);
    put(&master, "/api/schedules/weekly", &other).await.problem(404, "not-found");
    put(&master, "/api/schedules/weekly", &nightly()).await.problem(422, "invalid-value");

    let page = master.get("/api/schedules?limit=1").await.json();
    assert_eq!(page["schedules"][0]["name"], "nightly");
    assert_eq!(page["next_cursor"], json!(null));
    assert_eq!(master.delete("/api/schedules/nightly").await.status, 204);
    master.get("/api/schedules/nightly").await.problem(404, "not-found");
    master.delete("/api/schedules/nightly").await.problem(404, "not-found");

    let trail = master.get("/api/audit?object=schedule/&order=oldest").await.json();
    let actions = trail["records"].as_array().unwrap().iter();
    let actions = actions.map(|one| json!([one["action"], one["outcome"]])).collect::<Vec<_>>();
    let expected = json!([
        ["create-schedule", "done"],
        ["create-schedule", "rejected"],
        ["replace-schedule", "done"],
        ["replace-schedule", "rejected"],
        ["delete-schedule", "done"],
        ["delete-schedule", "rejected"],
    ]);
    assert_eq!(json!(actions), expected);
    assert_eq!(trail["records"][0]["detail"], "30 2 * * MON-FRI in Europe/Berlin");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_means_no_time_is_refused_with_its_place() {
    let master = at_level_2().await;
    for (field, value, pointer, detail) in [
        ("cron", "0 0 30 2 *", "/cron", "it never comes: no month that it names has day 30"),
        ("cron", "61 * * * *", "/cron", "minute: '61' is out of place: values are 0 to 59"),
        ("cron", "@fortnightly", "/cron", "'@fortnightly' is not known: use @yearly"),
        ("time_zone", "Europe/Atlantis", "/time_zone", "'Europe/Atlantis' is not a time zone"),
        ("overlap", "never", "/overlap", "is not one of skip, buffer_one, allow"),
        ("catch_up_window", "5s", "/catch_up_window", "is out of range: 10s to a year"),
    ] {
        let mut schedule = nightly();
        schedule[field] = json!(value);
        let problem = master.post("/api/schedules", &schedule).await.problem(422, "invalid-value");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
        let told = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(told.starts_with(detail), "{told}");
        assert_eq!(problem["outcome"], "rejected");
    }
    let mut schedule = nightly();
    schedule["task"] = json!({"command": [], "not_before": "2030-01-01T00:00:00Z"});
    let problem = master.post("/api/schedules", &schedule).await.problem(422, "invalid-task");
    assert_eq!(problem["errors"][0]["pointer"], "/task/command");
    schedule = nightly();
    schedule["crom"] = json!("@daily");
    master.post("/api/schedules", &schedule).await.problem(400, "unknown-field");
    master.get("/api/schedules/nightly/next?count=0").await.problem(400, "malformed");
    assert_eq!(master.get("/api/schedules").await.json()["schedules"], json!([]));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_fires_its_task_and_says_what_became_of_each_run() {
    let master = at_level_2().await;
    let tick = json!({
        "name": "tick", "cron": "@every 1s", "overlap": "buffer_one",
        "task": {"command": ["true"], "labels": {"team": "x"}},
    });
    assert_eq!(master.post("/api/schedules", &tick).await.status, 201);
    let outcomes = |schedule: &Value| {
        let runs = schedule["runs"].as_array().unwrap().iter();
        runs.map(|run| run["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let shown = eventually("three runs are decided about", PATIENCE, async || {
        let shown = master.get("/api/schedules/tick").await.json();
        require(outcomes(&shown).len() >= 3, || shown.to_string()).map(|()| shown)
    })
    .await;
    assert_eq!(outcomes(&shown)[..3], ["started", "waiting", "skipped"]);
    assert_eq!(shown["waiting_at"], shown["runs"][1]["at"]);
    let paused = master.post("/api/schedules/tick/pause", &Value::Null).await.json();
    assert_eq!(paused["paused"], true);

    let task = master.get("/api/tasks/t1").await.json();
    let at = shown["runs"][0]["at"].as_str().unwrap().replace(".000Z", "Z");
    assert_eq!(task["env"], json!({"CLOUDAI_SCHEDULE": "tick", "CLOUDAI_SCHEDULED_AT": at}));
    assert_eq!(task["labels"], json!({"cloudai.schedule": "tick", "team": "x"}));
    let listed = master.get("/api/tasks?label=cloudai.schedule=tick").await.json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);

    // The run that waits starts when it may: not while the schedule is paused.
    assert_eq!(master.delete("/api/tasks/t1").await.status, 202);
    assert_eq!(master.get("/api/tasks/t2").await.status, 404);
    assert_eq!(master.post("/api/schedules/tick/resume", &Value::Null).await.status, 200);
    eventually("the run that waited starts", PATIENCE, async || {
        let task = master.get("/api/tasks/t2").await;
        require(task.status == 200, || task.body.clone())
    })
    .await;
    let late = master.get("/api/tasks/t2").await.json()["env"]["CLOUDAI_SCHEDULED_AT"].clone();
    let waited = shown["waiting_at"].as_str().unwrap().replace(".000Z", "Z");
    assert_eq!(late, waited);
    assert_eq!(master.delete("/api/schedules/tick").await.status, 204);
    assert_eq!(master.get("/api/tasks/t2").await.status, 200);
    let metrics = master.get("/metrics").await.body;
    let line = "cloudai_schedule_runs_total{outcome=\"fired\"} 2";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_has_a_key_and_does_not_overlap() {
    let master = at_level_2().await;
    let mut schedule = nightly();
    schedule["paused"] = json!(true);
    schedule["task"]["delay"] = json!("1h");
    assert_eq!(master.post("/api/schedules", &schedule).await.status, 201);
    let run = async |key: &'static str| {
        let headers = [("idempotency-key", key)];
        master.post_with("/api/schedules/nightly/run", &headers, &Value::Null).await
    };
    let first = run("k").await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.header("location"), "/api/tasks/t1");
    let expected = json!({"task_id": "t1", "state": "scheduled"});
    assert_eq!((first.json(), run("k").await.json()), (expected.clone(), expected));
    let busy = run("l").await.problem(409, "conflict");
    let detail = "the last run of schedule 'nightly', task t1, is not over";
    assert_eq!(busy["detail"], detail);
    let shown = master.get("/api/schedules/nightly").await.json();
    assert_eq!(json!([shown["runs"][0]["manual"], shown["started"]]), json!([true, 1]));
    assert_eq!(shown["last_at"], json!(null));

    let grpc = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    assert_eq!(serde_json::to_value(grpc.schedule("nightly").await.unwrap()).unwrap(), shown);
    grpc.cancel("t1").await.unwrap();
    assert_eq!(grpc.run_schedule("nightly").await.unwrap().task_id, "t2");
    assert!(!grpc.pause_schedule("nightly", false).await.unwrap().paused);
    assert_eq!(grpc.next_runs("nightly", 7).await.unwrap().runs.len(), 7);
    grpc.delete_schedule("nightly").await.unwrap();
    assert!(grpc.schedule("nightly").await.is_err());
    master.stop().await;
}
