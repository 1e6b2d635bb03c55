//! The command that watches events.

use clap::Args;

use super::pair;

/// Events to watch.
#[derive(Debug, Args)]
#[command(after_help = WATCH_HELP)]
pub struct WatchArgs {
    /// Topics: workers, tasks, schedules, jobs, cluster, telemetry [default: tasks if any are selected, otherwise all]
    #[arg(long, value_delimiter = ',', value_name = "TOPIC,...")]
    pub subscribe: Vec<String>,
    /// Types of events, as in `task_status` [default: all of the topics]
    #[arg(long = "type", value_delimiter = ',', value_name = "TYPE,...")]
    pub types: Vec<String>,
    /// Only events of this task; may be repeated
    #[arg(long = "task", value_delimiter = ',', value_name = "TASK_ID")]
    pub tasks: Vec<String>,
    /// Only events of tasks with this label; may be repeated
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
    pub labels: Vec<(String, String)>,
    /// Begin after the entry of the log with this index, which an event had [default: now]
    #[arg(long, value_name = "INDEX")]
    pub from_index: Option<u64>,
}

const WATCH_HELP: &str = "Runs until Ctrl-C, through changes of leaders. Prints lines of JSON, the events of \
    /ws, unless a terminal shows them; -o decides. --timeout is the longest time without any master.";
