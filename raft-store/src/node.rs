//! One master's part in the cluster: Raft, proposals, reads, membership. The rest of the master
//! uses replication through it.

mod announcement;
mod assembly;
mod autopilot;
mod background;
mod config;
mod founding;
mod lease;
mod level;
mod members;
mod recognition;
mod sightings;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod time;
mod transfer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AutopilotSettings, ClusterId, Command, MasterId, Term};
use parking_lot::Mutex;
use proto::channel::Dialer;
use tokio::sync::{Notify, watch};
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
use crate::log_node::{MasterNode, NodeId};
use crate::log_store::LogStore;
use crate::membership::{self, LocalStatus, Member, Members};
use crate::network::Network;
use crate::network::address_book::AddressBook;
use crate::network::identity::PeerIdentity;
use crate::network::outgoing::Outgoing;
use crate::network::plausibility::Known;
use crate::open::Store;
use crate::propose::local::LocalProposer;
use crate::propose::{Committed, ProposeError, Proposer};
use crate::raft::Raft;
use crate::rarely::Rarely;
use crate::reads::{ReadError, ReadGate, ReadPoint};
use crate::room::Room;
use crate::seen::{Seen, SeenFile};
use crate::shortages::Shortages;
use crate::state_machine::{SnapshotInbox, StateReader};

pub use self::autopilot::Thought;
pub use self::config::NodeConfig;
use self::config::raft_config;
use self::founding::FirstMembers;
pub use self::members::{Added, Force, MemberChange, MemberOrder, Membership, MembershipError};
pub(crate) use self::members::{Admission, Joiner};
pub use self::recognition::Expulsion;
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
    room: Room,
    first_members: FirstMembers,
    /// `host:port` of a leader that has told this master to join its cluster.
    invitation: watch::Sender<Option<String>>,
    /// Reason that this master does not belong to its cluster any more.
    expelled: watch::Sender<Option<Expulsion>>,
    /// Word of a leader that this master was removed.
    farewell: Notify,
    /// Word of another master that it has seen this one's log go further than it does.
    doubted: Notify,
    /// True once the others were asked how far this master's log had gone before it started.
    has_looked_back: watch::Sender<bool>,
    /// End of every wait for a leader, with the expulsion.
    left: CancellationToken,
    /// Held while this leader changes the membership, which takes two entries.
    changing: tokio::sync::Mutex<()>,
    autopilot: watch::Sender<AutopilotSettings>,
    thought: watch::Receiver<Option<Thought>>,
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
    seen: Arc<Seen>,
    seen_file: SeenFile,
    shortages: Arc<Shortages>,
    book: Arc<AddressBook>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.config.id).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts this master's part: replays the stored log. A master without one founds its cluster
    /// together with the other first members, or joins the one that there is.
    ///
    /// # Errors
    ///
    /// As [`StartError`] says.
    pub async fn start(config: NodeConfig, store: Store) -> Result<Self, StartError> {
        for address in config.initial_cluster.values().chain(&config.join) {
            proto::channel::check_address(address)?;
        }
        let Store { mut log, mut machine, reader, inbox, fatal, space, seen: seen_file } = store;
        machine.catch_up(&mut log).await?;
        // The log's record of it is written a moment after the state's.
        let me = log.identity().node;
        let cluster = log.identity().cluster.or(reader.with(|state| state.meta().cluster));
        let identity =
            PeerIdentity::new(me, &config.cluster_name, cluster).with_dialer(config.dialer.clone());
        let meta = reader.with(|state| *state.meta());
        if meta.cluster.is_some() {
            identity.generation().learn(meta.generation);
        }
        seen_file.recall(identity.seen());
        let raft_config = Arc::new(raft_config(&config)?);
        let network = Network::new(identity.clone());
        let Network { acks, outgoing, seen, shortages, book, .. } = network.clone();
        let raft = Raft::new(me, raft_config, network, log.clone(), machine)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;

        let stores = Stores {
            reader,
            log,
            inbox,
            fatal,
            space,
            acks,
            outgoing,
            seen,
            seen_file,
            shortages,
            book,
        };
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

    /// Returns this master's name.
    #[must_use]
    pub fn id(&self) -> MasterId {
        self.inner.config.id
    }

    /// Returns this master's log, as Raft knows it.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.log().identity().node
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

    /// Returns the masters of the effective membership, by log.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.inner.members.all()
    }

    /// Returns the member of that name; the voter, while another log is to replace its.
    #[must_use]
    pub fn member(&self, name: MasterId) -> Option<Member> {
        self.inner.members.named(name)
    }

    /// Returns what the membership records of a member.
    #[must_use]
    pub fn record(&self, node: NodeId) -> Option<MasterNode> {
        self.inner.members.record(node)
    }

    /// Returns the gRPC address of a member.
    #[must_use]
    pub fn member_address(&self, node: NodeId) -> Option<String> {
        self.inner.members.address(node)
    }

    /// Returns the figures of members by their names.
    #[must_use]
    pub fn by_name<T>(&self, figures: BTreeMap<NodeId, T>) -> BTreeMap<MasterId, T> {
        let named = figures
            .into_iter()
            .filter_map(|(node, figure)| Some((self.inner.members.get(node)?.name, figure)));
        named.collect()
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
        self.keep_sightings(&Rarely::default()).await;
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "replication did not stop cleanly");
        }
        self.inner.tasks.close();
    }

    pub(crate) fn config(&self) -> &NodeConfig {
        &self.inner.config
    }

    pub(crate) fn first_members(&self) -> &FirstMembers {
        &self.inner.first_members
    }

    /// Returns the leader that has told this master to join its cluster, as that changes.
    pub(crate) fn invitation(&self) -> watch::Receiver<Option<String>> {
        self.inner.invitation.subscribe()
    }

    /// Waits until the node stops.
    pub(crate) async fn stopped(&self) {
        self.inner.stop.cancelled().await;
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

    pub(crate) fn room(&self) -> &Room {
        &self.inner.room
    }

    pub(crate) fn naming(&self) -> &Naming {
        &self.inner.hand_over.naming
    }

    /// Returns the knowledge of this master when a message of `sender` arrives. A master that has
    /// no membership yet believes the first members, or, once it was admitted to a cluster, every
    /// caller that names that cluster.
    pub(crate) fn known_of(&self, sender: NodeId) -> Known {
        membership::known_of(&self.inner.raft, sender, |id| {
            self.cluster_id().is_some() || self.inner.first_members.contains(id)
        })
    }

    /// Returns what opens connections from this process.
    #[must_use]
    pub fn dialer(&self) -> &Dialer {
        &self.inner.config.dialer
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
