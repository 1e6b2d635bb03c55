//! Orders about many tasks at once: which are meant, what becomes of them, and how far the order has come.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use cluster_state::Level;
use eventually::{PATIENCE, eventually};
use serde_json::{Value, json};

use crate::one_master::OneMaster;

async fn at_level_2() -> OneMaster {
    let master = OneMaster::start().await;
    master.state(|state| (state.meta().level >= Level(2)).then_some(())).await;
    master
}

/// Submits so many tasks of a team and returns the id of the first.
async fn submit(master: &OneMaster, team: &str, count: usize) -> String {
    let task = json!({"command": ["true"], "labels": {"team": team}, "name": format!("{team}-1")});
    let submitted = master.post("/api/tasks", &json!(vec![task; count])).await;
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    submitted.json()[0]["task_id"].as_str().unwrap().to_owned()
}

/// Gives an order and returns its job when it has ended.
async fn carried_out(master: &OneMaster, path: &str, selection: &Value) -> Value {
    let accepted = master.post(path, selection).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let id = accepted.json()["job_id"].as_str().unwrap().to_owned();
    let location = format!("/api/jobs/{id}");
    assert_eq!(accepted.header("location"), location);
    eventually("the job ends", PATIENCE, async || {
        let job = master.get(&location).await.json();
        if job["state"] == "running" { Err(job.to_string()) } else { Ok(job) }
    })
    .await
}

async fn count(master: &OneMaster, query: &str) -> usize {
    let mut count = 0;
    let mut cursor = String::new();
    loop {
        let page = master.get(&format!("/api/tasks?limit=1000&{query}{cursor}")).await.json();
        count += page["tasks"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { return count };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tasks_with_a_label_are_cancelled_and_run_again() {
    let master = at_level_2().await;
    submit(&master, "blue", 2_500).await;
    submit(&master, "red", 10).await;
    submit(&master, "blue", 20).await;

    let selection = json!({"states": ["queued"], "labels": ["team=blue"]});
    let job = carried_out(&master, "/api/tasks/cancel", &selection).await;
    assert_eq!((&job["state"], &job["action"]), (&json!("completed"), &json!("cancel")), "{job}");
    assert_eq!((&job["done"], &job["percent"]), (&json!(2_520), &json!(100)), "{job}");
    assert_eq!(job["selection"]["labels"], json!(["team=blue"]), "{job}");
    assert_eq!(count(&master, "state=cancelled&label=team=blue").await, 2_520);
    assert_eq!(count(&master, "state=queued,running&name_prefix=red").await, 10);

    // Failed ones only, unless the order says otherwise.
    let failed = carried_out(&master, "/api/tasks/retry", &json!({"all": true})).await;
    assert_eq!((&failed["done"], &failed["selection"]["states"]), (&json!(0), &json!(["failed"])));
    let selection = json!({"states": ["cancelled"], "name_prefix": "blue-"});
    let again = carried_out(&master, "/api/tasks/retry", &selection).await;
    assert_eq!((&again["done"], &again["refused"]), (&json!(2_520), &json!(0)), "{again}");
    assert_eq!(count(&master, "state=queued&priority=50").await, 2_530);

    let jobs = master.get("/api/jobs").await.json();
    let ids = jobs["jobs"].as_array().unwrap().iter().map(|job| &job["job_id"]);
    let expected = [&again["job_id"], &failed["job_id"], &job["job_id"]];
    assert_eq!(ids.collect::<Vec<_>>(), expected);
    let trail = master.get("/api/audit?action=cancel-tasks").await.json();
    let record = &trail["records"][0];
    assert_eq!(record["object"], format!("job/{}", job["job_id"].as_str().unwrap()));
    assert_eq!(record["detail"], "state queued, label team", "{trail}");

    let before = master.get("/api/jobs").await.json();
    let master = OneMaster::start_in(master.stop().await).await;
    assert_eq!(master.get("/api/jobs").await.json(), before);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_again_is_counted_and_keeps_nothing_back() {
    let master = at_level_2().await;
    submit(&master, "blue", 3).await;
    let secret = json!({"command": ["true"], "secret_env": {"TOKEN": "x"}});
    assert_eq!(master.post("/api/tasks", &secret).await.status, 201);
    let job = carried_out(&master, "/api/tasks/cancel", &json!({"all": true})).await;
    assert_eq!(job["done"], 4, "{job}");

    let selection = json!({"states": ["cancelled", "failed"]});
    let job = carried_out(&master, "/api/tasks/retry", &selection).await;
    assert_eq!((&job["done"], &job["refused"]), (&json!(3), &json!(1)), "{job}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_says_which_tasks_it_means() {
    let master = at_level_2().await;
    let refused = |path: &'static str, body: Value| {
        let master = &master;
        async move {
            let problem = master.post(path, &body).await.problem(422, "invalid-value");
            assert_eq!(problem["outcome"], "rejected", "{problem}");
            problem["errors"][0]["pointer"].as_str().unwrap().to_owned()
        }
    };
    assert_eq!(refused("/api/tasks/cancel", json!({})).await, "/all");
    assert_eq!(refused("/api/tasks/retry", json!({"all": true, "priority": 3})).await, "/all");
    let ended = json!({"states": ["failed"]});
    assert_eq!(refused("/api/tasks/cancel", ended).await, "/states/0");
    let unknown = json!({"labels": ["a"], "states": ["done"]});
    assert_eq!(refused("/api/tasks/retry", unknown).await, "/states/0");
    let problem = master.post("/api/tasks/cancel", &json!({"label": "a"})).await;
    problem.problem(400, "unknown-field");
    master.get("/api/jobs/j7").await.problem(404, "not-found");
    master.get("/api/jobs/7").await.problem(404, "not-found");
    assert_eq!(master.get("/api/jobs").await.json(), json!({"jobs": []}));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_know_of_some_tasks_gives_orders_about_no_others() {
    let master = at_level_2().await;
    let ada = json!({"user": "ada", "role": "submitter", "scope": "team=blue"});
    let ada = master.post("/api/users/tokens", &ada).await.json();
    let bearer = format!("Bearer {}", ada["token"].as_str().unwrap());
    let ada = [("authorization", bearer.as_str())];
    submit(&master, "blue", 3).await;
    submit(&master, "red", 3).await;

    let accepted = master.post_with("/api/tasks/cancel", &ada, &json!({"all": true})).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let own = accepted.json()["job_id"].as_str().unwrap().to_owned();
    eventually("the job ends", PATIENCE, async || {
        let job = master.get(&format!("/api/jobs/{own}")).await.json();
        if job["state"] == "completed" { Ok(()) } else { Err(job.to_string()) }
    })
    .await;
    assert_eq!(count(&master, "state=cancelled&label=team=blue").await, 3);
    assert_eq!(count(&master, "state=queued&label=team=red").await, 3);

    let others = carried_out(&master, "/api/tasks/cancel", &json!({"all": true})).await;
    let others = others["job_id"].as_str().unwrap();
    let ask = |path: String| {
        let (master, ada) = (&master, &ada);
        async move { master.ask("GET", &path, ada, "").await }
    };
    let listed = ask("/api/jobs".to_owned()).await.json();
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(ask(format!("/api/jobs/{own}")).await.json()["done"], 3);
    ask(format!("/api/jobs/{others}")).await.problem(404, "not-found");
    master.stop().await;
}
