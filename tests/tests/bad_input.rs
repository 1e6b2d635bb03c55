//! Mistakes of clients are answered with a typed refusal, and never hurt anybody else.

use cluster_tests::client::{Answer, Client};
use cluster_tests::cluster::Cluster;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request that is wrong, and what is said about it.
struct Case {
    method: Method,
    path: &'static str,
    body: Option<String>,
    status: u16,
    problem: &'static str,
    /// Pointer into the body, when there is a place.
    pointer: Option<&'static str>,
    /// Text that the answer contains.
    names: &'static str,
}

fn submission(body: &Value, status: u16, problem: &'static str, names: &'static str) -> Case {
    let body = Some(body.to_string());
    Case { method: Method::POST, path: "/api/tasks", body, status, problem, pointer: None, names }
}

fn invalid(body: &Value, pointer: &'static str) -> Case {
    Case { pointer: Some(pointer), ..submission(body, 422, "invalid-task", "") }
}

fn reading(path: &'static str, status: u16, problem: &'static str, names: &'static str) -> Case {
    Case { method: Method::GET, path, body: None, status, problem, pointer: None, names }
}

fn submissions() -> Vec<Case> {
    let raw = |text: &str, problem| Case {
        body: Some(text.to_owned()),
        ..submission(&json!(null), 400, problem, "")
    };
    let command = json!(["true"]);
    vec![
        raw("{", "malformed"),
        raw("", "malformed"),
        raw("7", "malformed"),
        raw(&"[".repeat(10_000), "malformed"),
        raw(r#"{"command": ["true"], "priority": "high"}"#, "malformed"),
        submission(&json!({"command": command, "comand": 1}), 400, "unknown-field", "comand"),
        submission(&json!({"command": command, "image": "a"}), 400, "unknown-field", "image"),
        submission(&json!({"command": command, "before": []}), 400, "unknown-field", "before"),
        submission(
            &json!({"command": command, "resources": {"ram": 1}}),
            400,
            "unknown-field",
            "ram",
        ),
        invalid(&json!({}), "/command"),
        invalid(&json!({"command": []}), "/command"),
        invalid(&json!({"command": command, "priority": 101}), "/priority"),
        invalid(&json!({"command": command, "max_attempts": 0}), "/max_attempts"),
        invalid(&json!({"command": command, "run_timeout": "soon"}), "/run_timeout"),
        invalid(&json!({"command": command, "resources": {"cpu": -1.0}}), "/resources/cpu"),
        invalid(&json!({"command": command, "worker_id": "a b"}), "/worker_id"),
        invalid(
            &json!({"command": command, "constraints": [{"label": "a", "op": "~", "value": "b"}]}),
            "/constraints/0/op",
        ),
        // One bad task spoils the submission, and says which it is.
        invalid(
            &json!([{"command": command}, {"command": command, "priority": 101}]),
            "/1/priority",
        ),
    ]
}

fn others() -> Vec<Case> {
    let delete = |path| Case { method: Method::DELETE, ..reading(path, 404, "not-found", "") };
    let register = |body: Value, pointer| Case {
        path: "/api/workers",
        pointer: Some(pointer),
        ..submission(&body, 422, "invalid-value", "")
    };
    vec![
        reading("/api/tasks?limit=0", 400, "malformed", "limit"),
        reading("/api/tasks?limit=1001", 400, "malformed", "limit"),
        reading("/api/tasks?cursor=nonsense", 400, "malformed", "cursor"),
        reading("/api/tasks?state=asleep", 400, "malformed", "asleep"),
        reading("/api/tasks?sort=name", 400, "unknown-field", "sort"),
        reading("/api/tasks?consistency=maybe", 400, "malformed", "maybe"),
        reading("/api/tasks/t999999", 404, "not-found", "t999999"),
        reading("/api/tasks/t999999/logs", 404, "not-found", "t999999"),
        reading("/api/workers/nobody", 404, "not-found", "nobody"),
        reading("/api/nothing", 404, "not-found", "/api/nothing"),
        delete("/api/tasks/t999999"),
        delete("/api/workers/nobody"),
        Case { method: Method::PUT, ..reading("/api/tasks", 405, "method-not-allowed", "PUT") },
        register(json!({"worker_id": "w", "address": "nowhere"}), "/address"),
        register(json!({"worker_id": "", "address": "127.0.0.1:1"}), "/worker_id"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_has_its_answer() {
    let cluster = Cluster::builder().masters(1).start().await;
    let mut client = cluster.client();
    for case in submissions().into_iter().chain(others()) {
        check(&mut client, case).await;
    }
    let tasks = client.tasks().await;
    assert!(tasks.is_empty(), "something was accepted: {tasks:?}");
}

async fn check(client: &mut Client, case: Case) {
    let body = case.body.unwrap_or_default();
    let what = format!("{} {} {:.80}", case.method, case.path, body);
    let headers = [("content-type", "application/json")];
    let is_mutation = case.method != Method::GET;
    let body = is_mutation.then(|| body.into_bytes());
    let answer = client.send(case.method, case.path, &headers, body).await.unwrap();
    let text = answer.text();
    assert_eq!(answer.status.as_u16(), case.status, "{what}: {text}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(answer.problem().as_deref(), Some(case.problem), "{what}: {text}");
    let json = answer.json();
    assert_eq!(json["status"], case.status, "{what}: {text}");
    assert!(json["title"].is_string() && json["detail"].is_string(), "{what}: {text}");
    assert!(text.contains(case.names), "{what}: it does not name '{}': {text}", case.names);
    if let Some(pointer) = case.pointer {
        let faults = json["errors"].as_array().unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(faults.iter().any(|fault| fault["pointer"] == pointer), "{what}: {text}");
    }
    if is_mutation && case.status != 405 {
        assert_eq!(json["outcome"], "rejected", "{what}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn size_kind_and_key_of_a_submission_are_checked() {
    let cluster = Cluster::builder().masters(1).start().await;
    let mut client = cluster.client();
    let task = json!({"command": ["true"]}).to_string();
    let long_key = "k".repeat(256);

    let large = vec![b' '; (8 << 20) + 1];
    let many = format!("[{}]", vec![task.as_str(); 10_001].join(","));
    let cases: [(&str, &str, Vec<u8>, u16, &str); 5] = [
        ("application/json", "a", large, 413, "too-large"),
        ("application/json", "b", many.into_bytes(), 422, "limit-reached"),
        ("text/plain", "c", task.clone().into_bytes(), 415, "unsupported-media-type"),
        ("application/json", &long_key, task.clone().into_bytes(), 400, "malformed"),
        ("application/json", "", task.clone().into_bytes(), 400, "malformed"),
    ];
    for (kind, key, body, status, problem) in cases {
        let headers = [("content-type", kind), ("idempotency-key", key)];
        let answer = client.send(Method::POST, "/api/tasks", &headers, Some(body)).await.unwrap();
        assert_eq!(answer.status.as_u16(), status, "{problem}: {}", answer.text());
        assert_eq!(answer.problem().as_deref(), Some(problem), "{}", answer.text());
    }

    let submit = async |client: &mut Client, body: String| -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", "same")];
        client.send(Method::POST, "/api/tasks", &headers, Some(body.into_bytes())).await.unwrap()
    };
    let first = submit(&mut client, task.clone()).await.expect(201);
    let again = submit(&mut client, task).await.expect(201);
    assert_eq!(first.json(), again.json());
    let other = json!({"command": ["false"]}).to_string();
    let conflict = submit(&mut client, other).await.expect(409);
    assert_eq!(conflict.problem().as_deref(), Some("idempotency-conflict"));
    assert_eq!(client.tasks().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_a_port_disturbs_nobody() {
    let mut cluster = Cluster::builder().masters(1).start().await;
    let ports = [cluster.master(1).grpc().to_owned(), cluster.master(1).http().to_owned()];
    let garbage = [
        b"\x00\x01\x02\xff\xfe".repeat(5_000),
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        [b"GET /".as_slice(), &vec![b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n"].concat(),
    ];
    for port in &ports {
        for bytes in &garbage {
            let mut stream = TcpStream::connect(port).await.unwrap();
            // It may hang up before it has read everything.
            stream.write_all(bytes).await.ok();
            stream.shutdown().await.ok();
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            tokio::time::timeout(std::time::Duration::from_secs(5), read).await.unwrap().ok();
        }
    }

    let mut client = cluster.client();
    client.submit(&json!({"command": ["true"]})).await;
    assert!(cluster.master_mut(1).is_running());
    let refused = client.metric("cloudai_http_requests_total").await;
    assert!(refused > Some(0.0), "{refused:?}");
}
