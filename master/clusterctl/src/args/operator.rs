//! The commands about workers, join tokens and the alarm of a mass loss.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::pair;

/// Actions on a worker.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Put a worker on the registry, offline or not, or change its address and the labels named
    Register {
        /// The worker's name
        worker_id: String,
        /// Address of the worker's gRPC server
        #[arg(value_name = "HOST:PORT")]
        address: String,
        /// A label that constraints are matched against; may be repeated
        #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
        labels: Vec<(String, String)>,
    },
    /// Take a worker off the registry; what it runs is ended, then queued again
    Unregister {
        /// The worker's name
        worker_id: String,
    },
    /// Show one worker
    Show {
        /// The worker's name
        worker_id: String,
    },
    /// Place no new tasks on a worker; what runs there goes on
    Cordon {
        /// The worker's name
        worker_id: String,
    },
    /// Place tasks on a worker again; ends a cordon or a drain
    Uncordon {
        /// The worker's name
        worker_id: String,
    },
    /// Empty a worker: no new tasks, and what runs there comes to its end
    Drain(DrainArgs),
    /// Have the leader go to inactive and unreachable workers now, not at the monitor's next round
    #[command(after_help = "Outcomes: reached (and registered), not-registered (reached, but it \
        did not register: its own log says why), unreachable (still offline), refused (somebody \
        else answers there, or the worker obeys a newer leader), active (nothing to do), \
        no-address. A worker that is named and not reached is an error (exit code 1).")]
    Reconnect {
        /// The worker's name [default: every inactive worker]
        worker_id: Option<String>,
    },
    /// Set and remove labels
    #[command(after_help = "Examples:\n  clusterctl worker label worker-1 zone=b gpu=a100\n  \
        clusterctl worker label worker-1 old-")]
    Label(LabelArgs),
    /// Show what happened to a worker, oldest first
    History {
        /// The worker's name
        worker_id: String,
    },
    /// Show how busy a worker is and was
    Metrics {
        /// The worker's name
        worker_id: String,
    },
}

/// A drain, and whether to wait for its end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  clusterctl worker drain worker-1 --deadline 10m --wait\n  \
    clusterctl worker drain worker-1 --cancel\n\nWith --wait, the global --timeout bounds the \
    waiting (exit code 7) and leaves the drain as it is.")]
pub struct DrainArgs {
    /// The worker's name
    pub worker_id: String,
    /// After so long, stop what still runs there and queue it again [default: never]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub deadline: Option<Duration>,
    /// Wait until nothing runs there any more
    #[arg(long)]
    pub wait: bool,
    /// Take the drain back, even half way: the worker is given tasks again
    #[arg(long, conflicts_with_all = ["deadline", "wait"])]
    pub cancel: bool,
}

/// Labels to change.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// The worker's name
    pub worker_id: String,
    /// KEY=VALUE sets a label, KEY- removes it
    #[arg(required = true, value_parser = label_change, value_name = "KEY=VALUE|KEY-")]
    pub changes: Vec<LabelChange>,
}

/// Change of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// It gets this value.
    Set(String, String),
    /// It goes.
    Remove(String),
}

/// Actions on join tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print what a worker presents (--join-token): it is shown once
    Create {
        /// A name for it [default: drawn]
        name: Option<String>,
        /// For how long it admits workers [default: until it is revoked]
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        ttl: Option<Duration>,
        /// Purpose of the token, for people
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// List the tokens, without their secrets
    List,
    /// Take a token back; workers that it admitted stay
    Revoke {
        /// The token's name: what stands before the dot
        name: String,
    },
}

/// Actions on a mass-loss alarm.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum MassLossCommand {
    /// The workers are gone for good: queue their tasks again at once, not slowly
    Acknowledge,
}

/// Reads `KEY=VALUE` or `KEY-`.
fn label_change(text: &str) -> Result<LabelChange, &'static str> {
    if let Ok((key, value)) = pair(text) {
        return Ok(LabelChange::Set(key, value));
    }
    match text.strip_suffix('-') {
        Some(key) if !key.is_empty() && !key.contains('=') => {
            Ok(LabelChange::Remove(key.to_owned()))
        }
        Some(_) | None => Err("expected KEY=VALUE to set it or KEY- to remove it"),
    }
}
