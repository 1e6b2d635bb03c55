//! Commands about workers, join tokens, settings and the mass-loss alarm.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::pair;

/// Actions on a worker.
#[derive(Debug, Subcommand)]
pub enum WorkerCommand {
    /// Register a worker, offline or not, or change its address and the named labels
    Register {
        /// Name of the worker
        worker_id: String,
        /// Address of the worker's gRPC server
        #[arg(value_name = "HOST:PORT")]
        address: String,
        /// Label for constraints of tasks; may be repeated
        #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE")]
        labels: Vec<(String, String)>,
    },
    /// Unregister a worker; its attempts are stopped and their tasks queued again
    Unregister {
        /// Name of the worker
        worker_id: String,
    },
    /// Remove a worker that will not come back, revoke its certificates and free its name
    Forget {
        /// Name of the worker
        worker_id: String,
        /// Forget it although it is active
        #[arg(long)]
        force: bool,
    },
    /// Show one worker
    Show {
        /// Name of the worker
        worker_id: String,
    },
    /// Place no new tasks on a worker; its attempts go on
    Cordon {
        /// Name of the worker
        worker_id: String,
    },
    /// Place tasks on a worker again; ends a cordon or a drain
    Uncordon {
        /// Name of the worker
        worker_id: String,
    },
    /// Empty a worker: place no new tasks on it, and let its attempts finish
    Drain(DrainArgs),
    /// Reconnect inactive and unreachable workers now, before the monitor's next round
    #[command(after_help = "Outcomes: reached (and registered), not-registered (reached, but it \
        did not register: its own log says why), unreachable (still offline), refused (somebody \
        else answers there, or the worker obeys a newer leader), active (nothing to do), \
        no-address. A worker that is named and not reached is an error (exit code 1).")]
    Reconnect {
        /// Name of the worker [default: every inactive worker]
        worker_id: Option<String>,
    },
    /// Set and remove labels
    #[command(after_help = "Examples:\n  clusterctl worker label worker-1 zone=b gpu=a100\n  \
        clusterctl worker label worker-1 old-")]
    Label(LabelArgs),
    /// Show the history of a worker, oldest first
    History {
        /// Name of the worker
        worker_id: String,
    },
    /// Show the usage of a worker, now and in the past
    Metrics {
        /// Name of the worker
        worker_id: String,
    },
}

/// A drain, and whether to wait for its end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  clusterctl worker drain worker-1 --deadline 10m --wait\n  \
    clusterctl worker drain worker-1 --cancel\n\nWith --wait, the global --timeout bounds the \
    waiting (exit code 7) and leaves the drain as it is.")]
pub struct DrainArgs {
    /// Name of the worker
    pub worker_id: String,
    /// Time after which the remaining attempts are stopped and their tasks queued again [default:
    /// never]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub deadline: Option<Duration>,
    /// Wait until the worker is empty
    #[arg(long)]
    pub wait: bool,
    /// Cancel the drain: the worker is given tasks again
    #[arg(long, conflicts_with_all = ["deadline", "wait"])]
    pub cancel: bool,
}

/// Labels to change.
#[derive(Debug, Args)]
pub struct LabelArgs {
    /// Name of the worker
    pub worker_id: String,
    /// KEY=VALUE sets a label, KEY- removes it
    #[arg(required = true, value_parser = label_change, value_name = "KEY=VALUE|KEY-")]
    pub changes: Vec<LabelChange>,
}

/// Change of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChange {
    /// Sets the label to this value.
    Set(String, String),
    /// Removes the label.
    Remove(String),
}

/// Actions on join tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it: workers present it with --join-token, and it is shown only once
    Create {
        /// Name of the token [default: random]
        name: Option<String>,
        /// Time for which the token admits workers [default: until it is revoked]
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        ttl: Option<Duration>,
        /// Purpose of the token, for people
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
    },
    /// List the tokens, without their secrets
    List,
    /// Revoke a token; workers that it admitted stay
    Revoke {
        /// Name of the token: the part before the dot
        name: String,
    },
}

/// Actions on the settings of the cluster.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show the settings; the value alone if one is named
    Get {
        /// Path of a setting, as in the configuration file of a master [default: all]
        key: Option<String>,
    },
    /// Change settings, all that are named or none; masters and workers go on meanwhile
    #[command(after_help = "Examples:\n  clusterctl config set worker.lease 10m\n  \
        clusterctl config set worker.heartbeat_interval 2s worker.heartbeat_timeout 15s\n\nWhat a \
        worker was granted stays until it registers again.")]
    Set {
        /// Path of a setting and its new value, in turn
        #[arg(required = true, num_args = 2.., value_name = "KEY VALUE")]
        changes: Vec<String>,
        /// Change nothing unless the last change of any setting has this index
        #[arg(long, value_name = "INDEX")]
        if_index: Option<u64>,
    },
}

/// Actions on a mass-loss alarm.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum MassLossCommand {
    /// Confirm that the workers are gone for good: their tasks are queued again at once, not slowly
    Acknowledge,
}

/// Parses `KEY=VALUE` or `KEY-`.
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
