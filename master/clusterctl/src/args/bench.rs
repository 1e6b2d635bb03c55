//! The commands that measure.

use std::time::Duration;

use clap::{Args, Subcommand};

/// A measurement.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
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
pub struct SubmitLoadArgs {
    /// Number of clients that submit in parallel, each waiting for its answer
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: u16,
    /// For how long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Tasks in one call
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub tasks_per_call: u16,
    /// Let the tasks wait for this worker: with one that does not exist only the queue is measured,
    /// in which they stay
    #[arg(long, value_name = "WORKER_ID")]
    pub worker: Option<String>,
}

/// Load on the path from submission to completion.
#[derive(Debug, Clone, Args)]
pub struct DispatchArgs {
    /// Number of tasks
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub tasks: u32,
    /// Number of different requests for resources among the tasks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub classes: u32,
    /// Instead, submit so many tasks one after the other on the idle cluster
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub latency: Option<u32>,
    /// Give up after so long
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    pub patience: Duration,
}

/// Failovers to measure.
#[derive(Debug, Clone, Args)]
pub struct FailoverArgs {
    /// Number of leaders to kill
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub trials: u16,
    /// Number of masters
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(3..=9))]
    pub masters: u16,
    /// First port of the cluster
    #[arg(long, default_value_t = 7_600, value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    pub base_port: u16,
}

/// Fleet to simulate.
#[derive(Debug, Clone, Args)]
pub struct WorkerLoadArgs {
    /// Number of workers, each with a gRPC server of its own
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub workers: u32,
    /// Over how many processes they are spread
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub processes: u16,
    /// For how long the leader is watched while nothing but heartbeats happens
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub quiet: Duration,
    /// First port of the cluster
    #[arg(long, default_value_t = 7_800, value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    pub base_port: u16,
}

/// Range of the simulated workers that one process runs.
#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// The number of the first
    #[arg(long)]
    pub first: u32,
    /// Number of workers
    #[arg(long)]
    pub count: u32,
    /// The port that each listens on, at an address of its own
    #[arg(long)]
    pub port: u16,
}
