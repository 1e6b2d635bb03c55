//! Applies committed entries to the replicated state, in memory and in RocksDB.
//!
//! **Invariant:** what one call applies reaches RocksDB in batches that carry their last index, so
//! that the stored state always is the state at one index. There is no WAL: what a crash loses is
//! applied again, because the log is purged only below what is durable here.

mod batch;
pub(crate) mod database;
mod feed;
mod reader;
mod shared;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_state::{Change, LogIndex, Proposal};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, OptionalSend};

use self::batch::Batch;
use self::database::StateDb;
pub use self::feed::{AppliedBatch, Published};
pub use self::reader::StateReader;
pub(crate) use self::shared::Shared;
use crate::codec;
use crate::error::StorageError;
use crate::snapshot::{SnapshotBuilder, SnapshotData, install};
use crate::types::{AppliedAt, LogId, Outcome, SnapshotMeta, StoredMembership, TypeConfig};

/// Entries applied in one batch: enough to spread the batch's fixed cost thin, few enough that
/// readers wait for the state lock for some milliseconds only.
const BATCH_ENTRIES_MAX: usize = 1024;

/// A snapshot as openraft passes it around.
pub type RaftSnapshot =
    Snapshot<CommittedLeaderId<u64>, u64, openraft::impls::BasicNode, SnapshotData>;

/// Told how long each batch of entries took to apply, until it was stored and answered.
pub type ApplyObserver = Arc<dyn Fn(Duration) + Send + Sync>;

/// The replicated state as openraft drives it.
pub struct StateMachine {
    shared: Arc<Shared>,
    /// The one in use; [`Shared`] has it too, for readers.
    database: Arc<StateDb>,
    applied: Option<LogId>,
    membership: StoredMembership,
    observer: Option<ApplyObserver>,
}

impl fmt::Debug for StateMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateMachine").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// An entry that is about to be applied.
struct Step {
    id: LogId,
    action: Action,
    responder: Option<ApplyResponder<TypeConfig>>,
}

enum Action {
    Nothing,
    Membership(StoredMembership),
    Command(Proposal),
}

impl Step {
    fn new((entry, responder): EntryResponder<TypeConfig>) -> Result<Self, StorageError> {
        let id = entry.log_id;
        let action = match entry.payload {
            EntryPayload::Blank => Action::Nothing,
            EntryPayload::Normal(payload) => Action::Command(codec::decode_proposal(&payload)?),
            EntryPayload::Membership(membership) => {
                Action::Membership(StoredMembership::new(Some(id), membership))
            }
        };
        Ok(Self { id, action, responder })
    }
}

impl StateMachine {
    pub(crate) fn new(
        shared: Arc<Shared>,
        database: Arc<StateDb>,
        (applied, membership): (Option<LogId>, StoredMembership),
        observer: Option<ApplyObserver>,
    ) -> Self {
        Self { shared, database, applied, membership, observer }
    }

    /// Applies some entries as one batch. On return they are in memory and in RocksDB, and whoever
    /// waited for them has been told.
    fn apply_steps(&mut self, steps: Vec<Step>) -> Result<(), StorageError> {
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Ok(()) };
        let (first, last) = (first.id, last.id);
        let began_at = Instant::now();

        let mut changes = Vec::with_capacity(steps.len());
        let mut answers = Vec::with_capacity(steps.len());
        let mut membership = None;
        {
            let mut memory = self.shared.begin(last);
            for step in steps {
                let outcome = match step.action {
                    Action::Nothing => Outcome(None),
                    Action::Membership(stored) => {
                        membership = Some(stored);
                        Outcome(None)
                    }
                    Action::Command(proposal) => {
                        let index = LogIndex(step.id.index);
                        let applied = memory.state.apply(index, proposal);
                        memory.keep_finished(&applied.changes);
                        changes.extend(applied.changes.into_iter().map(|change| (index, change)));
                        Outcome(Some(applied.reply))
                    }
                };
                answers.extend(step.responder.map(|responder| (responder, outcome)));
            }
        }
        self.store(last, membership, &changes)?;
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        self.shared.publish(first, last, changes);
        if let Some(observer) = &self.observer {
            observer(began_at.elapsed());
        }
        Ok(())
    }

    fn store(
        &mut self,
        last: LogId,
        membership: Option<StoredMembership>,
        changes: &[(LogIndex, Change)],
    ) -> Result<(), StorageError> {
        let database = self.database.database();
        let mut batch = Batch::new(database)?;
        batch.put_applied(last)?;
        if let Some(membership) = &membership {
            batch.put_membership(membership)?;
        }
        batch.put_changes(changes)?;
        batch.write()?;
        self.applied = Some(last);
        self.membership = membership.unwrap_or_else(|| std::mem::take(&mut self.membership));
        self.shared.on_stored(last);
        Ok(())
    }

    /// Storage that has failed once must not go on, or this replica would diverge.
    fn fatal(&self, error: StorageError) -> io::Error {
        let error = io::Error::from(error);
        self.shared.fatal.raise(&error.to_string());
        error
    }

    async fn install(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> Result<(), StorageError> {
        let root = self.shared.root().to_owned();
        let (source, expected) = (data.clone(), meta.clone());
        let work = move || install::install(&root, source.path(), &expected);
        let installed = tokio::task::spawn_blocking(work).await;
        let (database, restored) = installed.map_err(|_| StorageError::ThreadEnded)??;

        self.applied = restored.applied;
        self.membership = restored.membership.clone();
        let database = Arc::new(database);
        let old = std::mem::replace(&mut self.database, Arc::clone(&database));
        self.shared.replace(database, restored);
        old.give_up();
        self.shared.snapshots.set_current(data);
        tracing::info!(applied = ?AppliedAt::from(self.applied), "snapshot installed");
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut steps = Vec::new();
        while let Some(entry) = entries.try_next().await? {
            steps.push(Step::new(entry).map_err(|error| self.fatal(error))?);
            if steps.len() >= BATCH_ENTRIES_MAX {
                let steps = std::mem::take(&mut steps);
                self.apply_steps(steps).map_err(|error| self.fatal(error))?;
            }
        }
        self.apply_steps(steps).map_err(|error| self.fatal(error))
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<SnapshotBuilder> {
        Some(self.get_snapshot_builder().await)
    }

    /// The builder takes its checkpoint beside further applies, and then asks the checkpoint up to
    /// where it goes: so nothing waits.
    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder::new(Arc::clone(&self.shared), Arc::clone(&self.database))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        self.install(meta, snapshot).await.map_err(|error| self.fatal(error))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        let current = self.shared.snapshots.current();
        Ok(current.map(|data| Snapshot { meta: data.meta().clone(), snapshot: data }))
    }
}
