//! All benchmarks against fresh clusters on this machine, one table. Nothing is switched off for
//! them: every write is synced and replicated as in production.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it found")]

mod calls;
mod compare;
mod etcd;
mod failover;
mod floor;
mod front;
mod machine;
mod ours;
mod scale;
mod table;

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::table::Table;

/// Measures the cluster, beside etcd in the same run.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Seconds per measurement.
    #[arg(long, global = true, default_value_t = 5)]
    seconds: u64,
    /// Leaders killed, and handed over from.
    #[arg(long, global = true, default_value_t = 20)]
    trials: u16,
    /// Live and finished tasks of the scale measurements.
    #[arg(long, global = true, default_value_t = 1_000_000)]
    tasks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum What {
    /// Everything.
    All,
    /// Durable submissions, against etcd's puts.
    Submit,
    /// Bulk submission, dispatch and the way of a single task.
    Dispatch,
    /// Leaders killed and handed over, against etcd.
    Failover,
    /// A million live and a million finished tasks.
    Scale,
    /// Many that wait, many that read slowly, and large bodies.
    Front,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let duration = Duration::from_secs(args.seconds);
    let mut table = Table::default();
    let wants = |one| args.what == What::All || args.what == one;
    if wants(What::Submit) {
        compare::run(&mut table, duration).await?;
    }
    if wants(What::Dispatch) {
        ours::run(&mut table, duration).await?;
    }
    if wants(What::Failover) {
        failover::run(&mut table, args.trials).await?;
    }
    if wants(What::Scale) {
        scale::run(&mut table, args.tasks).await?;
    }
    if wants(What::Front) {
        front::run(&mut table).await?;
    }
    println!("{}\n\n{}", machine::describe(), table.render());
    Ok(())
}
