//! Commands about backups.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// Restore a backup into an empty data directory, as one of the first members of a cluster of
    /// any size; needs no cluster
    #[command(
        after_help = "Run it once for each first member, with the same FILE, cluster name and \
        list, and then start the masters. The cluster keeps its id, so its workers register again. \
        Masters of its past are refused. Where masters use TLS, --cacert, --cert and --key name a \
        master's files, with which they are asked.\n\nExample:\n  clusterctl snapshot restore prod.backup \
        --data-dir /var/lib/cloudai --node-id 1 --cluster-name prod \\\n    --initial-cluster \
        1=10.0.0.1:50051,2=10.0.0.2:50051,3=10.0.0.3:50051"
    )]
    Restore(RestoreArgs),
    /// Show what a backup holds, and check every byte of it; needs no cluster
    Inspect {
        /// File to read; - for standard input
        file: PathBuf,
    },
}

/// A restoration, which the program `master` performs.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// File to read; - for standard input
    pub file: PathBuf,
    /// Data directory of the member; empty, or not there yet
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Number of the member
    #[arg(long, value_name = "ID")]
    pub node_id: u64,
    /// Name of the cluster
    #[arg(long, value_name = "NAME")]
    pub cluster_name: String,
    /// First members, the same for each of them
    #[arg(long, value_name = "ID=HOST:PORT,…")]
    pub initial_cluster: String,
    /// Number of the generation that begins; greater than that of any cluster that was restored from
    /// this backup before [default: the one after that of the backup]
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u32>,
    /// Restore although masters of another generation answer at the addresses of the list, and end them
    #[arg(long)]
    pub force: bool,
}
