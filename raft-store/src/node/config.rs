//! Configuration of replication, and its translation for openraft.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AutopilotSettings, MasterId, millis};
use openraft::SnapshotPolicy;
use proto::channel::Dialer;

use crate::clock::WallClock;
use crate::error::StartError;
use crate::propose::ProposalBounds;
use crate::retention::LogBounds;

/// Configuration of replication.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Name of this master. It stays when the data directory is replaced by an empty one.
    pub id: MasterId,
    /// Name of the cluster, checked on every call between masters.
    pub cluster_name: String,
    /// First members, the same on each of them: together they found the cluster, or, without data,
    /// join the one that a member has. Ignored by a node that has data.
    pub initial_cluster: BTreeMap<MasterId, String>,
    /// `host:port` of masters of the cluster to join. Ignored by a node that has data.
    pub join: Vec<String>,
    /// `host:port` under which other masters reach this one.
    pub grpc_address: String,
    /// `host:port` of this master's HTTP server for clients; shown in the status.
    pub http_address: String,
    /// Zone that this master is in: a quorum should not depend on one.
    pub zone: Option<String>,
    /// Interval between heartbeats of the leader.
    pub heartbeat_interval: Duration,
    /// Range of the silence after which a follower asks for votes, counted from the end of the
    /// leader's lease, which is its upper end.
    pub election_timeout: (Duration, Duration),
    /// Bounds of what the autopilot does.
    pub autopilot: AutopilotSettings,
    /// Bounds of the log, and the pace of snapshots.
    pub log: LogBounds,
    /// Bounds of pending proposals.
    pub bounds: ProposalBounds,
    /// Opens connections to other masters.
    pub dialer: Dialer,
    /// This master's wall clock.
    pub wall: Arc<dyn WallClock>,
}

pub(super) fn raft_config(config: &NodeConfig) -> Result<openraft::Config, StartError> {
    openraft::Config {
        cluster_name: config.cluster_name.clone(),
        heartbeat_interval: millis(config.heartbeat_interval),
        election_timeout_min: millis(config.election_timeout.0),
        election_timeout_max: millis(config.election_timeout.1),
        // `retention` decides about both, by bytes too.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // A follower is sent a snapshot only when the entries that it needs are gone.
        replication_lag_threshold: u64::MAX,
        // Snapshots are bounded by progress, not by time: see `snapshot`.
        install_snapshot_timeout: 600_000,
        enable_pre_vote: Some(true),
        // A restarted leader's log may be behind: it stands for election like any other.
        enable_leader_restore: Some(false),
        // A log never goes back: an empty directory is another node, and one that has lost a part
        // does not start. See `guard`.
        allow_log_reversion: Some(false),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|error| StartError::Config(error.to_string()))
}
