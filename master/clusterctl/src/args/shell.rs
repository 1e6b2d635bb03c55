//! Defines a line at the prompt: the commands of the command line, and short forms of the frequent
//! ones.

use std::time::Duration;

use clap::{Parser, Subcommand};

use super::{ClusterCommand, DrainArgs, Format, LabelArgs, ListArgs, pair};

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
    /// Register a worker; it may be offline and is connected when it appears
    Register {
        /// Name of the worker
        worker_id: String,
        /// Address of the worker's gRPC server
        #[arg(value_name = "HOST:PORT")]
        address: String,
        /// Label for constraints of tasks; may be repeated
        #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
        labels: Vec<(String, String)>,
    },
    /// Unregister a worker; its attempts are stopped and their tasks queued again
    Unregister {
        /// Name of the worker
        worker_id: String,
    },
    /// Reconnect one inactive worker, or all
    Reconnect {
        /// Name of the worker [default: every inactive worker]
        worker_id: Option<String>,
    },
    /// Place no new tasks on a worker
    Cordon {
        /// Name of the worker
        worker_id: String,
    },
    /// Place tasks on a worker again
    Uncordon {
        /// Name of the worker
        worker_id: String,
    },
    /// Empty a worker
    Drain(DrainArgs),
    /// Set (KEY=VALUE) and remove (KEY-) labels of a worker
    Label(LabelArgs),
    /// Show the history of a worker
    History {
        /// Name of the worker
        worker_id: String,
    },
    /// Show the usage of a worker, now and in the past
    Metrics {
        /// Name of the worker
        worker_id: String,
    },
    /// List tasks, newest first
    Tasks(ListArgs),
    /// A command that the command line has, too.
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// Leave the shell
    #[command(alias = "quit")]
    Exit,
}
