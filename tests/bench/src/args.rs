//! The command line of the benchmarks.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clusterctl::args::ConnectionArgs;

/// Measures clusters of masters and workers, beside etcd in the same run.
#[derive(Debug, Parser)]
#[command(name = "cluster-bench", version)]
pub(crate) struct CommandLine {
    /// Measurement
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fresh clusters, for one table.
    #[command(flatten)]
    Compare(Comparison),
    /// Put one load on a cluster and print what was measured
    Load(LoadArgs),
    /// Simulated workers, for `load workers`
    #[command(hide = true)]
    Fleet(FleetArgs),
}

/// Measurements of fresh clusters.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Comparison {
    /// Everything
    All(Sizes),
    /// Durable submissions, against etcd's puts
    Submit(Sizes),
    /// Bulk submission, dispatch and the way of a single task
    Dispatch(Sizes),
    /// Leaders killed and handed over, against etcd
    Failover(Sizes),
    /// A million live and a million finished tasks
    Scale(Sizes),
    /// A backup of a million live tasks saved and restored
    Backup(Sizes),
    /// Masters added, promoted, removed, replaced and restarted under load
    Membership(Sizes),
    /// Many that wait, many that read slowly, and large bodies
    Front,
    /// Logs through a master: one fast reader, then many that take nothing
    Logs,
}

/// Sizes of the measurements.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Sizes {
    /// Seconds per measurement
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Leaders killed and handed over from, and changes of the members of each kind
    #[arg(long, default_value_t = 20)]
    pub(crate) trials: u16,
    /// Live and finished tasks of the measurements of size
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) tasks: u32,
}

/// A load, and the cluster that takes it.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Cluster, for the loads that start none of their own, and form of the report.
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// The load
    #[command(subcommand)]
    pub(crate) command: LoadCommand,
}

/// Kind of load.
#[derive(Debug, Subcommand)]
pub(crate) enum LoadCommand {
    /// Measure how many tasks per second the cluster accepts
    Submit(SubmitLoadArgs),
    /// Measure how many tasks per second go from submission to completion, or how fast a single one
    /// starts
    Dispatch(DispatchArgs),
    /// Measure how long writes stop when the leader is killed; starts a cluster of its own
    Failover(FailoverArgs),
    /// Measure the cost of a fleet of workers to the leader, and how fast it follows; starts a
    /// cluster of its own
    Workers(WorkerLoadArgs),
}

/// Load on the submission path.
#[derive(Debug, Clone, Args)]
pub(crate) struct SubmitLoadArgs {
    /// Number of clients that submit in parallel, each waiting for its answer
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) clients: u16,
    /// For how long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
    /// Tasks in one call
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) tasks_per_call: u16,
    /// Let the tasks wait for this worker: with one that does not exist only the queue is measured,
    /// in which they stay
    #[arg(long, value_name = "WORKER_ID")]
    pub(crate) worker: Option<String>,
}

/// Load on the path from submission to completion.
#[derive(Debug, Clone, Args)]
pub(crate) struct DispatchArgs {
    /// Number of tasks
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tasks: u32,
    /// Number of different requests for resources among the tasks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) classes: u32,
    /// Instead, submit so many tasks one after the other on the idle cluster
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) latency: Option<u32>,
    /// Give up after so long
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    pub(crate) patience: Duration,
}

/// Failovers to measure.
#[derive(Debug, Clone, Args)]
pub(crate) struct FailoverArgs {
    /// Number of leaders to kill
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) trials: u16,
    /// Number of masters
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=9))]
    pub(crate) masters: u16,
    /// First port of the cluster
    #[arg(long, default_value_t = 7_600, value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    pub(crate) base_port: u16,
}

/// Fleet to simulate.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkerLoadArgs {
    /// Number of workers, each with a gRPC server of its own
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub(crate) workers: u32,
    /// Over how many processes they are spread
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) processes: u16,
    /// For how long the leader is watched while nothing but heartbeats happens
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) quiet: Duration,
    /// First port of the cluster
    #[arg(long, default_value_t = 7_800, value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    pub(crate) base_port: u16,
}

/// Range of the simulated workers that one process runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetArgs {
    /// The number of the first
    #[arg(long)]
    pub(crate) first: u32,
    /// Number of workers
    #[arg(long)]
    pub(crate) count: u32,
    /// The port that each listens on, at an address of its own
    #[arg(long)]
    pub(crate) port: u16,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;
    use clusterctl::args::Format;

    use super::*;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_has_no_contradiction() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_load_of_workers_has_its_size() {
        let line = "cluster-bench load workers --workers 10000 --processes 4 -o json";
        let Command::Load(args) = parse(line).unwrap().command else { panic!("no load") };
        let LoadCommand::Workers(workers) = args.command else { panic!("not of workers") };
        assert_eq!((workers.workers, workers.processes), (10_000, 4));
        assert_eq!(args.connection.output, Some(Format::Json));
        let none = parse("cluster-bench load workers --workers 0").unwrap_err();
        assert_eq!(none.kind(), ErrorKind::ValueValidation);
    }

    #[test]
    fn a_comparison_has_its_sizes() {
        let line = "cluster-bench scale --tasks 1000";
        let Command::Compare(Comparison::Scale(sizes)) = parse(line).unwrap().command else {
            panic!("no comparison")
        };
        assert_eq!((sizes.tasks, sizes.seconds), (1_000, 5));
    }
}
