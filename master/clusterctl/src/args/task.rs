//! Commands about tasks.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use proto::output::OutputStream;
use proto::v1;

use super::{OrderArgs, SubmitArgs};

/// Actions on tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Submit a command, or the tasks in files
    Submit(Box<SubmitArgs>),
    /// List tasks, newest first
    List(ListArgs),
    /// Show one task with its attempts
    Show {
        /// Id of the task, as in t17
        task_id: String,
    },
    /// Write the result of a finished task to standard output, as it is
    Result {
        /// Id of the task
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
    /// Run failed, cancelled or aborted tasks again: those that are named, or all that meet conditions
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
    /// Show the list again and again, until Ctrl-C: anew on a terminal, elsewhere when it has changed
    #[arg(long)]
    pub watch: bool,
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
