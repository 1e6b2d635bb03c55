//! Configuration of replication, and its translation for openraft.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{MasterId, millis};
use openraft::SnapshotPolicy;

use crate::clock::WallClock;
use crate::error::StartError;
use crate::propose::ProposalBounds;
use crate::retention::LogBounds;

/// Configuration of replication.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Raft's node id. It stays when the data directory is replaced by an empty one.
    pub id: MasterId,
    /// Checked on every call between masters.
    pub cluster_name: String,
    /// The first members, the same on each of them: together they found the cluster. Ignored by a
    /// node that has data.
    pub initial_cluster: BTreeMap<MasterId, String>,
    /// `host:port` where clients reach this master's HTTP server; shown in the status.
    pub http_address: String,
    /// Between two heartbeats of the leader.
    pub heartbeat_interval: Duration,
    /// Silence of the leader after which a follower asks for votes, drawn from this range after
    /// the leader's lease (the upper end) is over.
    pub election_timeout: (Duration, Duration),
    /// When snapshots are made, and what of the log is kept.
    pub log: LogBounds,
    /// Bounds of what is under way.
    pub bounds: ProposalBounds,
    /// This master's wall clock.
    pub wall: Arc<dyn WallClock>,
}

pub(super) fn raft_config(config: &NodeConfig) -> Result<openraft::Config, StartError> {
    openraft::Config {
        cluster_name: config.cluster_name.clone(),
        heartbeat_interval: millis(config.heartbeat_interval),
        election_timeout_min: millis(config.election_timeout.0),
        election_timeout_max: millis(config.election_timeout.1),
        // Both are decided in `retention`, by bytes too.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // A follower is sent a snapshot only when the log it needs is gone.
        replication_lag_threshold: u64::MAX,
        // Snapshots are bounded by progress, not by time: see `snapshot`.
        install_snapshot_timeout: 600_000,
        enable_pre_vote: Some(true),
        // A restarted leader's log may be behind: it stands for election like any other.
        enable_leader_restore: Some(false),
        // A master whose disk was replaced comes back with nothing, and is sent all of it again. One
        // that has lost a part does not start: see `guard`.
        allow_log_reversion: Some(true),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|error| StartError::Config(error.to_string()))
}
