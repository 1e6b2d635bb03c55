//! A backup of a million live tasks: the time to save it while others write, and from the command to
//! restore it to the first accepted write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clusterctl::local_cluster::{Layout, LocalCluster, Role};
use proto::client::ClientOptions;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::commands::{clusterctl, finish};
use crate::etcd::Etcd;
use crate::failover::longest_gap;
use crate::ours;
use crate::scale::{submit_waiting, waiting_task};
use crate::table::{Table, millis};

/// Number of backups, of which the slowest counts.
const SAVES: usize = 3;
/// Away from the ports of the cluster that was saved.
const BASE_PORT: u16 = 9_300;

pub(crate) async fn run(table: &mut Table, tasks: u32) -> anyhow::Result<()> {
    let home = TempDir::new()?;
    let file = home.path().join("bench.backup");
    save(table, &file, tasks).await?;
    for masters in [1, 3] {
        restore(table, home.path(), &file, masters, tasks).await?;
    }
    etcd(table, &home.path().join("etcd.backup"), tasks).await
}

/// Saves and restores as many keys of etcd.
async fn etcd(table: &mut Table, file: &Path, keys: u32) -> anyhow::Result<()> {
    let Some(etcd) = Etcd::start().await?.filter(|_| Etcd::can_save()) else { return Ok(()) };
    etcd.fill(keys).await?;
    let mut slowest = Duration::ZERO;
    for _ in 0..SAVES {
        slowest = slowest.max(etcd.save(file).await?);
    }
    drop(etcd);
    let size = std::fs::metadata(file)?.len() >> 20;
    let figure = format!("etcd backup of {keys} keys saved, slowest of {SAVES}, nobody writes");
    table.add(&figure, format!("{} ({size} MiB)", millis(slowest)), None);

    let (restored, writable) = Etcd::restore(file).await?;
    let figure = format!("{keys} keys of etcd restored into 3 on this machine");
    table.add(&figure, millis(restored), None);
    table.add("from its beginning to the first accepted put", millis(writable), None);
    Ok(())
}

async fn save(table: &mut Table, file: &Path, tasks: u32) -> anyhow::Result<()> {
    let mut cluster = ours::start(0, None).await?;
    submit_waiting(&cluster, tasks).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writing = JoinSet::new();
    let writer = cluster.client(ClientOptions::default())?;
    writing.spawn(longest_gap(writer, Arc::clone(&stop)));

    let endpoints = cluster.layout().endpoints().collect::<Vec<_>>().join(",");
    let mut slowest = Duration::ZERO;
    for _ in 0..SAVES {
        let started = Instant::now();
        let mut command = clusterctl()?;
        command.args(["--endpoints", &endpoints, "snapshot", "save", "--force"]).arg(file);
        finish(command).await?;
        slowest = slowest.max(started.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let gap = writing.join_next().await.context("nobody wrote")??;

    let size = std::fs::metadata(file)?.len() >> 20;
    let figure = format!("backup of {tasks} live tasks saved, slowest of {SAVES}");
    table.add(&figure, format!("{} ({size} MiB)", millis(slowest)), None);
    table.add("longest write gap meanwhile", millis(gap?), None);
    cluster.stop().await;
    Ok(())
}

/// Restores all data directories at once, as the machines of a real cluster do.
async fn restore(
    table: &mut Table,
    home: &Path,
    file: &Path,
    masters: u16,
    tasks: u32,
) -> anyhow::Result<()> {
    let layout =
        Layout { masters, workers: 0, base_port: BASE_PORT, executor: None, is_secured: false };
    let dir = home.join(format!("restored-{masters}"));
    let members = (1..=masters).zip(layout.endpoints());
    let list = members.map(|(id, address)| format!("{id}={address}")).collect::<Vec<_>>().join(",");

    let started = Instant::now();
    let mut restoring = JoinSet::new();
    for id in 1..=masters {
        let mut command = clusterctl()?;
        command.args(["snapshot", "restore"]).arg(file).arg("--data-dir");
        command.arg(dir.join(Role::Master(id).to_string())).args(["--node-id", &id.to_string()]);
        command.args(["--cluster-name", "dev", "--initial-cluster", &list]);
        restoring.spawn(finish(command));
    }
    for ended in restoring.join_all().await {
        ended?;
    }
    let restored = started.elapsed();
    let mut cluster = LocalCluster::prepare(layout, &LocalCluster::sibling_programs()?, Some(dir))?;
    let roles = cluster.layout().master_roles().collect::<Vec<_>>();
    for role in roles {
        cluster.start(role)?;
    }
    cluster.client(ClientOptions::default())?.submit(vec![waiting_task()], None).await?;
    let writable = started.elapsed();

    let figure = format!("{tasks} live tasks restored into {masters} on this machine");
    table.add(&figure, millis(restored), None);
    table.add("from its beginning to the first accepted write", millis(writable), None);
    cluster.stop().await;
    Ok(())
}
