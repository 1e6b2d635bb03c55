//! Summary of a backup: everything about it that is worth knowing without opening its files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Summary of a backup. Later releases may add to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Configured name of the cluster.
    pub cluster_name: String,
    /// Id of the cluster, a UUID; absent if no leader had fixed it.
    pub cluster_id: Option<String>,
    /// Number of its generation: 0 is the first, and each restoration begins another.
    pub generation: u32,
    /// Number that tells the generation apart from others that continue the same one, in hex.
    pub generation_id: String,
    /// Feature level of the cluster.
    pub level: u8,
    /// Last log entry that the backup covers; absent if there was none.
    pub index: Option<u64>,
    /// Term of that entry.
    pub term: Option<u64>,
    /// Log time of the state (RFC 3339, UTC).
    pub log_time: String,
    /// Time at which it was taken, by the clock of the master (RFC 3339, UTC).
    pub taken_at: String,
    /// Master that took it.
    pub master: u64,
    /// Version of that master's program.
    pub version: String,
    /// Members of the cluster.
    pub members: Vec<BackupMember>,
    /// Number of live tasks in each state, without zeros.
    pub tasks: BTreeMap<String, u64>,
    /// Number of finished tasks.
    pub finished_tasks: u64,
    /// Number of registered workers.
    pub workers: u64,
    /// Number of join tokens.
    pub tokens: u64,
    /// Number of idempotency keys.
    pub idempotency_keys: u64,
    /// Bytes of all files together.
    pub data_bytes: u64,
}

/// A member of the cluster at the time of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupMember {
    pub id: u64,
    /// `host:port` of its gRPC server.
    pub address: String,
    /// True if it counted in a quorum.
    pub voter: bool,
}
