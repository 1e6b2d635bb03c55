//! When tasks start and end, and finished tasks that run again.

use cluster_state::Level;
use serde_json::{Value, json};

use crate::one_master::{Answer, OneMaster};

async fn at_level_2() -> OneMaster {
    let master = OneMaster::start().await;
    master.state(|state| (state.meta().level >= Level(2)).then_some(())).await;
    master
}

async fn ended(master: &OneMaster, id: &str) -> Value {
    let answer = master.get(&format!("/api/tasks/{id}/wait?timeout=30s")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_says_when_it_starts_and_why_it_ended_late() {
    let master = at_level_2().await;
    let later = json!({"command": ["true"], "delay": "1h", "deadline": "2h",
        "no_retry_exit_codes": [2, "64-78"]});
    let submitted = master.post("/api/tasks", &later).await.json();
    assert_eq!(submitted, json!({"task_id": "t1", "state": "scheduled"}));
    let shown = master.get("/api/tasks/t1").await.json();
    let start = shown["not_before"].as_str().unwrap();
    assert_eq!(shown["pending_reason"], format!("waiting for its start time, {start}"));
    assert_eq!(shown["no_retry_exit_codes"], json!([2, "64-78"]));
    assert!(shown["deadline"].as_str() > Some(start), "{shown}");

    let impatient = [
        json!({"command": ["true"], "queue_timeout": "100ms"}),
        json!({"command": ["true"], "deadline": "100ms"}),
        json!({"command": ["true"], "delay": "50ms", "queue_timeout": "50ms"}),
    ];
    let submitted = master.post("/api/tasks", &json!(impatient)).await.json();
    let states = [0, 1, 2].map(|position| submitted[position]["state"].clone());
    assert_eq!(states, ["queued", "queued", "scheduled"]);
    for (id, reason) in [("t2", "queue-timeout: "), ("t3", "deadline: "), ("t4", "queue-timeout: ")]
    {
        let task = ended(&master, id).await;
        assert_eq!(task["state"], "failed", "{task}");
        assert!(task["reason"].as_str().unwrap().starts_with(reason), "{task}");
        assert_eq!(task["attempts"], json!([]), "{task}");
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_not_allowed_is_pointed_at() {
    let master = at_level_2().await;
    let pointer = |answer: Answer| {
        let problem = answer.problem(422, "invalid-task");
        assert_eq!(problem["outcome"], "rejected");
        problem["errors"][0]["pointer"].as_str().unwrap().to_owned()
    };
    let past = json!({"command": ["true"], "deadline": "2001-01-01T00:00:00Z"});
    let far = json!({"command": ["true"], "not_before": "2999-01-01T00:00:00Z"});
    let both = json!({"command": ["true"], "delay": "1s", "not_before": "2999-01-01T00:00:00Z"});
    assert_eq!(pointer(master.post("/api/tasks", &past).await), "/deadline");
    assert_eq!(pointer(master.post("/api/tasks", &far).await), "/not_before");
    assert_eq!(pointer(master.post("/api/tasks", &both).await), "/delay");
    let fine = json!({"command": ["true"]});
    assert_eq!(pointer(master.post("/api/tasks", &json!([fine, past])).await), "/1/deadline");
    assert!(master.get("/api/tasks").await.json()["tasks"].as_array().unwrap().is_empty());
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_task_is_retried_once_however_often_it_is_asked_for() {
    let master = at_level_2().await;
    let id = master.submit("true").await;
    let (path, retry) = (format!("/api/tasks/{id}"), format!("/api/tasks/{id}/retry"));
    let none = json!(null);
    let live = master.post(&retry, &none).await.problem(409, "conflict");
    assert_eq!(live["detail"], "task t1 is queued: only a finished task is retried");
    assert_eq!(live["outcome"], "rejected");

    for retries in 1..=3 {
        assert_eq!(master.delete(&path).await.status, 202);
        let ask = || master.post(&retry, &none);
        let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
        let mut statuses = [a.status, b.status, c.status, d.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409, 409, 409]);
        let shown = master.get(&path).await.json();
        assert_eq!((&shown["state"], &shown["retries"]), (&json!("queued"), &json!(retries)));
        assert_eq!(shown["finished_at"], json!(null));
        let listed = master.get("/api/tasks").await.json();
        assert_eq!(listed["tasks"].as_array().unwrap().len(), 1, "{listed}");
    }

    master.post("/api/tasks/t77/retry", &none).await.problem(404, "not-found");
    let secret = json!({"command": ["true"], "secret_env": {"TOKEN": "x"}});
    master.post("/api/tasks", &secret).await;
    master.delete("/api/tasks/t2").await;
    let refused = master.post("/api/tasks/t2/retry", &none).await.problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("secret variables were dropped"));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_to_retry_many_tasks_do_not_turn_each_other_down() {
    let master = at_level_2().await;
    let tasks = json!(vec![json!({"command": ["true"]}); 60]);
    assert_eq!(master.post("/api/tasks", &tasks).await.status, 201);
    let paths = (1..=60).map(|id| format!("/api/tasks/t{id}")).collect::<Vec<_>>();
    let cancels = paths.iter().map(|path| master.delete(path));
    for cancelled in futures_util::future::join_all(cancels).await {
        assert_eq!(cancelled.status, 202, "{}", cancelled.body);
    }

    let none = json!(null);
    let retries = paths.iter().map(|path| format!("{path}/retry")).collect::<Vec<_>>();
    let retries = retries.iter().map(|path| master.post(path, &none));
    for retried in futures_util::future::join_all(retries).await {
        assert_eq!(retried.status, 202, "{}", retried.body);
    }
    let listed = master.get("/api/audit?limit=1000").await.json();
    let records = listed["records"].as_array().unwrap();
    let retries = records.iter().filter(|record| record["action"] == "retry-task");
    assert_eq!(retries.count(), 60, "{listed}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_task_is_known_after_a_restart() {
    let master = at_level_2().await;
    for id in [master.submit("true").await, master.submit("true").await] {
        assert_eq!(master.delete(&format!("/api/tasks/{id}")).await.status, 202);
    }
    assert_eq!(master.post("/api/tasks/t1/retry", &json!(null)).await.status, 202);
    let before = master.get("/api/tasks").await.json();

    let master = OneMaster::start_in(master.stop().await).await;

    assert_eq!(master.get("/api/tasks").await.json(), before);
    assert_eq!(master.get("/api/tasks/t1").await.json()["state"], "queued");
    master.stop().await;
}
