//! Takes snapshots beside the applying of entries.

use std::fs;
use std::io;
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;
use rocksdb::checkpoint::Checkpoint;
use uuid::Uuid;

use super::SnapshotData;
use crate::error::StorageError;
use crate::files::{self, Directory};
use crate::rocks;
use crate::state_machine::database::{Position, StateDb, snapshots_dir};
use crate::state_machine::{RaftSnapshot, Shared};
use crate::types::{SnapshotMeta, TypeConfig};

/// Takes one snapshot when asked.
#[derive(Debug)]
pub struct SnapshotBuilder {
    shared: Arc<Shared>,
    database: Arc<StateDb>,
}

impl SnapshotBuilder {
    pub(crate) const fn new(shared: Arc<Shared>, database: Arc<StateDb>) -> Self {
        Self { shared, database }
    }

    /// Links the database's files into a directory of their own. All tables are flushed together,
    /// so the checkpoint itself says up to which entry it goes: no apply has to wait for it.
    fn take(&self) -> Result<SnapshotData, StorageError> {
        let parent = snapshots_dir(self.shared.root());
        fs::create_dir_all(&parent)?;
        let id = Uuid::new_v4().to_string();
        let directory = Directory::temporary(parent.join(&id));
        Checkpoint::new(self.database.database())?.create_checkpoint(directory.path())?;
        files::sync_dir(&parent)?;

        let position = Position::load(&rocks::open_state_read_only(directory.path())?)?;
        self.shared.on_durable(position.applied);
        let meta =
            SnapshotMeta { last_log_id: position.applied, last_membership: position.membership };
        Ok(SnapshotData::new(id, meta, position.cluster, directory))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<RaftSnapshot, io::Error> {
        let (shared, database) = (Arc::clone(&self.shared), Arc::clone(&self.database));
        let work = move || Self { shared, database }.take();
        let taken =
            tokio::task::spawn_blocking(work).await.map_err(|_| StorageError::ThreadEnded)?;
        let data = taken.inspect_err(|error| self.shared.fatal.raise(&error.to_string()))?;
        self.shared.snapshots.set_current(data.clone());
        tracing::info!(id = data.id(), last = ?data.meta().last_log_id, "snapshot taken");
        Ok(RaftSnapshot { meta: data.meta().clone(), snapshot: data })
    }
}
