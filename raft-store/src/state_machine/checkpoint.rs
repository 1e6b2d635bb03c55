//! Takes snapshots while entries are applied.

use std::fs;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::RaftSnapshotBuilder;
use rocksdb::checkpoint::Checkpoint;
use uuid::Uuid;

use super::{RaftSnapshot, Shared, receive};
use crate::calls::Call;
use crate::error::StorageError;
use crate::files::{self, Directory};
use crate::rocks;
use crate::snapshot::SnapshotData;
use crate::state_db::{Position, snapshots_dir};
use crate::types::{SnapshotMeta, TypeConfig};

/// Pause of a builder after a failure, at first and at most: the obstacle, such as a full disk,
/// takes a person or a purge.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Treatment of a failed checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// The caller is told.
    Return,
    /// The checkpoint is tried again, because a running node needs no snapshot: without one it
    /// keeps its log.
    Repeat,
}

/// Takes one snapshot on request.
#[derive(Debug)]
pub struct SnapshotBuilder {
    /// Does not keep the store open while it waits.
    shared: Weak<Shared>,
    on_failure: OnFailure,
}

impl SnapshotBuilder {
    pub(crate) fn new(shared: &Arc<Shared>, on_failure: OnFailure) -> Self {
        Self { shared: Arc::downgrade(shared), on_failure }
    }

    async fn take_once(&self) -> Result<SnapshotData, StorageError> {
        let shared = self.shared.upgrade().ok_or(StorageError::ThreadEnded)?;
        let calls = shared.calls.clone();
        calls.run_blocking(Call::SnapshotTake, move || take_for_raft(&shared)).await
    }

    async fn take_at_last(&self) -> Result<SnapshotData, StorageError> {
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.take_once().await {
                Ok(data) => return Ok(data),
                Err(error) => error,
            };
            let Some(shared) = self.shared.upgrade() else { return Err(error) };
            shared.snapshots.on_not_taken();
            drop(shared);
            match self.on_failure {
                OnFailure::Return => return Err(error),
                OnFailure::Repeat => {}
            }
            let causes = crate::calls::describe(&error);
            tracing::warn!(error = causes, ?pause, "cannot take a snapshot, the log keeps growing");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Links the database's files into a directory of their own. All tables are flushed together, so
/// the checkpoint itself names its last entry: no apply has to wait for it.
pub(super) fn take(shared: &Shared) -> Result<SnapshotData, StorageError> {
    let parent = snapshots_dir(shared.root());
    fs::create_dir_all(&parent)?;
    let id = Uuid::new_v4().to_string();
    let directory = Directory::temporary(parent.join(&id));
    let database = shared.database();
    Checkpoint::new(database.database())?.create_checkpoint(directory.path())?;
    files::sync_dir(&parent)?;

    let position = Position::load(&rocks::open_state_read_only(directory.path())?)?;
    shared.on_durable(position.applied);
    let meta = SnapshotMeta { last_log_id: position.applied, last_membership: position.membership };
    Ok(SnapshotData::new(id, meta, position.cluster, directory, shared.calls.clone()))
}

/// Takes the snapshot that is sent to followers from now on.
fn take_for_raft(shared: &Shared) -> Result<SnapshotData, StorageError> {
    let data = take(shared)?;
    if let Err(error) = receive::clear_outdated(shared.root(), data.meta().last_log_id) {
        tracing::warn!(%error, "cannot remove the remains of an old transfer");
    }
    shared.snapshots.set_current(data.clone());
    Ok(data)
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot, io::Error> {
        let data = self.take_at_last().await?;
        tracing::info!(id = data.id(), last = ?data.meta().last_log_id, "snapshot taken");
        Ok(RaftSnapshot { meta: data.meta().clone(), snapshot: data })
    }
}
