//! Tasks of a node beside Raft: found a cluster or join one, learn its id, wait before standing for election
//! after a restart.

use std::time::Duration;

use openraft::RaftState;
use tokio::time::Instant;

use super::Node;
use super::founding::Founding;
use crate::error::StartError;
use crate::log_store::LogStore;
use crate::raft::Raft;
use crate::types::TypeConfig;

/// Starts all of them; they end when the node stops.
pub(super) fn start(node: &Node) {
    let tasks = node.tasks();
    tasks.spawn(learn_cluster_id(node.clone()));
    tasks.spawn(found(node.clone()));
    tasks.spawn(stand_after_the_pause(node.clone()));
}

/// Returns the time for which a voter that starts must not elect anybody, and stops it from
/// standing itself.
///
/// Before the restart it may have promised a leader not to elect another for one lease. That
/// promise binds its own candidacy, too: the leader still counts its last answer. The only voter of
/// a cluster has promised nothing, and neither has one without a history.
pub(super) async fn restart_pause(
    raft: &Raft,
    log: &LogStore,
    lease: Duration,
) -> Result<Duration, StartError> {
    let me = *raft.node_id();
    let look = move |state: &RaftState<TypeConfig>| {
        state.membership_state.effective().membership().voter_ids().eq([me])
    };
    let is_alone = raft.with_raft_state(look).await;
    let is_alone = is_alone.map_err(|error| StartError::Raft(error.to_string()))?;
    let has_history = log.last_log_id().is_some_and(|last| last.index > 0);
    if is_alone || !has_history {
        return Ok(Duration::ZERO);
    }
    raft.runtime_config().elect(false);
    Ok(lease)
}

impl Node {
    /// Returns when this master may elect a leader again after its start.
    pub(crate) fn may_elect_from(&self) -> Instant {
        self.inner.may_elect_from
    }
}

/// Lets this master stand for election once its promises from before the restart are over, and it has
/// asked whether its log is an older copy.
async fn stand_after_the_pause(node: Node) {
    let pause = async {
        tokio::time::sleep_until(node.inner.may_elect_from).await;
        node.looked_back().await
    };
    tokio::select! {
        () = node.inner.stop.cancelled() => {}
        has_looked_back = pause => if has_looked_back && !node.is_expelled() {
            node.inner.raft.runtime_config().elect(true);
            // It may have been expelled in the meantime.
            if node.is_expelled() {
                node.inner.raft.runtime_config().elect(false);
            }
        }
    }
}

/// Founds a cluster or joins one, if this master has no data.
async fn found(node: Node) {
    let founded = async { Founding::new(node.clone())?.run().await };
    if let Err(error) = founded.await
        && !node.inner.stop.is_cancelled()
    {
        node.fatal().raise(&error.to_string());
    }
}

/// Waits for the entry that fixes the cluster's id, then demands it of every peer and stores it.
async fn learn_cluster_id(node: Node) {
    // A master that stopped before its first state came knows the cluster, but not the generation.
    if node.cluster_id().is_some() && node.inner.identity.generation().is_known() {
        return;
    }
    let mut applied = node.reader().watch_applied();
    loop {
        if let Some(cluster) = node.reader().with(|state| state.meta().cluster) {
            node.inner.identity.learn(cluster);
            let generation = node.reader().with(|state| state.meta().generation);
            node.inner.identity.generation().learn(generation);
            if let Err(error) = node.inner.stores.log.set_cluster_id(cluster).await {
                node.fatal().raise(&format!("cannot keep the cluster id: {error}"));
                return;
            }
            tracing::info!(%cluster, "joined the cluster");
            return;
        }
        tokio::select! {
            () = node.inner.stop.cancelled() => return,
            changed = applied.changed() => if changed.is_err() { return },
        }
    }
}
