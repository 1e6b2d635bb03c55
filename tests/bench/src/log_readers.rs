//! Reads logs through a master: one reader as fast as it can, and many that take nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clusterctl::local_cluster::LocalCluster;
use proto::client::{Client, ClientOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::asked::{leader_and_follower, watch};
use crate::ours;
use crate::process_usage::resident_bytes;
use crate::table::{Table, millis};

/// Workers, each with a log: one lets 256 readers in.
const WORKERS: u16 = 2;
/// Bytes of a log: more than all buffers on its way hold.
const LOG_BYTES: u32 = 60_000_000;
/// Fast readings, one after the other.
const FAST_READINGS: usize = 9;
/// Slow readers of both logs.
const SLOW_READERS: u64 = 300;
/// Readers before them, with whom comes what does not grow with their number.
const FIRST_READERS: u64 = 10;
/// Whatever is read ahead for readers has been read by then.
const READ_AHEAD: Duration = Duration::from_secs(5);
/// Receive buffer of a slow reader.
const SLOW_BUFFER_BYTES: u32 = 4_096;

/// Runs both.
pub(crate) async fn run(table: &mut Table) -> anyhow::Result<()> {
    let mut cluster = ours::start(WORKERS, None).await?;
    let client = cluster.client(ClientOptions::default())?;
    let mut logs = Vec::new();
    for worker in 1..=WORKERS {
        logs.push(print_log(&client, format!("worker-{worker}")).await?);
    }
    fast(table, &cluster, &logs).await?;
    slow(table, &cluster, &logs).await?;
    cluster.stop().await;
    Ok(())
}

/// Runs a task that prints a log, and returns the path of the log.
async fn print_log(client: &Client, worker: String) -> anyhow::Result<String> {
    let print = format!("head -c {LOG_BYTES} /dev/zero | tr '\\0' x | fold -w 100");
    let command = ["sh", "-c", &print].map(str::to_owned).to_vec();
    let task = proto::v1::TaskSpec { command, worker_id: Some(worker), ..Default::default() };
    let accepted = client.submit(vec![task], None).await?;
    let task = accepted.first().context("a submission was answered without a task")?;
    client.wait(&task.task_id, None).await?;
    Ok(format!("/api/tasks/{}/logs", task.task_id))
}

async fn fast(table: &mut Table, cluster: &LocalCluster, logs: &[String]) -> anyhow::Result<()> {
    let (_, follower) = leader_and_follower(cluster).await?;
    let watch = watch(cluster);
    let mut times = Vec::new();
    let mut bytes = 0;
    for path in logs.iter().cycle().take(FAST_READINGS) {
        let began = Instant::now();
        let mut answer = reqwest::get(format!("http://{}{path}", follower.address)).await?;
        bytes = 0;
        while let Some(chunk) = answer.chunk().await? {
            bytes += chunk.len();
        }
        times.push(began.elapsed());
    }

    if bytes < LOG_BYTES as usize {
        bail!("a log of {LOG_BYTES} bytes was read as {bytes} bytes");
    }
    times.sort_unstable();
    let [first, .., last] = times[..] else { bail!("nothing was read") };
    let figure =
        format!("log of {} MB through a follower, {FAST_READINGS} readings", bytes / 1_000_000);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let value = format!("median {}, {} to {}", millis(median), millis(first), millis(last));
    table.add(&figure, value, Some(watch.others()));
    Ok(())
}

async fn slow(table: &mut Table, cluster: &LocalCluster, logs: &[String]) -> anyhow::Result<()> {
    let (leader, _) = leader_and_follower(cluster).await?;
    let watch = watch(cluster);
    let mut before = 0;
    let mut open = Vec::new();
    for (reader, path) in (0..FIRST_READERS + SLOW_READERS).zip(logs.iter().cycle()) {
        if reader == FIRST_READERS {
            tokio::time::sleep(READ_AHEAD).await;
            before = resident_bytes(leader.pid)?;
        }
        open.push(slow_reader(&leader.address, path).await?);
    }
    tokio::time::sleep(READ_AHEAD).await;
    let grown = resident_bytes(leader.pid)?.saturating_sub(before);
    let figure = format!("memory of the leader per slow reader of a log, {SLOW_READERS} readers");
    let value = format!("{} KiB", (grown >> 10) / SLOW_READERS);
    table.add(&figure, value, Some(watch.others()));
    Ok(())
}

/// Asks for a log and takes only the beginning of the answer.
async fn slow_reader(address: &str, path: &str) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
    let mut stream = socket.connect(address.parse()?).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut beginning = [0; 256];
    stream.read_exact(&mut beginning).await?;
    if !beginning.starts_with(b"HTTP/1.1 200 ") {
        bail!("a reader was answered {}", String::from_utf8_lossy(&beginning));
    }
    Ok(stream)
}
