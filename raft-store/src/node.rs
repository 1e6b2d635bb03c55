//! One master's part in the cluster: Raft, proposals, reads, membership. What the rest of the
//! master may use of replication.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_state::{ClusterId, Command, LogIndex, MasterId, Term};
use futures_util::future::join_all;
use openraft::SnapshotPolicy;
use openraft::errors::{InitializeError, RaftError};
use openraft::impls::BasicNode;
use proto::channel::InvalidAddress;
use proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::error::OpenError;
use crate::fatal::Fatal;
use crate::leadership::{self, Leadership, Patience, Watcher};
use crate::log_store::LogStore;
use crate::membership::{self, LocalStatus, Member, Members};
use crate::network::Network;
use crate::network::identity::PeerIdentity;
use crate::open::Store;
use crate::propose::forward::Forwarder;
use crate::propose::{Committed, LocalProposer, ProposalBounds, ProposeError, Proposer};
use crate::raft_service::{RaftEndpoint, RaftServer};
use crate::reads::{Asker, ReadError, ReadGate, ReadPoint};
use crate::snapshot::SnapshotInbox;
use crate::state_machine::StateMachine;
use crate::sync::lock;
use crate::state_machine::StateReader;
use crate::types::TypeConfig;

/// openraft over our stores.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// What a master is told about replication.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Raft's node id; never reused for another data directory.
    pub id: MasterId,
    /// Checked on every call between masters.
    pub cluster_name: String,
    /// The first members, the same on each of them; ignored by a node that has data.
    pub initial_cluster: BTreeMap<MasterId, String>,
    /// `host:port` where clients reach this master's HTTP server; shown in the status.
    pub http_address: String,
    /// Between two heartbeats of the leader.
    pub heartbeat_interval: Duration,
    /// Silence of the leader after which a follower asks for votes, drawn from this range after
    /// the leader's lease (the upper end) is over.
    pub election_timeout: (Duration, Duration),
    /// Entries after which a snapshot is made.
    pub snapshot_every: u64,
    /// Entries kept in the log behind a snapshot, for followers that are a little behind.
    pub log_kept: u64,
    /// Bounds of what is under way.
    pub bounds: ProposalBounds,
}

/// Why a master could not take its part.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A member's address is unusable.
    #[error("initial_cluster: {0}")]
    Address(#[from] InvalidAddress),
    /// The timing makes no sense to Raft.
    #[error("raft: {0}")]
    Config(String),
    /// Raft could not start or bootstrap.
    #[error("cannot start replication: {0}")]
    Raft(String),
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Only the leader can hand over.
    #[error("this master does not lead")]
    NotLeader,
    /// There is no other voter that is reachable and close enough.
    #[error("no other voter can take over")]
    NoSuccessor,
    /// The one asked for is not a voter.
    #[error("master {0} is not a voter of this cluster")]
    NotAVoter(MasterId),
    /// It did not take over in time; the leader leads on.
    #[error("master {0} did not take over in time")]
    TimedOut(MasterId),
}

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
    leader_heard: Mutex<Option<Instant>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What stays of the open store once openraft has its part.
struct Stores {
    reader: StateReader,
    log: LogStore,
    inbox: SnapshotInbox,
    fatal: Fatal,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.config.id).finish_non_exhaustive()
    }
}

/// A leader hands over when its disk takes longer than this for one sync: ten times a slow disk.
const FSYNC_PATIENCE: Duration = Duration::from_secs(1);
/// A sync that takes longer than this hangs; only a new process may get its disk back.
const FSYNC_PATIENCE_FATAL: Duration = Duration::from_secs(20);
/// How long a successor may take: several elections.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a peer may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

impl Node {
    /// Takes part: replays what the store holds, and bootstraps the cluster if this is one of its
    /// first members and nobody has yet.
    ///
    /// # Errors
    ///
    /// As [`StartError`] says. Nothing was changed on disk but by a bootstrap.
    pub async fn start(config: NodeConfig, store: Store) -> Result<Self, StartError> {
        for address in config.initial_cluster.values() {
            proto::channel::check_address(address)?;
        }
        let Store { log, machine, reader, inbox, fatal } = store;
        let cluster = log.identity().cluster;
        let identity = PeerIdentity::new(config.id, &config.cluster_name, cluster);
        let raft_config = Arc::new(raft_config(&config)?);
        let network = Network { identity: identity.clone() };
        let raft = Raft::new(config.id.0, raft_config, network, log.clone(), machine)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;

        let node = Self::assemble(config, raft, identity, Stores { reader, log, inbox, fatal });
        node.bootstrap().await?;
        Ok(node)
    }

