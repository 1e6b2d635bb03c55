//! Defines the command line.

mod audit;
mod context;
mod job;
mod member;
mod operator;
mod orphan;
mod queue;
mod schedule;
mod shell;
mod snapshot;
mod submit;
mod task;
mod tls;
mod upgrade;
mod user;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub use audit::AuditArgs;
pub use context::{ContextCommand, LoginArgs};
pub use job::{FollowArgs, JobCommand, OrderArgs, SelectionArgs};
pub use member::MemberCommand;
pub use operator::{
    ConfigCommand, DrainArgs, LabelArgs, LabelChange, MassLossCommand, TokenCommand, WorkerCommand,
};
pub use orphan::OrphanCommand;
pub use queue::{OrNone, QueueCommand, RateText, SetQueueArgs};
pub use schedule::{CreateScheduleArgs, ScheduleCommand};
pub use shell::{ShellCommand, ShellLine};
pub use snapshot::{RestoreArgs, SnapshotCommand};
pub use submit::{GraphArgs, SpecArgs, SubmitArgs, TimingArgs};
pub use task::{ListArgs, LogsArgs, TaskCommand};
pub use tls::{CertArgs, RotateArgs, TlsCommand};
pub use upgrade::UpgradeCommand;
pub use user::{CreateUserTokenArgs, UserCommand, UserTokenCommand};
pub use watch::WatchArgs;

/// Operates a cluster of masters and workers, and runs tasks on it.
#[derive(Debug, Parser)]
#[command(name = "clusterctl", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Cluster, and form of the output.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Time after which to give up [default: 30s, and never when waiting for a task, a vote or a feature level]
    #[arg(long, global = true, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub timeout: Option<Duration>,
    /// Command to run
    #[command(subcommand)]
    pub command: Command,
}

/// Cluster to talk to, and form of the output.
#[derive(Debug, ClapArgs)]
pub struct ConnectionArgs {
    // Variables are read with the contexts, some of which count before them.
    /// Context to use.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help = "Context to use, before the environment [env: CLUSTERCTL_CONTEXT] [default: the one in use]"
    )]
    pub context: Option<String>,
    /// Masters to ask.
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        value_name = "HOST:PORT,...",
        help = "Masters to ask, in any order; the leader is found [env: CLUSTERCTL_ENDPOINTS] [default: those of the context, or 127.0.0.1:50051]"
    )]
    pub endpoints: Vec<String>,
    /// File with the token to present.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "File with the token to present, which its owner alone may read [env: CLUSTERCTL_TOKEN_FILE] [default: the token in CLUSTERCTL_TOKEN, if there is one]"
    )]
    pub token_file: Option<PathBuf>,
    /// Certificates that are trusted.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Certificates that are trusted to issue those of masters; without, nothing is encrypted [env: CLUSTERCTL_CACERT]"
    )]
    pub cacert: Option<PathBuf>,
    // Ids of their own: other commands have arguments of these names.
    /// Own certificate.
    #[arg(
        id = "own_certificate",
        long = "cert",
        global = true,
        value_name = "FILE",
        help = "Own certificate [env: CLUSTERCTL_CERT]"
    )]
    pub cert: Option<PathBuf>,
    /// Key of the own certificate.
    #[arg(
        id = "own_key",
        long = "key",
        global = true,
        value_name = "FILE",
        help = "Key of the own certificate [env: CLUSTERCTL_KEY]"
    )]
    pub key: Option<PathBuf>,
    /// Output format [default: table]
    #[arg(short, long, global = true, value_enum)]
    pub output: Option<Format>,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, \
    5 not authorized, 6 no leader or no quorum, 7 timeout, 8 the waited-for task failed, 9 a damaged backup";

/// Output format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// The JSON of the REST API
    Json,
    /// Ids only, one on each line
    Name,
}

