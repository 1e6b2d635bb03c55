//! Defines a line at the prompt: the commands of the command line, and short forms of the frequent
//! ones.

use std::time::Duration;

use clap::{Parser, Subcommand};

use super::{ClusterCommand, Format, ListArgs, WorkerCommand};

/// A line of the shell.
#[derive(Debug, Parser)]
#[command(
    name = "master>",
    no_binary_name = true,
    disable_version_flag = true,
    override_usage = "COMMAND [OPTIONS]",
    subcommand_help_heading = "Commands",
    help_template = "{subcommands}\n\n{options}\n\nhelp COMMAND tells more; Ctrl-D leaves."
)]
pub struct ShellLine {
    /// Output format [default: that of the shell]
    #[arg(short, long, global = true, value_enum)]
    pub output: Option<Format>,
    /// Time after which to give up [default: that of the shell]
    #[arg(long, global = true, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub timeout: Option<Duration>,
    /// Command to run
    #[command(subcommand)]
    pub command: ShellCommand,
}

/// A command at the prompt.
#[derive(Debug, Subcommand)]
pub enum ShellCommand {
    /// An action on a worker.
    #[command(flatten)]
    Worker(WorkerCommand),
    /// List tasks, newest first
    Tasks(ListArgs),
    /// A command that the command line has, too.
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// Leave the shell
    #[command(alias = "quit")]
    Exit,
}
