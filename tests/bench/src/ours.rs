//! Measures features that only this cluster has: bulk submission, dispatch, and the latency of a
//! single task.

use std::time::Duration;

use crate::load::{DispatchLoad, SubmitLoad};
use clusterctl::local_cluster::{Layout, LocalCluster, Process};
use proto::client::ClientOptions;

use crate::machine::CpuWatch;
use crate::table::{Table, millis};

/// Away from the ports of a cluster that somebody may be running.
const BASE_PORT: u16 = 9_100;
/// Workers of the dispatch measurements.
const WORKERS: u16 = 4;
/// Tasks of one dispatch measurement.
const DISPATCHED: u32 = 100_000;
/// Time for one dispatch measurement.
const PATIENCE: Duration = Duration::from_secs(300);
/// Single tasks, one after the other.
const SINGLES: u32 = 300;

/// A fresh cluster of three masters and some workers that are active.
pub(crate) async fn start(workers: u16, executor: Option<&str>) -> anyhow::Result<LocalCluster> {
    let executor = executor.map(str::to_owned);
    let layout = Layout { masters: 3, workers, base_port: BASE_PORT, executor, is_secured: false };
    let mut cluster = LocalCluster::prepare(layout, &LocalCluster::sibling_programs()?, None)?;
    let roles = cluster.layout().roles().collect::<Vec<_>>();
    for role in &roles {
        cluster.start(*role)?;
    }
    for role in roles {
        cluster.ready(role).await?;
    }
    let client = cluster.client(ClientOptions::default())?;
    for worker in cluster.layout().worker_roles() {
        cluster.register(&client, worker).await?;
    }
    Ok(cluster)
}

/// Runs all of them.
pub(crate) async fn run(table: &mut Table, duration: Duration) -> anyhow::Result<()> {
    bulk(table, duration).await?;
    dispatch(table).await?;
    single(table).await
}

async fn bulk(table: &mut Table, duration: Duration) -> anyhow::Result<()> {
    let mut cluster = start(0, None).await?;
    let load = SubmitLoad {
        endpoints: cluster.layout().endpoints().collect(),
        clients: 4,
        duration,
        tasks_per_call: 1_000,
        worker_id: Some("absent".to_owned()),
        dialer: cluster.dialer().clone(),
    };
    let watch = CpuWatch::start(cluster.processes().iter().map(Process::pid));
    let report = load.run().await?;
    let value = format!("{:.0} tasks/s", report.tasks_per_second);
    table.add("bulk submit, 1,000 tasks per call, 4 clients", value, Some(watch.others()));
    cluster.stop().await;
    Ok(())
}

async fn dispatch(table: &mut Table) -> anyhow::Result<()> {
    let mut cluster = start(WORKERS, Some("noop")).await?;
    let client = cluster.client(ClientOptions::default())?;
    for (round, classes) in [(1, 1), (1, DISPATCHED), (2, 1), (2, DISPATCHED)] {
        let load = DispatchLoad { tasks: DISPATCHED, classes, patience: PATIENCE };
        let watch = CpuWatch::start(cluster.processes().iter().map(Process::pid));
        let report = load.run(&client).await?;
        let requests = if classes == 1 { "all alike" } else { "all different" };
        let figure = format!("dispatch, {WORKERS} noop workers, {requests}, round {round}");
        let value = format!("{:.0} tasks/s from submitted to completed", report.tasks_per_second);
        table.add(&figure, value, Some(watch.others()));
    }
    cluster.stop().await;
    Ok(())
}

async fn single(table: &mut Table) -> anyhow::Result<()> {
    let mut cluster = start(2, Some("process")).await?;
    let client = cluster.client(ClientOptions::default())?;
    let watch = CpuWatch::start(cluster.processes().iter().map(Process::pid));
    let report = DispatchLoad::latency(&client, SINGLES).await?;
    let time = |micros: u128| millis(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    let value =
        format!("p50 {}, p99 {}", time(report.start_p50_micros), time(report.start_p99_micros));
    table.add("submit to process started, idle cluster", value, Some(watch.others()));
    let value =
        format!("p50 {}, p99 {}", time(report.finish_p50_micros), time(report.finish_p99_micros));
    table.add("submit to finished and told, idle cluster", value, None);
    cluster.stop().await;
    Ok(())
}