    fn assemble(config: NodeConfig, raft: Raft, identity: PeerIdentity, stores: Stores) -> Self {
        let Stores { reader, log, .. } = &stores;
        let clock = Clock::default();
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let members = Members::new(raft.clone());
        let patience = Patience {
            quorum: config.election_timeout.1,
            fsync: FSYNC_PATIENCE,
            fsync_fatal: FSYNC_PATIENCE_FATAL,
        };
        let (published, leadership) = watch::channel(Leadership::Leaderless { term: Term(0) });
        let watcher = Watcher {
            raft: raft.clone(),
            log: log.clone(),
            patience,
            published,
            stop: stop.clone(),
        };
        tasks.spawn(watcher.run());
        let asker = Asker {
            raft: raft.clone(),
            identity: identity.clone(),
            members: members.clone(),
            leadership: leadership.clone(),
            stop: stop.clone(),
        };
        let (reads, asking) = ReadGate::new(asker, reader.watch_applied());
        tasks.spawn(asking);
        let proposer = Proposer {
            local: Arc::new(LocalProposer::new(raft.clone(), clock.clone(), config.bounds)),
            forwarder: Forwarder::new(identity.clone(), members.clone(), tasks.clone()),
            leadership: leadership.clone(),
        };
        let inner = Inner {
            config,
            raft,
            identity,
            members,
            proposer,
            reads,
            stores,
            leadership,
            patience,
            clock,
            leader_heard: Mutex::new(None),
            tasks,
            stop,
        };
        let node = Self { inner: Arc::new(inner) };
        node.inner.tasks.spawn(learn_cluster_id(node.clone()));
        node
    }

    async fn bootstrap(&self) -> Result<(), StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
        let is_initialized =
            self.inner.raft.is_initialized().await.map_err(|error| failed(&error))?;
        if is_initialized || self.inner.config.initial_cluster.is_empty() {
            return Ok(());
        }
        let members = self
            .inner
            .config
            .initial_cluster
            .iter()
            .map(|(id, address)| (id.0, BasicNode::new(address)))
            .collect::<BTreeMap<_, _>>();
        match self.inner.raft.initialize(members).await {
            // Another first member was quicker, which is as good.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    /// The gRPC service for other masters.
    #[must_use]
    pub fn raft_service(&self) -> RaftServer {
        let has_history = membership::local_status(&self.inner.raft).last_log.0 > 0;
        let pause = if has_history { self.inner.patience.quorum } else { Duration::ZERO };
        RaftEndpoint::server(self.clone(), pause)
    }

    /// Proposes through the leader, wherever it is, and returns when the command is applied there.
    ///
    /// # Errors
    ///
    /// As [`ProposeError`] says.
    pub async fn propose(&self, command: &Command) -> Result<Committed, ProposeError> {
        self.inner.proposer.propose(command).await
    }

    /// Proposes if this master leads in `term`, else fails at once.
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

    /// Returns when this master's state is linearizable for a reader that asked now.
    ///
    /// # Errors
    ///
    /// As [`ReadError`] says.
    pub async fn linearize(&self) -> Result<ReadPoint, ReadError> {
        self.inner.reads.pass().await
    }

    /// This master's state, as far as it has applied the log.
    #[must_use]
    pub fn reader(&self) -> &StateReader {
        &self.inner.stores.reader
    }

    /// Who leads, as it changes.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Whether this master leads now and no other can: checked at the moment of asking, on a
    /// clock that runs on while the process is frozen.
    #[must_use]
    pub fn holds_quorum_lease(&self) -> bool {
        self.inner.leadership.borrow().is_leading()
            && leadership::holds_lease(&self.inner.raft, self.inner.patience.quorum)
    }

    /// The clock that commands are stamped with.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// This master's id.
    #[must_use]
    pub fn id(&self) -> MasterId {
        self.inner.config.id
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.inner.config.cluster_name
    }

    /// The cluster's id; none until the first leader's first entry is applied.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.inner.identity.cluster()
    }

