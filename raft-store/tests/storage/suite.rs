//! openraft's conformance suite, with the usual cache and with none.

use std::io;

use cluster_state::MasterId;
use futures_util::{Stream, TryStreamExt, stream};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, StorageError};
use raft_store::{
    LogId, LogOptions, LogStore, RaftSnapshot, SnapshotBuilder, SnapshotData, SnapshotMeta,
    StateMachine, Store, StoreConfig, StoredMembership, TypeConfig,
};
use tempfile::TempDir;

use crate::fixture::blank;

/// The state machine, given the entries that the suite leaves out: a log has no gaps, and ours
/// applies nothing else.
struct Gapless(StateMachine);

impl RaftStateMachine<TypeConfig> for Gapless {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        self.0.applied_state().await
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut next = self.0.applied_state().await?.0.map(|applied| applied.index + 1);
        let mut whole = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            let (term, index) = (entry.log_id.leader_id.term, entry.log_id.index);
            whole.extend(
                (next.unwrap_or(index)..index).map(|left_out| Ok((blank(term, left_out), None))),
            );
            whole.push(Ok((entry, responder)));
            next = Some(index + 1);
        }
        self.0.apply(stream::iter(whole)).await
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        self.0.try_create_snapshot_builder(force).await
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.0.get_snapshot_builder().await
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        self.0.install_snapshot(meta, snapshot).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot>, io::Error> {
        self.0.get_current_snapshot().await
    }
}

struct Builder {
    cache_bytes_max: usize,
}

impl StoreBuilder<TypeConfig, LogStore, Gapless, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Gapless), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let cache_bytes_max = self.cache_bytes_max;
        let log = LogOptions { cache_bytes_max, ..LogOptions::default() };
        let config = StoreConfig { log, ..StoreConfig::new(dir.path(), MasterId(1)) };
        let Store { log, machine, .. } = Store::open(config).unwrap();
        Ok((dir, log, Gapless(machine)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_with_the_usual_cache() {
    let cache_bytes_max = LogOptions::default().cache_bytes_max;
    Suite::test_all(Builder { cache_bytes_max }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms_without_a_cache() {
    Suite::test_all(Builder { cache_bytes_max: 0 }).await.unwrap();
}
