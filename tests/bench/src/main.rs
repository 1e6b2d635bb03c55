//! All benchmarks: comparisons of fresh clusters with etcd, for one table, and single loads on any
//! cluster. Nothing is switched off for them: every write is synced and replicated as in production.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it found")]

mod args;
mod asked;
mod backup;
mod calls;
mod commands;
mod compare;
mod etcd;
mod failover;
mod fleet;
mod floor;
mod front;
mod load;
mod log_readers;
mod machine;
mod measure;
mod membership;
mod open_files;
mod ours;
mod process_usage;
mod scale;
mod table;

use std::time::Duration;

use clap::Parser;
use tokio::runtime::Builder;

use crate::args::{Command, CommandLine, Comparison, Sizes};
use crate::table::Table;

fn main() -> anyhow::Result<()> {
    let command = CommandLine::parse().command;
    let mut runtime = match command {
        Command::Compare(_) => Builder::new_multi_thread(),
        // One thread: a load shares the machine with the masters that it measures.
        Command::Load(_) | Command::Fleet(_) => Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(Box::pin(run(command)))
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Compare(comparison) => {
            let mut table = Table::default();
            Box::pin(compare(comparison, &mut table)).await?;
            println!("{}\n\n{}", machine::describe(), table.render());
            Ok(())
        }
        Command::Load(args) => Box::pin(measure::run(args)).await,
        Command::Fleet(args) => Ok(Box::pin(fleet::serve(&args)).await?),
    }
}

async fn compare(comparison: Comparison, table: &mut Table) -> anyhow::Result<()> {
    let duration = |sizes: Sizes| Duration::from_secs(sizes.seconds);
    match comparison {
        Comparison::All(sizes) => {
            compare::run(table, duration(sizes)).await?;
            ours::run(table, duration(sizes)).await?;
            failover::run(table, sizes.trials).await?;
            scale::run(table, sizes.tasks).await?;
            backup::run(table, sizes.tasks).await?;
            membership::run(table, sizes.tasks, sizes.trials).await?;
            front::run(table).await
        }
        Comparison::Submit(sizes) => compare::run(table, duration(sizes)).await,
        Comparison::Dispatch(sizes) => ours::run(table, duration(sizes)).await,
        Comparison::Failover(sizes) => failover::run(table, sizes.trials).await,
        Comparison::Scale(sizes) => scale::run(table, sizes.tasks).await,
        Comparison::Backup(sizes) => backup::run(table, sizes.tasks).await,
        Comparison::Membership(sizes) => membership::run(table, sizes.tasks, sizes.trials).await,
        Comparison::Front => front::run(table).await,
        Comparison::Logs => log_readers::run(table).await,
    }
}
