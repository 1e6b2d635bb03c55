//! The accept loop over real sockets: who is answered, refused, and shown out.

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::LimitsConfig;
use crate::metrics::Metrics;
use crate::open_files::OpenFiles;
use crate::port::Port;

const HEAD_TIMEOUT: Duration = Duration::from_millis(200);
/// For what has to happen without anybody else's doing.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a server for so many requests at once, and two connections more.
async fn started(
    requests: usize,
    head_timeout: Duration,
) -> (SocketAddr, CancellationToken, TaskTracker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/livez", get(async || "ok"))
        .route("/large", get(async || vec![b'x'; 64 << 20]))
        .route("/never", get(async || std::future::pending::<&str>().await));
    let limits = LimitsConfig { http_connections: requests, ..LimitsConfig::default() };
    let door = Door::new(Port::Http, OpenFiles::with_limit(&limits, || 1 << 40), Metrics::new());
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let server = HttpServer::new(listener, router, door, head_timeout, TaskTracker::new());
    tasks.spawn(server.run(stop.clone()));
    tasks.close();
    (address, stop, tasks)
}

async fn opened(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer_to(address: SocketAddr, request: &str) -> String {
    let mut answer = Vec::new();
    let mut stream = opened(address, request).await;
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

fn asking(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_connection_that_never_finishes_its_head_is_closed() {
    let (address, ..) = started(8, HEAD_TIMEOUT).await;
    for head in ["G", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let answer = answer_to(address, head).await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
        let problem = serde_json::from_str::<Problem>(body).unwrap();
        assert_eq!(problem.kind, ErrorKind::RequestTimeout);
    }
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_is_closed_without_a_word() {
    let (address, ..) = started(8, HEAD_TIMEOUT).await;
    assert_eq!(answer_to(address, "").await, "");
    let answer = answer_to(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_request_beyond_the_bound_is_refused_and_a_probe_is_answered() {
    let (address, ..) = started(2, PATIENCE).await;
    let asking_for_ever =
        [opened(address, &asking("/never")).await, opened(address, &asking("/never")).await];
    let refused =
        async { while !answer_to(address, &asking("/")).await.starts_with("HTTP/1.1 429") {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    let refusal = answer_to(address, &asking("/")).await;
    assert!(
        refusal.contains("retry-after: 1") && refusal.contains("connection: close"),
        "{refusal}"
    );

    for _ in 0..20 {
        assert!(answer_to(address, &asking("/livez")).await.ends_with("ok"));
    }
    drop(asking_for_ever);
}

#[tokio::test]
async fn connections_that_ask_nothing_make_room() {
    let (address, ..) = started(2, PATIENCE).await;
    let mut silent = Vec::new();
    for head in ["", "GET / HT", "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"].iter().cycle().take(30) {
        silent.push(opened(address, head).await);
    }
    assert!(answer_to(address, &asking("/")).await.ends_with("hello"));
    assert!(answer_to(address, &asking("/livez")).await.ends_with("ok"));
}

#[tokio::test]
async fn an_answer_that_is_not_taken_holds_its_place_until_it_is() {
    let (address, ..) = started(1, PATIENCE).await;
    let mut slow = opened(address, &asking("/large")).await;
    let mut first = [0_u8; 16];
    slow.read_exact(&mut first).await.unwrap();
    assert!(answer_to(address, &asking("/")).await.starts_with("HTTP/1.1 429"));

    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() > 64 << 20);
    assert!(answer_to(address, &asking("/")).await.ends_with("hello"));
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let (address, ..) = started(1, PATIENCE).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for path in ["/", "/livez", "/"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0_u8; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut rest = Vec::new();
        while !rest.ends_with(b"hello") && !rest.ends_with(b"\r\nok") {
            rest.push(stream.read_u8().await.unwrap());
        }
    }
}

#[tokio::test]
async fn stopping_closes_idle_connections() {
    let (address, stop, tasks) = started(8, PATIENCE).await;
    let mut idle = opened(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut first = [0_u8; 16];
    idle.read_exact(&mut first).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.unwrap();
}
