//! One master's part in the cluster: Raft, proposals, reads, membership. The rest of the master
//! uses replication through it.

mod assembly;
mod background;
mod config;
mod lease;
mod level;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{ClusterId, Command, MasterId, Term};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acks::Acks;
use crate::clock::Clock;
use crate::contact::Contact;
use crate::disk_space::DiskSpace;
use crate::error::StartError;
use crate::fatal::Fatal;
use crate::hand_over::{HandOver, Naming};
use crate::leadership::{Leadership, Patience};
use crate::log_store::LogStore;
use crate::membership::{self, LocalStatus, Member, Members};
use crate::network::Network;
use crate::network::identity::PeerIdentity;
use crate::network::outgoing::Outgoing;
use crate::network::plausibility::Known;
use crate::open::Store;
use crate::propose::local::LocalProposer;
use crate::propose::{Committed, ProposeError, Proposer};
use crate::raft::Raft;
use crate::reads::{ReadError, ReadGate, ReadPoint};
use crate::state_machine::{SnapshotInbox, StateReader};

pub use self::config::NodeConfig;
use self::config::raft_config;
pub use self::status::{PeerStatus, PeerStatuses};
pub use self::transfer::TransferError;

/// A cheap handle to this master's part in the cluster.
#[derive(Debug, Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    config: NodeConfig,
    raft: Raft,
    identity: PeerIdentity,
    members: Members,
    proposer: Proposer,
    reads: ReadGate,
    stores: Stores,
    leadership: watch::Receiver<Leadership>,
    patience: Patience,
    clock: Clock,
    contact: Arc<Contact>,
    hand_over: HandOver,
    /// Until then this master elects nobody, not even itself: see [`background::restart_pause`].
    may_elect_from: Instant,
    /// Settings of the cluster that this master's configuration gives otherwise.
    differing_settings: Mutex<Vec<String>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Parts of the open store and the network that openraft does not take.
struct Stores {
    reader: StateReader,
    log: LogStore,
    inbox: SnapshotInbox,
    fatal: Fatal,
    space: DiskSpace,
    acks: Arc<Acks>,
    outgoing: Arc<Outgoing>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.config.id).finish_non_exhaustive()
    }
}

impl Node {
    /// Joins the cluster: replays the stored log, and bootstraps the cluster if this is one of its
    /// first members and nobody has done so.
    ///
    /// # Errors
    ///
    /// As [`StartError`] says. Only a bootstrap has changed the disk then.
    pub async fn start(config: NodeConfig, store: Store) -> Result<Self, StartError> {
        for address in config.initial_cluster.values() {
            proto::channel::check_address(address)?;
        }
        let Store { mut log, mut machine, reader, inbox, fatal, space } = store;
        machine.catch_up(&mut log).await?;
        // The log's record of it is written a moment after the state's.
        let cluster = log.identity().cluster.or(reader.with(|state| state.meta().cluster));
        let identity = PeerIdentity::new(config.id, &config.cluster_name, cluster);
        let meta = reader.with(|state| *state.meta());
        if meta.cluster.is_some() {
            identity.generation().learn(meta.generation);
        }
        let raft_config = Arc::new(raft_config(&config)?);
        let acks = Arc::new(Acks::default());
        let outgoing = Arc::new(Outgoing::default());
        let network = Network {
            identity: identity.clone(),
            acks: Arc::clone(&acks),
            outgoing: Arc::clone(&outgoing),
        };
        let raft = Raft::new(config.id.0, raft_config, network, log.clone(), machine)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;

        let stores = Stores { reader, log, inbox, fatal, space, acks, outgoing };
        let pause =
            background::restart_pause(&raft, &stores.log, config.election_timeout.1).await?;
        Ok(assembly::assemble(config, raft, identity, stores, pause))
    }

    /// Proposes through the leader, wherever it is, and returns when the command is applied there.
    ///
    /// # Errors
    ///
    /// As [`ProposeError`] says.
    pub async fn propose(&self, command: &Command) -> Result<Committed, ProposeError> {
        self.inner.proposer.propose(command).await
    }

