//! Durable submissions against etcd's puts: the same clients over three endpoints, in turn, so
//! that a machine that grows slow is slow for both.

use std::time::Duration;

use crate::load::{SubmitLoad, SubmitReport};
use clusterctl::local_cluster::Process;

use crate::calls::CallReport;
use crate::etcd::Etcd;
use crate::floor;
use crate::machine::CpuWatch;
use crate::ours;
use crate::table::Table;

/// Clients side by side.
const CLIENTS: [u16; 3] = [1, 64, 1_000];
/// Rounds of ours and etcd in turn.
const ROUNDS: usize = 2;

/// Runs ours and etcd in turn, A B A B, for each number of clients.
pub(crate) async fn run(table: &mut Table, duration: Duration) -> anyhow::Result<()> {
    let mut cluster = ours::start(0, None).await?;
    let etcd = Etcd::start().await?;
    let pids = cluster.processes().iter().map(Process::pid);
    let pids = pids.chain(etcd.iter().flat_map(Etcd::pids)).collect::<Vec<_>>();

    for clients in CLIENTS {
        for round in 1..=ROUNDS {
            let load = SubmitLoad {
                endpoints: cluster.layout().endpoints().collect(),
                clients,
                duration,
                tasks_per_call: 1,
                worker_id: Some("absent".to_owned()),
                dialer: cluster.dialer().clone(),
            };

            let watch = CpuWatch::start(pids.iter().copied());
            let report = load.run().await?;
            let figure = format!("submit, {clients} clients, round {round}");
            table.add(&figure, describe(&report), Some(watch.others()));

            let watch = CpuWatch::start(pids.iter().copied());
            let report = floor::run(&load).await?;
            let figure = format!("stale read of one task, {clients} clients, round {round}");
            table.add(&figure, describe_calls(report), Some(watch.others()));

            if let Some(etcd) = &etcd {
                let watch = CpuWatch::start(pids.iter().copied());
                let report = etcd.load(clients, duration).await?;
                let figure = format!("etcd put, {clients} clients, round {round}");
                table.add(&figure, describe_calls(report), Some(watch.others()));
            }
        }
    }

    cluster.stop().await;
    Ok(())
}

fn describe(report: &SubmitReport) -> String {
    let failed = report.errors.iter().map(|(kind, count)| format!(", {count} {kind}"));
    let failed = failed.collect::<String>();
    line(report.tasks_per_second, report.p50_micros, report.p99_micros) + &failed
}

fn describe_calls(mut report: CallReport) -> String {
    let p50 = report.latencies.median().as_micros();
    line(report.calls_per_second, p50, report.latencies.per_mille(990).as_micros())
}

fn line(per_second: f64, p50_micros: u128, p99_micros: u128) -> String {
    let millis = |micros: u128| format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10);
    format!("{per_second:.0}/s, p50 {}, p99 {}", millis(p50_micros), millis(p99_micros))
}
