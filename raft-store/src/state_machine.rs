//! Applies committed entries to the replicated state, in memory and in RocksDB.
//!
//! **Invariant:** the entries of one call reach RocksDB in batches that carry their last index, so
//! that the stored state always is the state at one index. There is no WAL: entries that a crash
//! loses are applied again, because the log is purged only below the durable index.

mod checkpoint;
mod feed;
mod reader;
mod receive;
mod shared;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster_state::{Change, Command, Level, LogIndex, Proposal, Rejection};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{
    ApplyResponder, EntryResponder, RaftLogStorage, RaftStateMachine, Snapshot,
};
use openraft::vote::leader_id_std::CommittedLeaderId;
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use proto::limits::ByteBudget;
use rocksdb::checkpoint::Checkpoint;

use self::checkpoint::OnFailure;
pub use self::checkpoint::SnapshotBuilder;
pub use self::feed::{AppliedBatch, Published};
pub use self::reader::StateReader;
pub use self::receive::{ReceiveError, SnapshotInbox, SnapshotReceiver};
pub(crate) use self::shared::Shared;
use crate::calls::Call;
use crate::codec;
use crate::error::StorageError;
use crate::log_store::LogStore;
use crate::member_news;
use crate::snapshot::SnapshotData;
use crate::state_db::{Batch, StateDb};
use crate::types::{
    AppliedAt, Entry, LogId, MasterNode, NodeId, Outcome, Payload, SnapshotMeta, StoredMembership,
    TypeConfig, next_index,
};

/// Maximum number of entries in one batch: enough to spread the batch's fixed cost thin, few enough
/// that readers wait for the state lock for some milliseconds only.
const BATCH_ENTRIES_MAX: usize = 1024;

/// Maximum bytes of their payload: some milliseconds of decoding and applying.
const BATCH_PAYLOAD_BYTES: usize = 256 << 10;

/// Number of changes after which a batch ends: one entry may cause ten thousand, and ten of those
/// must not be made under one lock.
const BATCH_CHANGES_MAX: usize = 2_000;

/// A snapshot as openraft passes it around.
pub type RaftSnapshot = Snapshot<CommittedLeaderId<u64>, NodeId, MasterNode, SnapshotData>;

/// Observer of the time from the begin of each batch until it was stored and answered.
pub type ApplyObserver = Arc<dyn Fn(Duration) + Send + Sync>;

/// The replicated state as openraft drives it.
pub struct StateMachine {
    shared: Arc<Shared>,
    /// Database in use; [`Shared`] has it too, for readers.
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

#[expect(clippy::large_enum_variant, reason = "an action is performed and dropped: none is kept")]
enum Action {
    Nothing,
    Membership(StoredMembership),
    Command(Proposal),
    /// The entry holds no proposal. Every member finds that, and none may end for it: the entry
    /// would end each of them again at every start.
    Reject(Rejection),
}

impl Step {
    fn new((entry, responder): EntryResponder<TypeConfig>) -> Result<Self, StorageError> {
        let id = entry.log_id;
        let action = match entry.payload {
            EntryPayload::Blank => Action::Nothing,
            EntryPayload::Normal(payload) => Action::of_payload(id.index, &payload)?,
            EntryPayload::Membership(membership) => {
                Action::Membership(StoredMembership::new(Some(id), membership))
            }
        };
        Ok(Self { id, action, responder })
    }
}

impl Action {
    fn of_payload(index: u64, payload: &Payload) -> Result<Self, StorageError> {
        let (needed, decoded) = match codec::decode_proposal(payload) {
            Ok(proposal) => (needed_level(&proposal.command), Ok(proposal)),
            Err(error) => (error.needed_level(), Err(error)),
        };
        // Others may be able to apply it, so it must not be skipped here.
        if let Some(found) = needed.filter(|needed| *needed > Level::NEWEST) {
            return Err(StorageError::NewerEntry { index, found, known: Level::NEWEST });
        }
        let error = match decoded {
            Ok(proposal) => return Ok(Self::Command(proposal)),
            Err(error) => error,
        };

        tracing::warn!(index, %error, "a log entry cannot be read: it has no effect");
        Ok(Self::Reject(Rejection::Invalid { detail: "the log entry cannot be read".into() }))
    }
}

/// The level of the cluster once a command is applied, if it sets that.
const fn needed_level(command: &Command) -> Option<Level> {
    if let Command::RaiseLevel(command) = command { Some(command.level) } else { None }
}

fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(payload) => payload.bytes().len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
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