    /// Proposes if this master leads in `term`, and fails at once otherwise.
    ///
    /// # Errors
    ///
    /// As [`ProposeError`] says.
    pub async fn propose_as_leader(
        &self,
        term: Term,
        command: &Command,
    ) -> Result<Committed, ProposeError> {
        self.inner.proposer.propose_as_leader(term, command).await
    }

    /// Waits until this master's state is linearizable for a reader that asked now.
    ///
    /// # Errors
    ///
    /// As [`ReadError`] says.
    pub async fn linearize(&self) -> Result<ReadPoint, ReadError> {
        self.inner.reads.linearize().await
    }

    /// Returns this master's state, as far as it has applied the log.
    #[must_use]
    pub fn reader(&self) -> &StateReader {
        &self.inner.stores.reader
    }

    /// Returns the leadership as it changes.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Returns the clock that stamps commands.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Returns this master's id.
    #[must_use]
    pub fn id(&self) -> MasterId {
        self.inner.config.id
    }

    /// Returns the cluster's name.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.inner.config.cluster_name
    }

    /// Returns the cluster's id; none until the first leader's first entry is applied.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.inner.identity.cluster()
    }

    /// Returns the masters of the effective membership, by id.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.inner.members.all()
    }

    /// Returns a member's gRPC address.
    #[must_use]
    pub fn member_address(&self, id: MasterId) -> Option<String> {
        self.inner.members.address(id)
    }

    /// Returns the progress of this master.
    #[must_use]
    pub fn local_status(&self) -> LocalStatus {
        let status = membership::local_status(&self.inner.raft);
        let heard = self.inner.contact.heard_at().map(|heard| heard.elapsed());
        LocalStatus { last_contact: status.last_contact.or(heard), ..status }
    }

    /// Returns the age of the current sync of the log; zero when there is none.
    #[must_use]
    pub fn fsync_age(&self) -> Duration {
        self.inner.stores.log.fsync_age()
    }

    /// Returns the log store, for its figures.
    #[must_use]
    pub fn log(&self) -> &LogStore {
        &self.inner.stores.log
    }

    /// Leaves the cluster: nothing is answered from here on, and the stores are closed when the
    /// last handle is dropped. Leadership should have been handed over before.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "replication did not stop cleanly");
        }
        self.inner.tasks.close();
    }

    /// Returns true if this master has anything in its log but the first membership.
    pub(crate) fn has_history(&self) -> bool {
        self.log().last_log_id().is_some_and(|last| last.index > 0)
    }

    /// Returns when this master may elect a leader again after its start.
    pub(crate) fn may_elect_from(&self) -> Instant {
        self.inner.may_elect_from
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    /// Returns the signal that storage has failed: the process must then abort.
    #[must_use]
    pub fn fatal(&self) -> &Fatal {
        &self.inner.stores.fatal
    }

    pub(crate) fn inbox(&self) -> &SnapshotInbox {
        &self.inner.stores.inbox
    }

    pub(crate) fn acks(&self) -> &Acks {
        &self.inner.stores.acks
    }

    pub(crate) fn contact(&self) -> &Arc<Contact> {
        &self.inner.contact
    }

    pub(crate) fn naming(&self) -> &Naming {
        &self.inner.hand_over.naming
    }

    /// Returns the knowledge of this master when a message of `sender` arrives. A master that has
    /// no membership yet goes by the list of first members.
    pub(crate) fn known_of(&self, sender: u64) -> Known {
        let initial = &self.inner.config.initial_cluster;
        membership::known_of(&self.inner.raft, sender, |id| {
            initial.is_empty() || initial.contains_key(&id)
        })
    }

    pub(crate) fn identity(&self) -> &PeerIdentity {
        &self.inner.identity
    }

    pub(crate) fn local_proposer(&self) -> Arc<LocalProposer> {
        Arc::clone(&self.inner.proposer.local)
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }
}