/// A command of the command line.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A command to a cluster.
    #[command(flatten)]
    Cluster(ClusterCommand),
    /// Check credentials for a cluster, and keep them as a context
    Login(LoginArgs),
    /// Show and change the contexts that logins have made
    Context {
        /// Action to take
        #[command(subcommand)]
        command: ContextCommand,
    },
    /// An interactive prompt with the same commands; reads from a pipe as well
    #[command(after_help = SHELL_HELP)]
    Shell,
    /// Save a backup of the cluster, look into one, or restore it
    Snapshot {
        /// Action to take
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Make certificates by hand, or have the cluster issue them
    Tls {
        /// Action to take
        #[command(subcommand)]
        command: TlsCommand,
    },
    /// Run a whole cluster on this machine until Ctrl-C
    Dev(DevArgs),
}

const SHELL_HELP: &str = "Type help at the prompt for its commands, and exit or Ctrl-D to leave. \
    From a pipe, one command a line is run without a prompt, and the exit code is that of the last \
    command that failed:\n\n  echo 'register worker-1 10.0.0.5:50052' | clusterctl shell";

/// A command to a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the leader, or hand leadership over
    Leader {
        /// Action to take; shows the leader by default
        #[command(subcommand)]
        command: Option<LeaderCommand>,
    },
    /// Show the masters, the workers by state and the queue; works without a leader
    Status,
    /// Show as whom the cluster sees you, with your role
    #[command(name = "whoami")]
    WhoAmI,
    /// List the workers
    Workers,
    /// Operate one worker
    Worker {
        /// Action to take
        #[command(subcommand)]
        command: WorkerCommand,
    },
    /// Submit and manage tasks
    Task {
        /// Action to take
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Show orders about many tasks, and how far they have come
    Job {
        /// Action to take
        #[command(subcommand)]
        command: JobCommand,
    },
    /// Show what waits in the queue, and why, or manage named queues
    #[command(args_conflicts_with_subcommands = true)]
    Queue {
        /// Action to take; shows what waits by default
        #[command(subcommand)]
        command: Option<QueueCommand>,
        /// Number of classes of tasks that are listed, the longest first
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Manage tasks that are submitted again and again, at times of a clock
    Schedule {
        /// Action to take
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Manage join tokens
    Token {
        /// Action to take
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Manage users, and the tokens with which they call
    User {
        /// Action to take
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Show or change the settings of the cluster
    Config {
        /// Action to take
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show the members of the cluster, and change who they are
    Member {
        /// Action to take
        #[command(subcommand)]
        command: MemberCommand,
    },
    /// Show how far an upgrade is, keep the feature level, or let it rise
    Upgrade {
        /// Action to take
        #[command(subcommand)]
        command: UpgradeCommand,
    },
    /// Show or drop results of attempts that a restored cluster does not know
    Orphan {
        /// Action to take
        #[command(subcommand)]
        command: OrphanCommand,
    },
    /// Show who gave which orders, when, from where and with which outcome
    Audit(AuditArgs),
    /// Print events of tasks, workers and the cluster as they happen, until Ctrl-C
    Watch(WatchArgs),
    /// Show or acknowledge the mass-loss alarm, which says that most workers fell silent at once
    MassLoss {
        /// Action to take; shows the alarm by default
        #[command(subcommand)]
        command: Option<MassLossCommand>,
    },
}

/// Actions on the leader.
#[derive(Debug, Subcommand)]
pub enum LeaderCommand {
    /// Hand leadership to another master
    Transfer {
        /// Master that takes over [default: the most caught-up one]
        #[arg(long, value_name = "ID")]
        to: Option<u64>,
    },
}

/// Layout of the local cluster.
#[derive(Debug, Clone, ClapArgs)]
pub struct DevArgs {
    /// Number of masters
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub masters: u16,
    /// Number of workers
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=99))]
    pub workers: u16,
    /// Directory of data and logs [default: a directory that is removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Master k serves gRPC on this plus k and HTTP on this plus 100 plus k; worker k listens on
    /// this plus 200 plus k
    #[arg(long, default_value_t = 7_000, value_parser = clap::value_parser!(u16).range(1_024..=65_000))]
    pub base_port: u16,
    /// Executor of the workers [default: process]
    #[arg(long, value_name = "EXECUTOR")]
    pub executor: Option<String>,
    /// Do without certificates: nothing is encrypted, and everybody on this machine may do everything
    #[arg(long)]
    pub insecure: bool,
}

/// Parses `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE"),
    }
}

#[cfg(test)]
mod tests;
