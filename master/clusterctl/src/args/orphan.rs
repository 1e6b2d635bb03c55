//! Commands about orphaned results.

use clap::Subcommand;

/// Actions on orphaned results.
#[derive(Debug, Subcommand)]
pub enum OrphanCommand {
    /// List them, oldest first
    #[command(
        after_help = "After a restoration from a backup, workers come back with attempts that \
        began after it was saved. Their ends change no task; they are listed here until they are \
        dropped. An attempt that still ran was stopped."
    )]
    List,
    /// Drop those that have been dealt with: all that are named, or none
    Drop {
        /// Ids of results, as in o17
        #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
        orphan_ids: Vec<String>,
        /// Drop all that are there when the command begins
        #[arg(long)]
        all: bool,
    },
}
