//! Leaders killed, in turn with etcd's, and leaders asked to hand over under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::FailoverTrials;
use anyhow::Context as _;
use clusterctl::local_cluster::LocalCluster;
use proto::client::{Client, ClientOptions};
use proto::v1;
use tokio::time::Instant;

use crate::etcd::Etcd;
use crate::ours;
use crate::table::{Table, median, millis};

/// Clients that write while leadership is handed over.
const WRITERS: u16 = 8;

/// Kills our leader and etcd's in turn, then hands over.
pub(crate) async fn run(table: &mut Table, trials: u16) -> anyhow::Result<()> {
    let mut cluster = ours::start(0, None).await?;
    let mut etcd = Etcd::start().await?;
    let mut gaps = Vec::new();
    let mut etcd_gaps = Vec::new();

    for trial in 1..=trials {
        let gap = FailoverTrials { cluster: &mut cluster }.run_one().await?;
        eprintln!("trial {trial}: {}", millis(gap));
        gaps.push(gap);
        if let Some(etcd) = &mut etcd {
            let gap = etcd.failover().await?;
            eprintln!("trial {trial}: etcd {}", millis(gap));
            etcd_gaps.push(gap);
        }
    }

    table.add(&format!("leader killed to first write, {trials} trials"), spread(gaps), None);
    if !etcd_gaps.is_empty() {
        let figure = format!("etcd leader killed to first write, {trials} trials");
        table.add(&figure, spread(etcd_gaps), None);
    }

    drop(etcd);
    let gaps = hand_overs(&cluster, trials).await?;
    let figure = format!("leader hand-over under load, longest write gap, {trials} trials");
    table.add(&figure, spread(gaps), None);
    cluster.stop().await;
    Ok(())
}

pub(crate) fn spread(gaps: Vec<Duration>) -> String {
    let least = gaps.iter().min().copied().unwrap_or_default();
    let most = gaps.iter().max().copied().unwrap_or_default();
    format!("median {}, {} to {}", millis(median(gaps)), millis(least), millis(most))
}

async fn hand_overs(cluster: &LocalCluster, trials: u16) -> anyhow::Result<Vec<Duration>> {
    let client = cluster.client(ClientOptions::default())?;
    let mut gaps = Vec::new();
    for _ in 0..trials {
        let stop = Arc::new(AtomicBool::new(false));
        let writer = cluster.client(ClientOptions::default())?;
        let mut writing = tokio::task::JoinSet::new();
        writing.spawn(longest_gap(writer, Arc::clone(&stop)));
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.transfer_leader(None).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.store(true, Ordering::Relaxed);
        let gap = writing.join_next().await.context("nobody wrote")?;
        gaps.push(gap.context("the writers ended badly")??);
    }
    Ok(gaps)
}

/// Writes without a pause until it is told to stop, and finds the longest time without an accepted write.
pub(crate) async fn longest_gap(client: Client, stop: Arc<AtomicBool>) -> anyhow::Result<Duration> {
    let (written, mut writes) = tokio::sync::mpsc::channel(1_024);
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (client, stop, written) = (client.clone(), Arc::clone(&stop), written.clone());
        writers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                client.submit(vec![waiting_task()], None).await?;
                written.send(Instant::now()).await.ok();
            }
            anyhow::Ok(())
        });
    }
    drop(written);

    let mut longest = Duration::ZERO;
    let mut last = None;
    while let Some(at) = writes.recv().await {
        if let Some(last) = last {
            longest = longest.max(at.saturating_duration_since(last));
        }
        last = Some(at);
    }

    for ended in writers.join_all().await {
        ended?;
    }
    Ok(longest)
}

fn waiting_task() -> v1::TaskSpec {
    v1::TaskSpec {
        command: vec!["true".to_owned()],
        worker_id: Some("absent".to_owned()),
        ..v1::TaskSpec::default()
    }
}
