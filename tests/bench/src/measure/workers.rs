//! A fleet of simulated workers on a cluster of its own.

use std::time::Duration;

use clusterctl::local_cluster::{Layout, LocalCluster};
use clusterctl::output::{Output, fields};
use tokio::time::sleep;

use super::millis;
use crate::args::WorkerLoadArgs;
use crate::fleet::Fleet;
use crate::load::{MasterUsage, WorkerReport, WorkerTrial};
use crate::open_files::{TooFewFiles, allowed};

/// Distance from the base port to the port of all simulated workers.
const FLEET_OFFSET: u16 = 200;
/// While a fleet registers, a leader holds one connection of each worker and opens one to each.
const LEADER_FILES_PER_WORKER: u64 = 2;
/// Everything else that a master has open.
const LEADER_OTHER_FILES: u64 = 500;
/// From the last registration until only heartbeats happen.
const SETTLE_PAUSE: Duration = Duration::from_secs(10);

pub(super) async fn run(output: Output, args: &WorkerLoadArgs) -> anyhow::Result<()> {
    warn_of_few_files(output, args.workers)?;
    let layout = Layout {
        masters: 3,
        workers: 0,
        base_port: args.base_port,
        executor: None,
        is_secured: false,
    };
    let programs = LocalCluster::sibling_programs()?;
    let mut cluster = LocalCluster::prepare(layout, &programs, None)?;
    let port = args.base_port.saturating_add(FLEET_OFFSET);
    let mut fleet = Fleet::spawn(args.workers, args.processes, port)?;
    let measured = measure(output, &mut cluster, &mut fleet, args, port).await;
    drop(fleet);
    cluster.stop().await;
    Ok(output.data(&measured?, |report, _| text(report))?)
}

/// Without enough files the leader turns workers away, and the figures would be of something else.
fn warn_of_few_files(output: Output, workers: u32) -> anyhow::Result<()> {
    let allowed = allowed();
    let least = u64::from(workers) + LEADER_OTHER_FILES;
    let needed = u64::from(workers) * LEADER_FILES_PER_WORKER + LEADER_OTHER_FILES;
    let too_few = TooFewFiles { needed, allowed };
    if allowed < least {
        return Err(TooFewFiles { needed: least, allowed }.into());
    }
    if allowed < needed {
        output.message(format_args!("the leader may not hold all connections at once: {too_few}"));
    }
    Ok(())
}

async fn measure(
    output: Output,
    cluster: &mut LocalCluster,
    fleet: &mut Fleet,
    args: &WorkerLoadArgs,
    port: u16,
) -> anyhow::Result<WorkerReport> {
    let masters = cluster.layout().master_roles().collect::<Vec<_>>();
    for master in &masters {
        cluster.start(*master)?;
    }
    for master in masters {
        cluster.ready(master).await?;
    }

    let workers = args.workers;
    let mut trial = WorkerTrial { cluster, fleet, workers, port };
    let baseline = trial.baseline().await?;
    output.message(format_args!("registering {workers} workers that are offline"));
    trial.register().await?;

    output.message("starting all of them");
    let (all_active, refusal) = trial.connect().await?;
    if let Some(refusal) = refusal {
        output.message(format_args!(
            "the leader was not made to go to them at once ({refusal}): the reconnection monitor's \
             interval is in the next figure"
        ));
    }
    output.message(format_args!("all are active after {}", millis(all_active.as_micros())));

    sleep(SETTLE_PAUSE).await;
    let length = humantime::format_duration(args.quiet);
    output.message(format_args!("watching the masters under heartbeats for {length}"));
    let quiet = trial.watch(args.quiet, &baseline).await?;

    output.message("killing the leader");
    let follow = trial.fail_over().await?;
    Ok(WorkerReport { workers, all_active_micros: all_active.as_micros(), quiet, follow })
}

fn text(report: &WorkerReport) -> String {
    let WorkerReport { workers, all_active_micros, quiet, follow } = report;
    let from_kill = follow.election_micros + follow.follow_micros;
    fields(&[
        ("workers", workers.to_string()),
        ("start to all active", millis(*all_active_micros)),
        ("kill to new leader", millis(follow.election_micros)),
        ("new leader to all following", millis(follow.follow_micros)),
        ("kill to all following", millis(from_kill)),
        ("leader's cpu", cpu(&quiet.leader)),
        ("leader's memory per worker", memory(&quiet.leader)),
        ("busiest follower's cpu", cpu(&quiet.follower)),
        ("and memory per worker", memory(&quiet.follower)),
        ("heartbeats watched", format!("{} in {:.0} s", quiet.heartbeats, quiet.seconds)),
        ("raft entries per heartbeat", quiet.raft_entries_per_heartbeat.to_string()),
    ])
}

fn cpu(usage: &MasterUsage) -> String {
    format!("{:.1} % of one core", usage.cpu_percent)
}

fn memory(usage: &MasterUsage) -> String {
    format!("{} KiB", usage.bytes_per_worker >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{FollowReport, QuietReport};

    #[test]
    fn a_report_shows_every_figure() {
        let report = WorkerReport {
            workers: 500,
            all_active_micros: 1_234_000,
            quiet: QuietReport {
                seconds: 30.04,
                leader: MasterUsage { cpu_percent: 2.345, bytes_per_worker: 12_300 },
                follower: MasterUsage { cpu_percent: 4.0, bytes_per_worker: 20_480 },
                heartbeats: 3_000,
                raft_entries: 0,
                raft_entries_per_heartbeat: 0.0,
            },
            follow: FollowReport { election_micros: 600_000, follow_micros: 250_000 },
        };
        let expected = "\
workers:                     500
start to all active:         1234.00 ms
kill to new leader:          600.00 ms
new leader to all following: 250.00 ms
kill to all following:       850.00 ms
leader's cpu:                2.3 % of one core
leader's memory per worker:  12 KiB
busiest follower's cpu:      4.0 % of one core
and memory per worker:       20 KiB
heartbeats watched:          3000 in 30 s
raft entries per heartbeat:  0";
        assert_eq!(text(&report), expected);
    }
}
