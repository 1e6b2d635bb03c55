//! One line at the prompt: the commands of the command line, and short forms of the frequent ones.

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
    /// Give up after so long [default: as the shell was started]
    #[arg(long, global = true, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub timeout: Option<Duration>,
    /// Command to run
    #[command(subcommand)]
    pub command: ShellCommand,
}

/// A command at the prompt.
#[derive(Debug, Subcommand)]
pub enum ShellCommand {
    /// Put a worker on the registry; it may be offline and is connected when it comes
    Register {
        /// The worker's name
        worker_id: String,
        /// Address of the worker's gRPC server
        #[arg(value_name = "HOST:PORT")]
        address: String,
        /// A label that constraints are matched against; may be repeated
        #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
        labels: Vec<(String, String)>,
    },
    /// Take a worker off the registry; what it runs is ended, then queued again
    Unregister {
        /// The worker's name
        worker_id: String,
    },
    /// Go to one inactive worker now, or to all of them
    Reconnect {
        /// The worker's name [default: every inactive worker]
        worker_id: Option<String>,
    },
    /// Place no new tasks on a worker
    Cordon {
        /// The worker's name
        worker_id: String,
    },
    /// Place tasks on a worker again
    Uncordon {
        /// The worker's name
        worker_id: String,
    },
    /// Empty a worker
    Drain(DrainArgs),
    /// Set (KEY=VALUE) and remove (KEY-) labels of a worker
    Label(LabelArgs),
    /// Show what happened to a worker
    History {
        /// The worker's name
        worker_id: String,
    },
    /// Show how busy a worker is and was
    Metrics {
        /// The worker's name
        worker_id: String,
    },
    /// List tasks, newest first
    Tasks(ListArgs),
    /// A command that the command line has, too.
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// Leave
    #[command(alias = "quit")]
    Exit,
}