    /// Applies entries in order, in batches that are bounded by their changes. On return they are
    /// in memory and in RocksDB, and the waiting callers have been answered.
    fn apply_steps(&mut self, steps: &mut VecDeque<Step>) -> Result<(), StorageError> {
        while !steps.is_empty() {
            self.apply_batch(steps)?;
        }
        Ok(())
    }

    fn apply_batch(&mut self, steps: &mut VecDeque<Step>) -> Result<(), StorageError> {
        let began_at = Instant::now();
        let Some(first) = steps.front().map(|step| step.id) else { return Ok(()) };

        let mut last = first;
        let mut changes = Vec::with_capacity(steps.len());
        let mut answers = Vec::with_capacity(steps.len());
        let mut membership = None::<StoredMembership>;
        let mut members = Vec::new();
        {
            let mut memory = self.shared.begin();
            while let Some(step) = steps.pop_front() {
                last = step.id;
                let outcome = match step.action {
                    Action::Nothing => Outcome(None),
                    Action::Membership(stored) => {
                        let before = membership.as_ref().unwrap_or(&self.membership).membership();
                        let news = member_news::between(before, stored.membership());
                        self.shared.on_members(&news);
                        let index = LogIndex(step.id.index);
                        members.extend(news.into_iter().map(|news| (index, news)));
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
                    Action::Reject(rejection) => Outcome(Some(Err(rejection))),
                };
                answers.extend(step.responder.map(|responder| (responder, outcome)));
                if changes.len() >= BATCH_CHANGES_MAX {
                    break;
                }
            }
            memory.on_applied(last);
            self.shared.on_level(memory.state.meta().level);
        }
        self.store(last, membership, &changes)?;
        for (responder, outcome) in answers {
            responder.send(outcome);
        }
        self.shared.publish((first, last), changes, members);
        if let Some(observer) = &self.observer {
            observer(began_at.elapsed());
        }
        Ok(())
    }

    /// Refuses an entry that does not follow the one before it: applying it would make this replica
    /// differ from the others. The first one may have any index.
    fn check_order(previous: Option<LogId>, id: LogId) -> Result<(), StorageError> {
        let follows = previous.is_none_or(|previous| {
            previous.index.checked_add(1) == Some(id.index)
                && previous.leader_id.term <= id.leader_id.term
        });
        if follows {
            return Ok(());
        }
        let applied = previous.map_or(0, |previous| previous.index);
        Err(StorageError::ApplyOrder { applied, found: id.index, term: id.leader_id.term })
    }

    /// Applies the entries that the log knows to be committed and the state lacks: bounded, where
    /// openraft would read 64 entries at a time, whatever their size.
    pub(crate) async fn catch_up(&mut self, log: &mut LogStore) -> Result<(), StorageError> {
        let committed = log.read_committed().await?;
        self.apply_until(log, committed).await
    }

    /// Applies all entries that the log has, whether a majority ever had them or not.
    pub(crate) async fn apply_whole_log(&mut self, log: &mut LogStore) -> Result<(), StorageError> {
        let last = log.last_log_id();
        self.apply_until(log, last).await
    }

    async fn apply_until(
        &mut self,
        log: &mut LogStore,
        last: Option<LogId>,
    ) -> Result<(), StorageError> {
        let Some(last) = last else { return Ok(()) };
        let next = next_index(self.applied);
        let entries = log.entries_stream(next..last.index.saturating_add(1)).await;
        let applied = self.apply_all(entries.map_ok(|entry| (entry, None))).await;
        applied.inspect_err(|error| self.shared.calls.fail(error))
    }

    /// Links the database, which is then complete, into a directory that is not there yet.
    pub(crate) fn link_into(&self, directory: &Path) -> Result<(), StorageError> {
        Ok(Checkpoint::new(self.database.database())?.create_checkpoint(directory)?)
    }

    async fn apply_all<S>(&mut self, mut entries: S) -> Result<(), StorageError>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut steps = VecDeque::new();
        let mut budget = ByteBudget::new(BATCH_PAYLOAD_BYTES);
        let mut previous = self.applied;
        while let Some((entry, responder)) = entries.try_next().await? {
            Self::check_order(previous, entry.log_id)?;
            previous = Some(entry.log_id);

            let bytes = payload_bytes(&entry);
            if !budget.admits(bytes) || steps.len() >= BATCH_ENTRIES_MAX {
                self.apply_steps(&mut steps)?;
                budget = ByteBudget::new(BATCH_PAYLOAD_BYTES);
                budget.admits(bytes);
            }
            steps.push_back(Step::new((entry, responder))?);
        }
        self.apply_steps(&mut steps)
    }

