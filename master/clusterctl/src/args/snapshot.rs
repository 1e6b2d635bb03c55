//! Commands about backups.

use std::path::PathBuf;

use clap::Subcommand;

/// Actions on a backup.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Save a backup of everything that the cluster has acknowledged
    #[command(after_help = "A follower that is close to the leader sends it, or the leader where \
        there is none. The file appears under its name when it is whole and on the disk.")]
    Save {
        /// File to write; - for standard output
        file: PathBuf,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Show what a backup holds, and check every byte of it; needs no cluster
    Inspect {
        /// File to read; - for standard input
        file: PathBuf,
    },
}
