//! Callers, their tokens, and the things that they may do.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should panic"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cluster_state::Role;
use eventually::{PATIENCE, eventually};
use master::config::{Anonymous, Config};
use proto::client::{BearerToken, Client, ClientOptions};
use proto::consistency::Consistency;
use proto::problem::ErrorKind;
use proto::v1;
use proto::v1::user_service_client::UserServiceClient;
use serde_json::{Value, json};

use crate::one_master::{Answer, OneMaster};

/// Token of the file.
const FIRST: &str = "0123456789abcdef0123456789abcdef";

/// A master on which nobody may do anything without a token, with one admin in its file.
async fn closed() -> OneMaster {
    closed_with(|_| {}).await
}

async fn closed_with(configure: impl FnOnce(&mut Config)) -> OneMaster {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    write_owned(&path, &format!("# until there are others\nroot admin {FIRST}\n"));
    OneMaster::start_as(dir, |config| {
        config.data_dir = config.data_dir.join("data");
        config.access.anonymous = Some(Anonymous(None));
        config.access.anonymous_metrics = Some(false);
        config.access.token_file = path;
        configure(config);
    })
    .await
}

fn write_owned(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A user of a master.
struct User<'a> {
    master: &'a OneMaster,
    token: String,
}

impl<'a> User<'a> {
    fn new(master: &'a OneMaster, token: &str) -> Self {
        Self { master, token: token.to_owned() }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let value = format!("Bearer {}", self.token);
        let headers = [("authorization", value.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.master.ask(method, path, &headers, &body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &Value::Null).await
    }

    async fn submit(&self, labels: Value) -> Answer {
        self.ask("POST", "/api/tasks", &json!({"command": ["true"], "labels": labels})).await
    }

    /// Creates a token as an admin may; returns its public part and its user.
    async fn create(&self, body: Value) -> (String, User<'a>) {
        let created = self.ask("POST", "/api/users/tokens", &body).await;
        assert_eq!(created.status, 201, "{}", created.body);
        let created = created.json();
        let text = |field: &str| created[field].as_str().unwrap().to_owned();
        (text("token_id"), User::new(self.master, &text("token")))
    }

    fn grpc(&self) -> Client {
        let token = Some(BearerToken::parse(&self.token).unwrap());
        let options = ClientOptions { token, ..ClientOptions::default() };
        Client::new([self.master.grpc().to_string()], options).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nobody_gets_in_but_probes() {
    let master = closed().await;
    for path in ["/livez", "/readyz", "/leader", "/follower", "/"] {
        assert_ne!(master.get(path).await.status, 401, "{path}");
    }
    for path in ["/api/cluster", "/api/tasks", "/api/users/tokens", "/metrics", "/ws"] {
        let refused = master.get(path).await;
        assert_eq!(refused.headers["www-authenticate"], "Bearer", "{path}");
        refused.problem(401, "unauthenticated");
    }
    let anonymous = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    assert_eq!(anonymous.status().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    // To say that another master has passed the call on helps only with what masters pass on.
    let mut users = UserServiceClient::connect(format!("http://{}", master.grpc())).await.unwrap();
    let mut forged = tonic::Request::new(v1::ListUserTokensRequest {});
    forged.metadata_mut().insert("forwarded", "1".parse().unwrap());
    let refused = users.list_user_tokens(forged).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let root = User::new(&master, FIRST);
    assert_eq!(root.get("/api/cluster").await.status, 200);
    assert!(
        root.get("/metrics")
            .await
            .body
            .contains("cloudai_refused_requests_total{reason=\"unauthenticated\"} 7")
    );
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_what_it_may_and_a_refusal_says_so() {
    let master = closed().await;
    let root = User::new(&master, FIRST);
    let (_, admin) = root.create(json!({"user": "ada", "role": "admin"})).await;
    // From now on the file counts no more.
    root.get("/api/cluster").await.problem(401, "unauthenticated");

    let (_, viewer) = admin.create(json!({"user": "vi", "role": "viewer"})).await;
    let refused = viewer.submit(json!({})).await.problem(403, "forbidden");
    assert_eq!(refused["detail"], "user 'vi' has the role viewer and may not submit tasks");
    assert_eq!(viewer.get("/api/tasks").await.status, 200);
    let (_, submitter) = admin.create(json!({"user": "sue", "role": "submitter"})).await;
    assert_eq!(submitter.submit(json!({})).await.status, 201);
    submitter.ask("POST", "/api/workers/w/cordon", &Value::Null).await.problem(403, "forbidden");

    let refused = viewer.grpc().cancel("t1").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    assert!(viewer.grpc().task("t1", Consistency::Linearizable).await.is_ok());
    assert_eq!(submitter.grpc().cancel("t1").await.unwrap().task_id, "t1");

    let listed = admin.get("/api/users/tokens").await;
    for user in [&viewer, &submitter] {
        let secret = user.token.rsplit('_').next().unwrap();
        assert!(!listed.body.contains(secret), "{}", listed.body);
    }
    let listed = listed.json();
    let users = listed["tokens"].as_array().unwrap();
    let names = users.iter().map(|token| &token["user"]).collect::<Vec<_>>();
    assert_eq!(names, ["ada", "sue", "vi"]);
    assert_eq!(
        (&users[0]["created_by"], &users[2]["created_by"]),
        (&json!("user:root"), &json!("user:ada"))
    );
    assert!(users[2]["last_used_at"].is_string(), "{listed}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_or_wrong_token_is_refused_even_where_none_is_needed() {
    let master = OneMaster::start().await;
    let anybody = User::new(&master, "");
    let (id, user) = {
        let body = json!({"user": "ada", "role": "admin", "ttl": "1h"});
        let created = master.post("/api/users/tokens", &body).await.json();
        let token = created["token"].as_str().unwrap();
        (created["token_id"].as_str().unwrap().to_owned(), User::new(&master, token))
    };
    assert!(user.token.starts_with(&format!("clu_{id}_")), "the beginning is fixed");
    assert_eq!(user.get("/api/tasks").await.status, 200);
    assert_eq!(
        user.ask("DELETE", &format!("/api/users/tokens/{id}"), &Value::Null).await.status,
        204
    );
    user.get("/api/tasks").await.problem(401, "unauthenticated");
    assert_eq!(user.grpc().status().await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    user.get("/api/no-such-path").await.problem(401, "unauthenticated");
    assert_eq!(user.get("/livez").await.status, 200, "probes look at no token");
    anybody.get("/api/tasks").await.problem(401, "unauthenticated");
    assert_eq!(master.get("/api/tasks").await.status, 200);
    let gone = format!("/api/users/tokens/{id}");
    master.delete(&gone).await.problem(404, "not-found");
    master.delete("/api/users/tokens/NO").await.problem(404, "not-found");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_asks_too_often_is_told_so_and_others_are_not() {
    let master = closed_with(|config| config.limits.requests_per_second = 2).await;
    let root = User::new(&master, FIRST);
    let (_, admin) = root.create(json!({"user": "ada", "role": "admin"})).await;
    // The second token is of the same user.
    let (_, viewer) = admin.create(json!({"user": "vi", "role": "viewer"})).await;
    let refused = eventually("two requests come within a second", PATIENCE, async || {
        let answer = viewer.get("/api/tasks").await;
        if answer.status == 429 { Ok(answer) } else { Err(answer.status.to_string()) }
    })
    .await;
    assert_eq!(refused.header("retry-after"), "1");
    let problem = refused.problem(429, "overloaded");
    assert!(problem["detail"].as_str().unwrap().contains("limits.requests_per_second"));

    eventually("gRPC counts them, too", PATIENCE, async || {
        // A client of ours would repeat what was refused for the load.
        let mut users =
            UserServiceClient::connect(format!("http://{}", master.grpc())).await.unwrap();
        let mut list = tonic::Request::new(v1::ListUserTokensRequest {});
        let token = format!("Bearer {}", admin.token).parse().unwrap();
        list.metadata_mut().insert("authorization", token);
        match users.list_user_tokens(list).await {
            Err(status) if status.code() == tonic::Code::ResourceExhausted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // Nobody else has less: a stranger is refused for being one, and probes are answered.
    master.get("/api/tasks").await.problem(401, "unauthenticated");
    for _ in 0..20 {
        assert_eq!(master.get("/readyz").await.status, 200);
    }
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_hides_the_tasks_of_others() {
    let master = OneMaster::start().await;
    let admin = master.post("/api/users/tokens", &json!({"user": "a", "role": "admin"})).await;
    let admin = User::new(&master, admin.json()["token"].as_str().unwrap());
    let body = json!({"user": "ci", "role": "submitter", "scope": "team=blue"});
    let (_, blue) = admin.create(body).await;

    let own = blue.submit(json!({"team": "blue"})).await.json();
    let own = own["task_id"].as_str().unwrap().to_owned();
    let refused = blue.submit(json!({"team": "red"})).await.problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("team=blue"), "{refused}");
    let other = admin.submit(json!({"team": "red"})).await.json();
    let other = other["task_id"].as_str().unwrap().to_owned();

    let listed = blue.get("/api/tasks").await.json();
    let ids = listed["tasks"].as_array().unwrap().iter().map(|task| &task["task_id"]);
    assert_eq!(ids.collect::<Vec<_>>(), [&json!(own)]);
    assert_eq!(blue.get(&format!("/api/tasks/{own}")).await.status, 200);
    for path in ["", "/wait?timeout=1ms", "/logs"] {
        let path = format!("/api/tasks/{other}{path}");
        blue.get(&path).await.problem(403, "forbidden");
    }
    // The queue tells of all tasks.
    let refused = blue.get("/api/queue").await.problem(403, "forbidden");
    assert!(refused["detail"].as_str().unwrap().contains("team=blue"), "{refused}");
    assert_eq!(blue.grpc().queue(20).await.unwrap_err().kind(), ErrorKind::Forbidden);
    assert_eq!(admin.get("/api/queue").await.status, 200);
    blue.get(&format!("/api/tasks/{other}/explain")).await.problem(403, "forbidden");

    let cancel = |id: &str| format!("/api/tasks/{id}");
    blue.ask("DELETE", &cancel(&other), &Value::Null).await.problem(403, "forbidden");
    assert_eq!(blue.ask("DELETE", &cancel(&own), &Value::Null).await.status, 202);
    let request = v1::ListTasksRequest::default();
    assert_eq!(blue.grpc().tasks(request).await.unwrap().tasks.len(), 1);
    assert_eq!(blue.grpc().cancel(&other).await.unwrap_err().kind(), ErrorKind::Forbidden);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_and_a_role_count_for_schedules_too() {
    let master = OneMaster::start().await;
    let admin = master.post("/api/users/tokens", &json!({"user": "a", "role": "admin"})).await;
    let admin = User::new(&master, admin.json()["token"].as_str().unwrap());
    let body = json!({"user": "ci", "role": "submitter", "scope": "team=blue"});
    let (_, blue) = admin.create(body).await;
    let (_, viewer) = admin.create(json!({"user": "vi", "role": "viewer"})).await;
    let schedule = |name: &str, team: &str| {
        let task = json!({"command": ["true"], "labels": {"team": team}, "env": {"A": "fast"}});
        json!({"name": name, "cron": "@yearly", "task": task})
    };
    for (user, name, team, status) in [
        (&blue, "own", "blue", 201),
        (&blue, "foreign", "red", 403),
        (&admin, "other", "red", 201),
        (&viewer, "mine", "red", 403),
    ] {
        let created = user.ask("POST", "/api/schedules", &schedule(name, team)).await;
        assert_eq!(created.status, status, "{}", created.body);
    }
    let listed = blue.get("/api/schedules").await.json();
    assert_eq!(
        json!([listed["schedules"][0]["name"], listed["schedules"][1]]),
        json!(["own", null])
    );
    for (method, path) in [
        ("GET", "/api/schedules/other"),
        ("GET", "/api/schedules/other/next"),
        ("PUT", "/api/schedules/other"),
        ("POST", "/api/schedules/other/run"),
        ("POST", "/api/schedules/other/pause"),
        ("DELETE", "/api/schedules/other"),
    ] {
        let refused = blue.ask(method, path, &schedule("other", "blue")).await;
        assert_eq!(refused.status, 403, "{method} {path}: {}", refused.body);
    }
    assert_eq!(blue.ask("POST", "/api/schedules/own/run", &Value::Null).await.status, 201);
    assert!(blue.get("/api/schedules/own").await.body.contains("fast"));
    assert!(!viewer.get("/api/schedules/own").await.body.contains("fast"));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_guesses_is_told_to_wait_and_a_good_token_is_not() {
    let master = closed().await;
    let (root, guesser) = (User::new(&master, FIRST), User::new(&master, "clu_abc_def"));
    for _ in 0..20 {
        let refused = guesser.get("/api/cluster").await;
        assert!(matches!(refused.status, 401 | 429), "{}", refused.body);
    }
    guesser.get("/api/cluster").await.problem(429, "overloaded");
    assert_eq!(root.get("/api/cluster").await.status, 200);
    let metrics = root.get("/metrics").await.body;
    let line = metrics.lines().find(|line| line.contains("reason=\"too-many-failures\"")).unwrap();
    assert!(!line.ends_with(" 0"), "{line}");
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_callers_have_the_role_that_they_are_given() {
    let master = OneMaster::start_with(|config| {
        config.access.anonymous = Some(Anonymous(Some(Role::Viewer)));
    })
    .await;
    assert_eq!(master.get("/api/tasks").await.status, 200);
    let refused = master.post("/api/tasks", &json!({"command": ["true"]})).await;
    let refused = refused.problem(401, "unauthenticated");
    let expected =
        "anonymous callers have the role viewer and may not submit tasks: present a token";
    assert_eq!(refused["detail"], expected);
    master.stop().await;
}

/// Submitters see the environment of a task by itself, viewers and lists do not, and secret values are in
/// no answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_a_task_is_shown_to_submitters_and_secrets_to_nobody() {
    let master = OneMaster::start().await;
    let admin = master.post("/api/users/tokens", &json!({"user": "a", "role": "admin"})).await;
    let admin = User::new(&master, admin.json()["token"].as_str().unwrap());
    let (_, viewer) = admin.create(json!({"user": "vi", "role": "viewer"})).await;
    let (_, submitter) = admin.create(json!({"user": "sue", "role": "submitter"})).await;
    let scoped = json!({"user": "sam", "role": "submitter", "scope": "team=red"});
    let (_, red) = admin.create(scoped).await;

    let body = json!({"command": ["true"], "env": {"MODE": "fast"}, "labels": {"team": "red"},
        "secret_env": {"PASSWORD": "hunter2"}});
    let id = submitter.ask("POST", "/api/tasks", &body).await.json()["task_id"].clone();
    let path = format!("/api/tasks/{}", id.as_str().unwrap());
    let wait = format!("{path}/wait?timeout=1m");
    submitter.ask("DELETE", &path, &Value::Null).await;
    for user in [&admin, &submitter, &red] {
        for path in [&path, &wait] {
            let shown = user.get(path).await;
            assert!(!shown.body.contains("hunter2"), "{}", shown.body);
            let shown = shown.json();
            let environment = (&shown["env"], &shown["secret_env"]);
            assert_eq!(environment, (&json!({"MODE": "fast"}), &json!(["PASSWORD"])), "{shown}");
        }
    }
    for (user, path) in [(&viewer, &*path), (&viewer, &wait), (&admin, "/api/tasks")] {
        let shown = user.get(path).await.body;
        assert!(shown.contains("t1") && !shown.contains("fast"), "{shown}");
        assert!(!shown.contains("PASSWORD") && !shown.contains("hunter2"), "{shown}");
    }
    let id = id.as_str().unwrap();
    let task = submitter.grpc().task(id, Consistency::Linearizable).await.unwrap();
    assert_eq!(
        (task.env["MODE"].as_str(), &*task.secret_env),
        ("fast", &["PASSWORD".to_owned()][..])
    );
    assert!(viewer.grpc().task(id, Consistency::Linearizable).await.unwrap().env.is_empty());
    master.stop().await;
}

/// A repetition under a key must have the same secrets, and a refusal does not say which they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_submission_has_the_same_secrets() {
    let master = OneMaster::start().await;
    let client = Client::new([master.grpc().to_string()], ClientOptions::default()).unwrap();
    let submit = |value: &str| {
        let secret_env = [("PASSWORD".to_owned(), value.to_owned())].into();
        let command = vec!["true".to_owned()];
        let spec = v1::TaskSpec { command, secret_env, ..v1::TaskSpec::default() };
        client.submit(vec![spec], Some("k".to_owned()))
    };
    let first = submit("hunter2").await.unwrap();
    assert_eq!(submit("hunter2").await.unwrap()[0].task_id, first[0].task_id);
    let refused = submit("hunter3").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::IdempotencyConflict);
    assert!(!refused.to_string().contains("hunter"), "{refused}");
    master.stop().await;
}
