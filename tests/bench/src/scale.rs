//! A million live and a million finished tasks: memory, and the time until a restarted master is
//! ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::load::{DispatchLoad, SubmitLoad};
use anyhow::Context as _;
use clusterctl::local_cluster::{LocalCluster, Process, Role};
use proto::client::{Client, ClientOptions};
use proto::v1;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::failover::longest_gap;
use crate::ours;
use crate::process_usage::resident_bytes;
use crate::table::{Table, millis};

const TASKS_PER_CALL: u32 = 1_000;

/// Fills two clusters and measures them: one for memory, which must be fresh, because an allocator
/// keeps what finished tasks have left; one for the restart.
pub(crate) async fn run(table: &mut Table, tasks: u32) -> anyhow::Result<()> {
    memory(table, tasks).await?;
    restart(table, tasks).await
}

async fn memory(table: &mut Table, tasks: u32) -> anyhow::Result<()> {
    let mut cluster = ours::start(0, None).await?;
    let before = masters_bytes(&cluster)?;
    let longest = submit_waiting(&cluster, tasks).await?;
    for (role, before) in before {
        let after = bytes_of(&cluster, role)?;
        let each = after.saturating_sub(before) / u64::from(tasks);
        let figure = format!("memory per live task, {role}, {tasks} live");
        table.add(&figure, format!("{each} bytes"), None);
    }
    let figure = "longest call of 1,000 tasks while they were submitted";
    table.add(figure, millis(longest), None);
    snapshot(table, &mut cluster, tasks).await?;
    cluster.stop().await;
    Ok(())
}

/// Lets a follower miss so much that it needs a snapshot of the whole state, and finds the longest
/// time without an accepted write while the snapshot is made, sent and installed.
async fn snapshot(table: &mut Table, cluster: &mut LocalCluster, tasks: u32) -> anyhow::Result<()> {
    let client = cluster.client(ClientOptions::default())?;
    let leader = client.leader().await?.leader_id.context("no leader")?;
    let away = cluster
        .layout()
        .master_roles()
        .find(|role| matches!(role, Role::Master(number) if u64::from(*number) != leader));
    let away = away.context("no follower")?;
    cluster.kill(away).await?;

    let stop = Arc::new(AtomicBool::new(false));
    let mut writing = JoinSet::new();
    let writer = cluster.client(ClientOptions::default())?;
    writing.spawn(longest_gap(writer, Arc::clone(&stop)));
    // Single tasks, one entry each, until the log no longer reaches back to the follower.
    let before = member(&client, leader).await?.snapshot_index;
    let load = SubmitLoad {
        endpoints: vec![cluster.layout().grpc_address(Role::Master(u16::try_from(leader)?))],
        clients: 64,
        duration: Duration::from_secs(1),
        tasks_per_call: 1,
        worker_id: Some("absent".to_owned()),
        dialer: cluster.dialer().clone(),
    };
    while member(&client, leader).await?.snapshot_index == before {
        load.run().await?;
    }
    let restarted = Instant::now();
    cluster.start(away)?;
    cluster.ready(away).await?;
    let caught_up = restarted.elapsed();
    stop.store(true, Ordering::Relaxed);
    let gap = writing.join_next().await.context("nobody wrote")??;

    let figure = format!("snapshot of {tasks} live tasks made and sent: longest write gap");
    table.add(&figure, millis(gap?), None);
    table.add("a follower that needs it: restarted to ready", millis(caught_up), None);
    Ok(())
}

async fn member(client: &Client, id: u64) -> anyhow::Result<v1::Member> {
    let members = client.status().await?.members;
    members.into_iter().find(|member| member.id == id).context("the leader is no member")
}

async fn restart(table: &mut Table, tasks: u32) -> anyhow::Result<()> {
    let mut cluster = ours::start(4, Some("noop")).await?;
    let client = cluster.client(ClientOptions::default())?;
    let load = DispatchLoad { tasks, classes: 1, patience: Duration::from_secs(3_600) };
    load.run(&client).await?;
    submit_waiting(&cluster, tasks).await?;

    let master = Role::Master(1);
    cluster.kill(master).await?;
    let started = Instant::now();
    cluster.start(master)?;
    cluster.ready(master).await?;
    let figure =
        format!("master killed and restarted with {tasks} live and {tasks} finished: ready");
    table.add(&figure, millis(started.elapsed()), None);
    cluster.stop().await;
    Ok(())
}

/// Submits tasks that stay live, and tells how long the longest call took.
pub(crate) async fn submit_waiting(cluster: &LocalCluster, tasks: u32) -> anyhow::Result<Duration> {
    let client = cluster.client(ClientOptions::default())?;
    let mut left = tasks;
    let mut longest = Duration::ZERO;
    while left > 0 {
        let size = left.min(TASKS_PER_CALL);
        left -= size;
        let batch = (0..size).map(|_| waiting_task()).collect();
        let sent = Instant::now();
        client.submit(batch, None).await?;
        longest = longest.max(sent.elapsed());
    }
    Ok(longest)
}

fn masters_bytes(cluster: &LocalCluster) -> anyhow::Result<Vec<(Role, u64)>> {
    cluster.layout().master_roles().map(|role| Ok((role, bytes_of(cluster, role)?))).collect()
}

fn bytes_of(cluster: &LocalCluster, role: Role) -> anyhow::Result<u64> {
    let process = cluster.processes().iter().find(|process| process.role() == role);
    Ok(resident_bytes(process.map(Process::pid).context("a master is not ours")?)?)
}

/// A task of 256 bytes that nobody may run.
pub(crate) fn waiting_task() -> v1::TaskSpec {
    v1::TaskSpec {
        command: vec!["true".to_owned()],
        env: [("PADDING".to_owned(), "x".repeat(210))].into(),
        worker_id: Some("absent".to_owned()),
        ..v1::TaskSpec::default()
    }
}
