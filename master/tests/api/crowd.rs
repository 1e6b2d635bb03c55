//! More clients than there is room for: probes are answered all the same, and the others are told.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use eventually::{PATIENCE, eventually, require};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::one_master::OneMaster;

async fn opened(master: &OneMaster, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(master.http()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: master\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_with_every_slot_taken() {
    let master = OneMaster::start_with(|config| {
        config.limits.http_connections = 16;
        config.limits.wait_requests = 8;
    })
    .await;
    let task = master.submit("true").await;
    let upload = "POST /api/tasks HTTP/1.1\r\nhost: master\r\n\
                  content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let wait = get(&format!("/api/tasks/{task}/wait?timeout=5m"));
    let mut crowd = Vec::new();
    for _ in 0..8 {
        crowd.push(opened(&master, upload).await);
        crowd.push(opened(&master, &wait).await);
    }
    // A look may hold the slot of one of them, which is refused then: another one takes its place.
    eventually("every slot is taken", PATIENCE, async || {
        let status = master.get("/api/tasks").await.status;
        if status == 200 {
            crowd.push(opened(&master, upload).await);
        }
        require(status == 429, || status.to_string())
    })
    .await;
    for silent in ["", "GET /api", &get("/livez")].iter().cycle().take(60) {
        crowd.push(opened(&master, silent).await);
    }

    for path in ["/livez", "/readyz", "/leader"] {
        assert_eq!(master.get(path).await.status, 200, "{path}");
        assert_eq!(master.ask("HEAD", path, &[], "").await.status, 200, "{path}");
        assert_eq!(master.ask("OPTIONS", path, &[], "").await.status, 204, "{path}");
    }
    assert_eq!(master.get("/follower").await.status, 503);
    let refused = master.get("/api/tasks").await;
    refused.problem(429, "overloaded");
    assert_eq!(refused.header("retry-after"), "1");

    drop(crowd);
    eventually("the slots are free again", PATIENCE, async || {
        let answer = master.get("/api/tasks").await;
        require(answer.status == 200, || format!("{} {}", answer.status, answer.body))
    })
    .await;
    let metrics = master.get("/metrics").await.body;
    assert!(metrics.contains("cloudai_connections_closed_total{port=\"http\",reason=\"full\"}"));
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_leave_room_for_others() {
    let master = OneMaster::start_with(|config| {
        config.limits.http_connections = 8;
        config.limits.wait_requests = 1;
    })
    .await;
    let task = master.submit("true").await;
    let path = format!("/api/tasks/{task}/wait?timeout=5m");
    let waiting = opened(&master, &get(&path)).await;
    master.until_a_request_waits().await;
    master.get(&path).await.problem(429, "overloaded");
    assert_eq!(master.get("/api/tasks").await.status, 200);
    drop(waiting);
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_on_their_way_in_have_a_common_bound() {
    let master = OneMaster::start_with(|config| {
        config.limits.request_bytes = master::config::Bytes(1 << 20);
        config.limits.body_bytes = master::config::Bytes(1 << 20);
    })
    .await;
    let head = "POST /api/tasks HTTP/1.1\r\nhost: master\r\ncontent-type: application/json\r\n\
        content-length: 1000000\r\n\r\n";
    let mut slow = opened(&master, head).await;
    slow.write_all(&[b' '; 700_000]).await.unwrap();
    master.until_metrics_say("cloudai_request_body_bytes 700000").await;

    let body = json!({"command": ["true", "x".repeat(120_000)]}).to_string();
    let large = format!("[{body},{body},{body},{body}]");
    let headers = [("content-type", "application/json")];
    let refused = master.ask("POST", "/api/tasks", &headers, &large).await;
    assert_eq!(refused.problem(429, "overloaded")["outcome"], "rejected");

    drop(slow);
    eventually("there is room for the body", PATIENCE, async || {
        let answer = master.ask("POST", "/api/tasks", &headers, &large).await;
        require(answer.status == 201, || answer.body)
    })
    .await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_the_grpc_port_that_says_nothing_makes_room() {
    let master = OneMaster::start_with(|config| config.limits.grpc_connections = 4).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(TcpStream::connect(master.grpc()).await.unwrap());
    }
    let url = format!("http://{}", master.grpc());
    let mut client = proto::v1::task_service_client::TaskServiceClient::connect(url).await.unwrap();
    client.list(proto::v1::ListTasksRequest::default()).await.unwrap();
    let mut rest = Vec::new();
    silent[0].read_to_end(&mut rest).await.ok();
    master.stop().await;
}