    /// The masters of the effective membership, by id.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.inner.members.all()
    }

    /// A member's gRPC address.
    #[must_use]
    pub fn member_address(&self, id: MasterId) -> Option<String> {
        self.inner.members.address(id)
    }

    /// How far this master has come.
    #[must_use]
    pub fn local_status(&self) -> LocalStatus {
        let status = membership::local_status(&self.inner.raft);
        let heard = lock(&self.inner.leader_heard).map(|heard| heard.elapsed());
        LocalStatus { last_contact: status.last_contact.or(heard), ..status }
    }

    /// A leader has sent something.
    pub(crate) fn on_leader_heard(&self) {
        *lock(&self.inner.leader_heard) = Some(Instant::now());
    }

    /// How long the sync of the log that is under way has taken; zero when none is.
    #[must_use]
    pub fn fsync_age(&self) -> Duration {
        self.inner.stores.log.fsync_age()
    }

    /// The log store, for its figures.
    #[must_use]
    pub fn log(&self) -> &LogStore {
        &self.inner.stores.log
    }

    /// What every other member says of itself; nothing for those that do not answer in time.
    pub async fn peer_statuses(&self) -> BTreeMap<MasterId, Option<v1::NodeStatusResponse>> {
        let others = self.members().into_iter().filter(|member| member.id != self.id());
        let asked = others.map(|member| async move {
            let answer = self.ask_status(&member).await;
            (member.id, answer)
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn ask_status(&self, member: &Member) -> Option<v1::NodeStatusResponse> {
        let channel = proto::channel::connect_lazily(&member.address).ok()?;
        let mut client = crate::network::client(channel);
        let question = self.inner.identity.sign(v1::NodeStatusRequest {}, member.id);
        let answer = tokio::time::timeout(STATUS_TIMEOUT, client.node_status(question)).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    /// Hands leadership to `to`, or to the voter with the longest log, and returns who leads when
    /// it has taken over.
    ///
    /// # Errors
    ///
    /// As [`TransferError`] says.
    pub async fn transfer_leader(&self, to: Option<MasterId>) -> Result<MasterId, TransferError> {
        let mut leadership = self.leadership();
        if !leadership.borrow_and_update().is_leading() {
            return Err(TransferError::NotLeader);
        }
        let to = match to {
            Some(to) if to == self.id() => return Ok(to),
            Some(to) if self.members().iter().any(|m| m.id == to && m.is_voter) => to,
            Some(to) => return Err(TransferError::NotAVoter(to)),
            None => {
                membership::best_successor(&self.inner.raft).ok_or(TransferError::NoSuccessor)?
            }
        };
        let deadline = Instant::now() + TRANSFER_TIMEOUT;
        let started = self.inner.raft.trigger().transfer_leader(to.0).await;
        started.map_err(|_| TransferError::NotLeader)?;
        let taken_over = leadership.wait_for(|seen| match seen {
            Leadership::Following { .. } => true,
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => false,
        });
        match tokio::time::timeout_at(deadline, taken_over).await {
            Ok(Ok(seen)) => match *seen {
                Leadership::Following { leader, .. } => Ok(leader),
                Leadership::Leading { .. } | Leadership::Leaderless { .. } => Ok(to),
            },
            Ok(Err(_)) | Err(_) => Err(TransferError::TimedOut(to)),
        }
    }

    /// Stops taking part: nothing is answered from here on, and the stores are closed when the
    /// last handle is dropped. Leadership should have been handed over before.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "replication did not stop in good order");
        }
        self.inner.tasks.close();
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.inner.raft
    }

    /// Raised when storage fails: the process must then abort.
    #[must_use]
    pub fn fatal(&self) -> &Fatal {
        &self.inner.stores.fatal
    }

    pub(crate) fn inbox(&self) -> &SnapshotInbox {
        &self.inner.stores.inbox
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

    pub(crate) fn describe(&self, status: &LocalStatus) -> v1::NodeStatusResponse {
        v1::NodeStatusResponse {
            node_id: status.id.0,
            role: status.role.name().to_owned(),
            term: status.term.0,
            leader_id: status.leader.map(|leader| leader.0),
            last_log_index: status.last_log.0,
            commit_index: status.committed.0,
            applied_index: status.applied.0,
            snapshot_index: status.snapshot.map(|LogIndex(index)| index),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http_address: self.inner.config.http_address.clone(),
        }
    }
}

/// Waits for the entry that fixes the cluster's id, then demands it of every peer and keeps it on
/// disk.
async fn learn_cluster_id(node: Node) {
    if node.cluster_id().is_some() {
        return;
    }
    let mut applied = node.reader().watch_applied();
    loop {
        if let Some(cluster) = node.reader().with(|state| state.meta().cluster) {
            node.inner.identity.learn(cluster);
            if let Err(error) = node.inner.stores.log.set_cluster_id(cluster).await {
                tracing::error!(%error, "cannot keep the cluster id");
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

fn raft_config(config: &NodeConfig) -> Result<openraft::Config, StartError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    openraft::Config {
        cluster_name: config.cluster_name.clone(),
        heartbeat_interval: millis(config.heartbeat_interval),
        election_timeout_min: millis(config.election_timeout.0),
        election_timeout_max: millis(config.election_timeout.1),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every),
        max_in_snapshot_log_to_keep: config.log_kept,
        // A follower is sent a snapshot only when the log it needs is gone.
        replication_lag_threshold: u64::MAX,
        // Snapshots are bounded by progress, not by time: see `snapshot`.
        install_snapshot_timeout: 600_000,
        enable_pre_vote: Some(true),
        // A restarted leader's log may be behind: it stands for election like any other.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|error| StartError::Config(error.to_string()))
}
