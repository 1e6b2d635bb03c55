//! Commands about contexts.

use clap::{Args, Subcommand};

/// A login to a cluster.
#[derive(Debug, Args)]
#[command(
    after_help = "The cluster is asked as whom it sees the caller, and nothing is kept unless it answers. \
    The context holds the endpoints and the paths of the files; a token from standard input (--token-file \
    -), from a pipe or from CLUSTERCTL_TOKEN is kept in it.\n\nExample:\n  clusterctl login prod \
    --endpoints 10.0.0.1:50051,10.0.0.2:50051 --cacert ca.crt --token-file ada.token"
)]
pub struct LoginArgs {
    /// Name of the context, which counts from then on
    pub name: String,
}

/// Actions on contexts.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List the contexts, without secrets
    List,
    /// Let a context count when none is named
    Use {
        /// Name of the context
        name: String,
    },
    /// Show a context, without secrets
    Show {
        /// Name of the context [default: the one in use]
        name: Option<String>,
    },
    /// Delete a context
    Delete {
        /// Name of the context
        name: String,
    },
}
