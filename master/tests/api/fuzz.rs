//! Requests that no client would make, to a master that must stay one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::io::ErrorKind;
use std::time::Duration;

use cluster_fuzz::{Fuzz, mutated};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::one_master::OneMaster;

/// Requests of all kinds: method and path, and the body.
const REQUESTS: [(&str, &str); 33] = [
    ("GET /api/tasks?state=queued&limit=2&cursor=t9", ""),
    ("GET /api/tasks?index=1&wait=1ms&consistency=stale", ""),
    ("GET /api/tasks/t1/logs?attempt=1&stream=stdout&tail=3", ""),
    ("GET /api/workers/w1/history", ""),
    ("GET /api/cluster", ""),
    ("GET /metrics", ""),
    ("POST /api/cluster/snapshot", ""),
    ("DELETE /api/tasks/t1", ""),
    ("POST /api/tasks/cancel", r#"{"states":["queued"],"labels":["a=b"],"priority":9}"#),
    ("POST /api/tasks/retry", r#"{"all":true}"#),
    ("GET /api/jobs/j7?consistency=stale", ""),
    ("POST /api/tasks", r#"{"command":["true"],"resources":{"cpu":0.5,"custom":{"a":1}}}"#),
    (
        "POST /api/tasks",
        r#"[{"command":["a","b"],"env":{"K":"v"},"name":null},{"command":["c"],"priority":9}]"#,
    ),
    ("POST /api/workers", r#"{"worker_id":"w1","address":"10.0.0.1:1","labels":{"zone":"a"}}"#),
    ("POST /api/workers/w1/labels", r#"{"set":{"zone":"b"},"remove":["c"]}"#),
    ("POST /api/tokens", r#"{"token_id":"fleet","ttl":"1h","description":"x"}"#),
    ("POST /api/users/tokens", r#"{"user":"ada","role":"submitter","scope":"a=b","ttl":"1h"}"#),
    ("DELETE /api/users/tokens/abc", ""),
    ("GET /api/users/me", ""),
    ("PUT /api/cluster/config", r#"{"worker":{"lease":"10m"},"retention.tasks":7}"#),
    ("GET /api/cluster/config", ""),
    ("GET /api/cluster/upgrade", ""),
    ("PUT /api/cluster/upgrade", r#"{"hold":true}"#),
    ("GET /api/cluster/members", ""),
    ("GET /api/cluster/orphans?limit=2&cursor=o1", ""),
    (
        "POST /api/schedules",
        r#"{"name":"a","cron":"*/5 1-3 * * MON","time_zone":"UTC","overlap":"allow","task":{"command":["a"]}}"#,
    ),
    ("GET /api/schedules/a/next?count=2", ""),
    ("GET /api/queues", ""),
    (
        "PUT /api/queues/a",
        r#"{"weight":2,"paused":false,"max_running":3,"rate":{"starts":5,"per":"1m"},"settings_index":0}"#,
    ),
    (
        "GET /api/audit?limit=2&cursor=9&order=oldest&principal=anonymous&since=2025-01-01T00:00:00Z",
        "",
    ),
    ("DELETE /api/cluster/orphans?up_to=o9", ""),
    ("POST /api/cluster/members/1/replace", r#"{"new":"4"}"#),
    ("DELETE /api/cluster/members/1?force=true", ""),
];

fn request() -> impl Strategy<Value = Vec<u8>> {
    select(REQUESTS.to_vec()).prop_map(|(line, body)| {
        let headers = "host: master\r\ncontent-type: application/json\r\nidempotency-key: k\r\n";
        let length = body.len();
        format!("{line} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
    })
}

/// Sends all of it and hears what comes back until the master closes.
async fn send(master: &OneMaster, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(master.http()).await.unwrap();
    // A master that has heard enough answers and closes.
    stream.write_all(request).await.ok();
    stream.shutdown().await.ok();
    let mut answer = Vec::new();
    let heard = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    match heard.await.unwrap() {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    answer
}

#[test]
fn no_request_ends_a_master_or_confuses_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let master = runtime.block_on(OneMaster::start());
    Fuzz::of("requests").at_most(64).run(mutated(request()), |request| {
        let answer = runtime.block_on(send(&master, &request));

        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{answer}");
        assert!(!answer.contains("\r\n\r\n{\"type\":\"urn:cloudai:error:internal\""), "{answer}");
        let alive = runtime.block_on(master.get("/livez"));
        assert_eq!(alive.status, 200);
    });
    runtime.block_on(master.stop());
}