    fn store(
        &mut self,
        last: LogId,
        membership: Option<StoredMembership>,
        changes: &[(LogIndex, Change)],
    ) -> Result<(), StorageError> {
        let database = self.database.database();
        let level = self.shared.level();
        let write = || -> Result<(), StorageError> {
            let mut batch = Batch::new(database, level)?;
            batch.put_applied(last)?;
            if let Some(membership) = &membership {
                batch.put_membership(membership)?;
            }
            batch.put_changes(changes)?;
            batch.write()
        };
        self.shared.calls.run(Call::StateWrite, write)?;
        self.applied = Some(last);
        self.membership = membership.unwrap_or_else(|| std::mem::take(&mut self.membership));
        self.shared.on_stored(last);
        Ok(())
    }

    /// Ends the node: after a failure of storage this replica could diverge.
    fn fatal(&self, error: StorageError) -> io::Error {
        self.shared.calls.fail(&error);
        error.into()
    }

    /// Replaces the state by a snapshot. The old state is dropped on a thread that may block:
    /// closing RocksDB, removing its files and dropping a million tasks take time.
    async fn install(
        &mut self,
        meta: &SnapshotMeta,
        data: SnapshotData,
    ) -> Result<(), StorageError> {
        let root = self.shared.root().to_owned();
        let (source, expected) = (data.clone(), meta.clone());
        let work = move || source.install(&root, &expected);
        let (database, restored) =
            self.shared.calls.run_blocking(Call::SnapshotInstall, work).await?;

        self.applied = restored.applied;
        self.membership = restored.membership.clone();
        let database = Arc::new(database);
        let old_database = std::mem::replace(&mut self.database, Arc::clone(&database));
        let old_state = self.shared.replace(database, restored);
        old_database.give_up();
        let shared = Arc::clone(&self.shared);
        let clear = tokio::task::spawn_blocking(move || {
            drop((old_database, old_state));
            shared.snapshots.set_current(data);
        });
        // Fails only when the runtime ends.
        clear.await.ok();
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

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        self.apply_all(entries).await.map_err(|error| self.fatal(error))
    }

    /// openraft insists on one only at its start, which then fails without.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        let on_failure = if force { OnFailure::Return } else { OnFailure::Repeat };
        Some(SnapshotBuilder::new(&self.shared, on_failure))
    }

    /// The builder takes its checkpoint while entries are applied, and then reads the last entry
    /// from the checkpoint, so nothing waits.
    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder::new(&self.shared, OnFailure::Repeat)
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        self.install(meta, snapshot).await.map_err(|error| self.fatal(error))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        let to_send = self.shared.snapshots.to_send();
        Ok(to_send.map(|data| Snapshot { meta: data.meta().clone(), snapshot: data }))
    }
}

#[cfg(test)]
mod tests;
