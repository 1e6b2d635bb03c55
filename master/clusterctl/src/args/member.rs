//! Commands about the members of the cluster.

use clap::Subcommand;

/// Actions on members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the members; without a leader, as far as the master that answers knows
    List,
    /// Add the master that waits at an address: it is sent everything, and gets a vote when it is close
    #[command(
        after_help = "Start the master first, with an empty data directory:\n  master --node-id \
        4 --cluster-name prod --join 10.0.0.1:50051 ...\nIt joins by itself, and this command has nothing \
        to do, unless --join names nobody of the cluster any more."
    )]
    Add {
        /// Name of the master
        name: String,
        /// Address of its gRPC server
        #[arg(value_name = "HOST:PORT")]
        address: String,
    },
    /// Give a member a vote now, once it has caught up; the autopilot does so by itself
    Promote {
        /// Name of the member
        name: String,
    },
    /// Remove a member; a leader hands over first
    Remove {
        /// Name of the member
        name: String,
        /// Do not check that enough of the voters that are left answer; while they do not, the change is
        /// not committed and the cluster has no leader
        #[arg(long)]
        force: bool,
    },
    /// Give the vote of one member to another that has caught up, in one step
    Replace {
        /// Name of the member that leaves
        old: String,
        /// Name of the member that gets its vote
        new: String,
    },
}
