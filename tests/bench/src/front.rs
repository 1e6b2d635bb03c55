//! Loads one master like users: many that wait, readers of logs, and large bodies in parallel. Over
//! HTTP, as a load balancer passes it on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::asked::{leader_and_follower, watch};
use crate::load::Latencies;
use crate::log_readers;
use crate::open_files;
use crate::ours;
use crate::table::{Table, millis};

/// Long polls that are open: as many as a master takes connections by default.
const WAITING: usize = 4_096;
/// Probes while they wait.
const PROBES: u32 = 2_000;
/// Bodies sent side by side.
const BODIES: usize = 32;
/// Tasks of one body. Each has an argument of 100,000 bytes, which makes 8.0 of the 8 MiB allowed.
const BODY_TASKS: usize = 83;
/// Time for any awaited condition.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs all of them.
pub(crate) async fn run(table: &mut Table) -> anyhow::Result<()> {
    waiting(table).await?;
    log_readers::run(table).await?;
    bodies(table).await
}

async fn waiting(table: &mut Table) -> anyhow::Result<()> {
    open_files::require(2 * WAITING as u64)?;
    let mut cluster = ours::start(0, None).await?;
    let (leader, _) = leader_and_follower(&cluster).await?;
    let answer = reqwest::get(format!("http://{}/api/tasks", leader.address)).await?;
    let index = answer.headers().get("x-cluster-index").context("an answer without its index")?;
    let request = format!(
        "GET /api/tasks?index={}&wait=5m HTTP/1.1\r\nhost: {}\r\n\r\n",
        index.to_str()?,
        leader.address
    );
    let mut open = Vec::new();
    for _ in 0..WAITING {
        let mut stream = TcpStream::connect(&leader.address).await?;
        stream.write_all(request.as_bytes()).await?;
        open.push(stream);
    }
    let began = Instant::now();
    while files_of(leader.pid) < WAITING {
        if began.elapsed() > PATIENCE {
            bail!("the master has not taken all connections");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let watch = watch(&cluster);
    for path in ["livez", "leader"] {
        let mut latencies = Latencies::default();
        for _ in 0..PROBES {
            let sent = Instant::now();
            probe(&leader.address, path).await?;
            latencies.record(sent.elapsed());
        }
        let figure = format!("/{path} while {WAITING} long polls are open");
        let (p50, p99) = (latencies.median(), latencies.per_mille(990));
        let value = format!("p50 {}, p99 {}", millis(p50), millis(p99));
        table.add(&figure, value, Some(watch.others()));
    }
    cluster.stop().await;
    Ok(())
}

/// Asks as a load balancer does, over a connection of its own.
async fn probe(address: &str, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        bail!("/{path} was answered {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

fn files_of(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

async fn bodies(table: &mut Table) -> anyhow::Result<()> {
    let mut cluster = ours::start(0, None).await?;
    let (_, follower) = leader_and_follower(&cluster).await?;
    let task = format!("{{\"command\":[\"true\",\"{}\"]}}", "x".repeat(100_000));
    let body = format!("[{}]", vec![task; BODY_TASKS].join(","));

    let client = Client::new();
    let watch = watch(&cluster);
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..BODIES {
        let request = client
            .post(format!("http://{}/api/tasks", follower.address))
            .header("content-type", "application/json")
            .body(body.clone());
        calls.spawn(async move { outcome(request).await });
    }

    let mut outcomes = BTreeMap::<String, usize>::new();
    for outcome in calls.join_all().await {
        *outcomes.entry(outcome).or_default() += 1;
    }

    let told = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}"));
    let told = told.collect::<Vec<_>>().join(", ");

    let kib = body.len() >> 10;
    let figure = format!("{BODIES} bodies of {kib} KiB at once through a follower");
    let value = format!("{told}, after {}", millis(began.elapsed()));
    table.add(&figure, value, Some(watch.others()));
    cluster.stop().await;
    Ok(())
}

/// Returns the outcome of a submission, as its answer tells.
async fn outcome(request: reqwest::RequestBuilder) -> String {
    let Ok(answer) = request.send().await else { return "without an answer".to_owned() };
    let status = answer.status();
    if status.is_success() {
        return "accepted".to_owned();
    }
    let problem = answer.json::<serde_json::Value>().await.unwrap_or_default();
    let field = |name| problem.get(name).and_then(serde_json::Value::as_str).unwrap_or("not told");
    format!("{} {}, outcome {}", status.as_u16(), field("type"), field("outcome"))
}
