//! Commands about many tasks at once: which are meant, and the jobs that carry them out.

use clap::{Args, Subcommand};
use proto::v1;

/// Actions on jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List the jobs that are under way, and the last ones that have ended
    List,
    /// Show one job
    Show {
        /// Id of the job, as in j4711
        job_id: String,
    },
    /// Wait until a job has ended
    Wait {
        /// Id of the job
        job_id: String,
    },
}

/// Tasks that an order is about: those that are named, or all that meet conditions.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("selection").multiple(true).conflicts_with("task_ids"))]
#[command(group = clap::ArgGroup::new("meant").multiple(true).required(true))]
pub struct OrderArgs {
    /// Ids of the tasks
    #[arg(group = "meant")]
    pub task_ids: Vec<String>,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// Conditions on tasks, all of which must hold.
#[derive(Debug, Default, Args)]
pub struct SelectionArgs {
    /// Tasks in this state; may be repeated, or several with commas
    #[arg(long = "state", groups = ["selection", "meant"], value_name = "STATE", value_delimiter = ',')]
    pub states: Vec<v1::TaskState>,
    /// Tasks with this label; may be repeated
    #[arg(long = "label", groups = ["selection", "meant"], value_name = "KEY[=VALUE]")]
    pub labels: Vec<String>,
    /// Tasks whose last attempt was on this worker
    #[arg(long, groups = ["selection", "meant"], value_name = "WORKER_ID")]
    pub worker: Option<String>,
    /// Tasks whose names begin like this
    #[arg(long, groups = ["selection", "meant"], value_name = "TEXT")]
    pub name_prefix: Option<String>,
    /// Tasks of this priority
    #[arg(long, groups = ["selection", "meant"])]
    pub priority: Option<u32>,
    /// All tasks
    #[arg(long, groups = ["selection", "meant"])]
    pub all: bool,
}

/// Choices about the command itself.
#[derive(Debug, Default, Args)]
pub struct FollowArgs {
    /// Do not ask whether these tasks are meant
    #[arg(short, long)]
    pub yes: bool,
    /// Print the id of the job and leave it to the cluster
    #[arg(long)]
    pub no_wait: bool,
}

impl From<SelectionArgs> for v1::TaskSelection {
    fn from(args: SelectionArgs) -> Self {
        let SelectionArgs { states, labels, worker, name_prefix, priority, all } = args;
        let states = states.into_iter().map(i32::from).collect();
        Self { states, labels, worker, name_prefix, priority, all }
    }
}
