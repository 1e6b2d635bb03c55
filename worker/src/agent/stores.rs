//! Opens the data directory: identity, results, logs and records of processes.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{FinishedAttempt, Incarnation};

use super::{AgentError, IdentityError};
use crate::config::{Config, RetentionConfig};
use crate::disk::Disk;
use crate::identity::Identity;
use crate::leftovers::{Leftovers, ProcessRecords};
use crate::logs::Retention;
use crate::processes::{HomeId, Whose};
use crate::specs::disk_bytes;
use crate::spool::Spool;

/// Divisor of the disk's size for the default bound on the remains of ended attempts: a tenth.
const RETENTION_DISK_SHARE: u64 = 10;
/// The data directory holds secrets of tasks.
const DIR_MODE: u32 = 0o700;

/// The opened parts of the data directory.
pub(super) struct Stores {
    pub(super) identity: Arc<Identity>,
    pub(super) home: HomeId,
    pub(super) records: ProcessRecords,
    /// Processes of earlier starts that cannot be ended, and the reason.
    pub(super) leftovers: Option<(Leftovers, String)>,
    pub(super) retention: Retention,
    pub(super) disk: Arc<Disk>,
    pub(super) spool: Spool,
    pub(super) unconfirmed: Vec<FinishedAttempt>,
}

/// Leftovers die before anything else happens: from the registration on, their tasks belong to
/// other workers.
pub(super) fn open_stores(config: &Config) -> Result<Stores, AgentError> {
    let incarnation = Incarnation(uuid::Uuid::new_v4().as_u128());
    let data_dir = &config.data_dir;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(data_dir)
        .map_err(|source| IdentityError::Io { path: data_dir.clone(), source })?;

    let identity = Identity::open(data_dir, &config.worker_id, incarnation)?;
    let home = HomeId::of(data_dir)
        .map_err(|source| IdentityError::Io { path: data_dir.clone(), source })?;

    let records = ProcessRecords::open(&running_dir(config))?;
    let mut leftovers = records.leftovers(Whose::Earlier(home, incarnation))?;
    let alive = leftovers.end(Duration::ZERO).err().map(|error| (leftovers, error.to_string()));
    identity.begin_incarnation()?;

    let low_water_bytes = config.limits.disk_free_mb_min.saturating_mul(1 << 20);
    let disk = Arc::new(Disk::open(data_dir, low_water_bytes));
    let (spool, unconfirmed) =
        Spool::open(&data_dir.join("spool"), Arc::clone(&disk)).map_err(AgentError::Spool)?;

    Ok(Stores {
        identity: Arc::new(identity),
        home,
        records,
        leftovers: alive,
        retention: retention(config),
        disk,
        spool,
        unconfirmed,
    })
}

/// Returns the directory of the records of process groups.
pub(super) fn running_dir(config: &Config) -> PathBuf {
    config.data_dir.join("running")
}

fn retention(config: &Config) -> Retention {
    let RetentionConfig { age, attempts: attempts_max, bytes } = config.retention;
    let bytes_max = bytes.unwrap_or_else(|| disk_bytes(&config.data_dir) / RETENTION_DISK_SHARE);
    Retention { age, attempts_max, bytes_max }
}
