//! One load on a cluster at a time, and what was measured under it.

use std::time::Duration;

mod workers;

use clusterctl::connection::Connection;
use clusterctl::local_cluster::{Layout, LocalCluster};
use clusterctl::output::{Output, fields};
use proto::channel::Dialer;
use proto::client::{Client, ClientOptions};

use crate::args::{DispatchArgs, FailoverArgs, LoadArgs, LoadCommand, SubmitLoadArgs};
use crate::load::{
    DispatchLoad, DispatchReport, FailoverReport, FailoverTrials, LatencyReport, SubmitLoad,
    SubmitReport,
};

/// Loads a cluster and prints the report.
pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let LoadArgs { connection, command } = args;
    let output = Output::new(connection.output);
    let connection = Connection::given(connection, |name| std::env::var(name).ok())?;
    let dialer = connection.dialer()?;
    let masters = (connection.endpoints, dialer);
    match command {
        LoadCommand::Submit(args) => submit(output, masters, args).await,
        LoadCommand::Dispatch(args) => dispatch(output, masters, &args).await,
        LoadCommand::Failover(args) => failover(output, &args).await,
        LoadCommand::Workers(args) => Box::pin(workers::run(output, &args)).await,
    }
}

async fn submit(
    output: Output,
    (endpoints, dialer): (Vec<String>, Dialer),
    args: SubmitLoadArgs,
) -> anyhow::Result<()> {
    let load = SubmitLoad {
        endpoints,
        clients: args.clients,
        duration: Duration::from_secs(args.seconds),
        tasks_per_call: args.tasks_per_call,
        worker_id: args.worker,
        dialer,
    };
    let report = load.run().await?;
    Ok(output.data(&report, |report, _| submit_text(report))?)
}

fn submit_text(report: &SubmitReport) -> String {
    let errors = report.errors.iter().map(|(kind, count)| format!("{count} {kind}"));
    let errors = errors.collect::<Vec<_>>().join(", ");
    fields(&[
        ("tasks/s", format!("{:.0}", report.tasks_per_second)),
        ("tasks", report.tasks.to_string()),
        ("calls", report.calls.to_string()),
        ("p50", millis(report.p50_micros)),
        ("p99", millis(report.p99_micros)),
        ("max", millis(report.max_micros)),
        ("errors", if errors.is_empty() { "none".to_owned() } else { errors }),
    ])
}

async fn dispatch(
    output: Output,
    (endpoints, dialer): (Vec<String>, Dialer),
    args: &DispatchArgs,
) -> anyhow::Result<()> {
    let client = Client::new(&endpoints, ClientOptions { dialer, ..ClientOptions::default() })?;
    if let Some(count) = args.latency {
        let report = DispatchLoad::latency(&client, count).await?;
        return Ok(output.data(&report, |report, _| latency_text(report))?);
    }
    let DispatchArgs { tasks, classes, patience, .. } = *args;
    let load = DispatchLoad { tasks, classes, patience };
    let report = load.run(&client).await?;
    Ok(output.data(&report, |report, _| dispatch_text(report))?)
}

fn latency_text(report: &LatencyReport) -> String {
    fields(&[
        ("tasks", report.tasks.to_string()),
        ("submit to start p50", millis(report.start_p50_micros)),
        ("submit to start p99", millis(report.start_p99_micros)),
        ("submit to finish p50", millis(report.finish_p50_micros)),
        ("submit to finish p99", millis(report.finish_p99_micros)),
    ])
}

fn dispatch_text(report: &DispatchReport) -> String {
    fields(&[
        ("tasks/s", format!("{:.0}", report.tasks_per_second)),
        ("tasks", report.tasks.to_string()),
        ("all submitted", format!("{:.2} s", report.submitted_seconds)),
        ("all completed", format!("{:.2} s", report.completed_seconds)),
    ])
}

async fn failover(output: Output, args: &FailoverArgs) -> anyhow::Result<()> {
    let layout = Layout {
        masters: args.masters,
        workers: 0,
        base_port: args.base_port,
        executor: None,
        is_secured: false,
    };
    let programs = LocalCluster::sibling_programs()?;
    let mut cluster = LocalCluster::prepare(layout, &programs, None)?;
    let trials = kill_leaders(output, &mut cluster, args.trials).await;
    cluster.stop().await;
    let report = FailoverReport::of(&trials?);
    Ok(output.data(&report, |report, _| failover_text(report))?)
}

async fn kill_leaders(
    output: Output,
    cluster: &mut LocalCluster,
    count: u16,
) -> anyhow::Result<Vec<Duration>> {
    let masters = cluster.layout().master_roles().collect::<Vec<_>>();
    for master in &masters {
        cluster.start(*master)?;
    }
    for master in masters {
        cluster.ready(master).await?;
    }
    let mut trials = Vec::with_capacity(usize::from(count));
    for number in 1..=count {
        let gap = FailoverTrials { cluster: &mut *cluster }.run_one().await?;
        output.message(format_args!("trial {number}: {}", millis(gap.as_micros())));
        trials.push(gap);
    }
    Ok(trials)
}

fn failover_text(report: &FailoverReport) -> String {
    let trials = report.trials_micros.iter().map(|micros| millis(*micros)).collect::<Vec<_>>();
    fields(&[
        ("trials", trials.join(", ")),
        ("median", millis(report.median_micros)),
        ("max", millis(report.max_micros)),
    ])
}

/// Milliseconds with two decimals.
fn millis(micros: u128) -> String {
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_report_shows_rate_latency_and_errors() {
        let report = SubmitReport {
            tasks: 1_000,
            calls: 1_000,
            tasks_per_second: 99.6,
            p50_micros: 1_234,
            p99_micros: 9_009,
            max_micros: 1_000_000,
            errors: [("no-leader".to_owned(), 2)].into(),
        };
        let expected = "\
tasks/s: 100
tasks:   1000
calls:   1000
p50:     1.23 ms
p99:     9.00 ms
max:     1000.00 ms
errors:  2 no-leader";
        assert_eq!(submit_text(&report), expected);
    }
}
