//! Commands about schedules.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proto::v1;

use super::{SpecArgs, TimingArgs};
use crate::task_file::TaskFormat;

/// Actions on schedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Create a schedule, or replace it
    Create(Box<CreateScheduleArgs>),
    /// List the schedules
    List,
    /// Show one schedule with its latest runs
    Show {
        /// Name of the schedule
        name: String,
    },
    /// Show the next times of a schedule, with the day of the week
    Next {
        /// Name of the schedule
        name: String,
        /// Number of times
        #[arg(short = 'n', long, default_value_t = 5)]
        count: u32,
    },
    /// Start a run at once; the times of the schedule stay as they are
    Run {
        /// Name of the schedule
        name: String,
    },
    /// Start nothing until the schedule is resumed
    Pause {
        /// Name of the schedule
        name: String,
    },
    /// Let a paused schedule go on; what came due meanwhile starts, or is missed, by its catch-up window
    Resume {
        /// Name of the schedule
        name: String,
    },
    /// Delete a schedule; the tasks of its runs stay
    Delete {
        /// Name of the schedule
        name: String,
    },
}

/// Schedule to create, with its task as `task submit` takes it.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("source").required(true).multiple(true).args(["files", "command"]))]
pub struct CreateScheduleArgs {
    /// Name of the schedule
    #[arg(value_name = "NAME")]
    pub schedule: String,
    /// Cron expression, as in '30 2 * * MON-FRI', '@daily' or '@every 10m'
    #[arg(long, value_name = "EXPRESSION")]
    pub cron: String,
    /// Time zone of the expression, as in Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Fate of a run whose predecessor is not over.
    #[arg(
        long,
        value_name = "POLICY",
        help = "Fate of a run whose predecessor is not over: skip, buffer_one or allow [default: skip]"
    )]
    pub overlap: Option<v1::ScheduleOverlap>,
    /// Longest time by which a run may be late, from 10s to a year [default: 1h]
    #[arg(long, value_name = "DURATION")]
    pub catch_up_window: Option<String>,
    /// Start nothing until the schedule is resumed
    #[arg(long)]
    pub paused: bool,
    /// Replace the schedule of that name; what is known of its runs stays
    #[arg(long)]
    pub replace: bool,
    /// File with the task; - is standard input. Flags count before what it says
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Form of the file [default: as its name tells; standard input is JSON or YAML]
    #[arg(long, value_enum, requires = "files")]
    pub format: Option<TaskFormat>,
    #[command(flatten)]
    pub spec: SpecArgs,
    #[command(flatten)]
    pub timing: TimingArgs,
}
