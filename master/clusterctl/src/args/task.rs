//! Commands about tasks.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use proto::output::OutputStream;
use proto::v1;

use super::{OrderArgs, pair};
use crate::secret_source::SecretSource;

/// Actions on tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Submit a command, or the tasks in a file
    Submit(Box<SubmitArgs>),
    /// List tasks, newest first
    List(ListArgs),
    /// Show one task with its attempts
    Show {
        /// Id of the task, as in t17
        task_id: String,
    },
    /// Explain why a task waits: which workers do not take it, and what would have to change
    Explain {
        /// Id of the task
        task_id: String,
    },
    /// Wait until tasks are finished
    Wait {
        /// Ids of the tasks
        #[arg(required = true)]
        task_ids: Vec<String>,
    },
    /// Cancel tasks: those that are named, or all that meet conditions
    Cancel(OrderArgs),
    /// Run failed or cancelled tasks again: those that are named, or all that meet conditions
    Retry {
        #[command(flatten)]
        order: OrderArgs,
        /// Tasks that have failed, as --state failed
        #[arg(long, group = "selection", group = "meant")]
        failed: bool,
        /// Tasks that were cancelled, as --state cancelled
        #[arg(long, group = "selection", group = "meant")]
        cancelled: bool,
    },
    /// Show the output of a task
    Logs(LogsArgs),
}

/// Task to submit.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("spec").multiple(true).conflicts_with("file"))]
#[command(group = clap::ArgGroup::new("source").required(true).args(["file", "command"]))]
pub struct SubmitArgs {
    /// File with one task or a list of them, as JSON; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Name for people
    #[arg(long, group = "spec")]
    pub name: Option<String>,
    /// Processors, with up to three decimals [default: 1]
    #[arg(long, group = "spec")]
    pub cpu: Option<f64>,
    /// Memory in MiB [default: 512]
    #[arg(long, group = "spec", value_name = "MIB")]
    pub memory_mb: Option<u64>,
    /// 0 to 100, higher first [default: 50]
    #[arg(long, group = "spec")]
    pub priority: Option<u32>,
    /// Environment variable; may be repeated
    #[arg(long, group = "spec", value_parser = pair, value_name = "KEY=VALUE")]
    pub env: Vec<(String, String)>,
    /// Environment variable whose value nobody is shown: NAME takes it from the own environment,
    /// NAME=@FILE from a file, without the newline at its end; may be repeated
    #[arg(long, group = "spec", value_name = "NAME|NAME=@FILE")]
    pub secret_env: Vec<SecretSource>,
    /// Label for queries; may be repeated
    #[arg(long = "label", group = "spec", value_parser = pair, value_name = "KEY=VALUE")]
    pub labels: Vec<(String, String)>,
    /// Number of failed attempts after which the task has failed [default: 3]
    #[arg(long, group = "spec", value_name = "COUNT")]
    pub max_attempts: Option<u32>,
    /// Longest time that one attempt may run, as in 90s or 2h
    #[arg(long, group = "spec", value_name = "DURATION")]
    pub run_timeout: Option<String>,
    #[command(flatten)]
    pub timing: TimingArgs,
    /// Only worker that may run the task
    #[arg(long, group = "spec", value_name = "WORKER_ID")]
    pub worker: Option<String>,
    /// Key of this submission: repeating it under the same key has no further effect
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait until the tasks are finished
    #[arg(long)]
    pub wait: bool,
    /// Show the output of the task while it runs, and wait for its end
    #[arg(long)]
    pub logs: bool,
    /// Program and its arguments, after --
    #[arg(last = true, group = "spec")]
    pub command: Vec<String>,
}

/// When the task may start, when it is too late for it, and how its failures are retried.
#[derive(Debug, Default, Args)]
pub struct TimingArgs {
    /// Time after its submission from which the task may start, as in 90s or 2h
    #[arg(long, group = "spec", value_name = "DURATION", conflicts_with = "not_before")]
    pub delay: Option<String>,
    /// Time before which the task does not start, as in 2030-01-31T12:00:00Z
    #[arg(long, group = "spec", value_name = "TIME")]
    pub not_before: Option<String>,
    /// Longest time that the task may be queued before it starts for the first time
    #[arg(long, group = "spec", value_name = "DURATION")]
    pub queue_timeout: Option<String>,
    /// Time by which the task must be over: a duration after the submission, or a time
    #[arg(long, group = "spec", value_name = "DURATION|TIME")]
    pub deadline: Option<String>,
    /// Wait after the first failure [default: 1s]
    #[arg(long, group = "spec", value_name = "DURATION")]
    pub retry_backoff: Option<String>,
    /// Factor by which each wait is longer than the one before [default: 2]
    #[arg(long, group = "spec", value_name = "FACTOR")]
    pub retry_factor: Option<f64>,
    /// Longest wait between attempts, up to 24h [default: 5m]
    #[arg(long, group = "spec", value_name = "DURATION")]
    pub retry_max_backoff: Option<String>,
    /// Largest fraction by which a wait is shortened at random, from 0 to 1 [default: 0]
    #[arg(long, group = "spec", value_name = "FRACTION")]
    pub retry_jitter: Option<f64>,
    /// Exit codes after which the task is not tried again, as in 2 or 64-78; may be repeated
    #[arg(long = "no-retry-exit-code", group = "spec", value_name = "CODE|FIRST-LAST")]
    pub no_retry_exit_codes: Vec<String>,
}

/// Selection of tasks.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only tasks in this state; may be repeated, or several with commas
    #[arg(long = "state", value_name = "STATE", value_delimiter = ',')]
    pub states: Vec<v1::TaskState>,
    /// Only tasks whose last attempt was on this worker
    #[arg(long, value_name = "WORKER_ID")]
    pub worker: Option<String>,
    /// Only tasks with this label; may be repeated
    #[arg(long = "label", value_name = "KEY[=VALUE]")]
    pub labels: Vec<String>,
    /// Only tasks whose names begin like this
    #[arg(long, value_name = "TEXT")]
    pub name_prefix: Option<String>,
    /// Only tasks of this priority
    #[arg(long)]
    pub priority: Option<u32>,
    /// Maximum number of tasks
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
}

/// Log to show.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Id of the task
    pub task_id: String,
    /// Follow the output until the task is finished, or the attempt if one is named
    #[arg(short, long)]
    pub follow: bool,
    /// Number of the attempt [default: the last one]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub attempt: u32,
    /// Only this stream
    #[arg(long, value_parser = stream())]
    pub stream: Option<OutputStream>,
    /// Only the last so many lines
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u64>,
}

fn stream() -> impl TypedValueParser<Value = OutputStream> {
    PossibleValuesParser::new(OutputStream::ALL.map(OutputStream::name))
        .try_map(|name| OutputStream::named(&name).ok_or("no such stream"))
}
