//! The composition root: starts every part in order and stops them in reverse.

mod callers;
mod certificates;
mod counting;
mod front;
mod listen;
mod part;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::MasterId;
use credentials::CredentialsError;
use proto::channel::Dialer;
use proto::memory::MemoryBudget;
use raft_store::{
    Expulsion, LogBounds, LogExtent, LogOptions, Loops, Node, NodeConfig, OpenError,
    ProposalBounds, Store, StoreConfig, Synced, SystemClock, WallClock,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use listen::BindError;
pub use signals::run;

use self::callers::Callers;
use self::front::Front;
use self::part::Part;
use crate::access::{FederationError, TokenFileError};
use crate::backups::ScheduledBackups;
use crate::config::{Config, RaftConfig};
use crate::events::{Events, UsageFeed};
use crate::leader::{Supervisor, WorkerSessions};
use crate::metrics::Metrics;
use crate::open_files::{OpenFiles, TooFewFiles};
use crate::operations::{Names, Operations, Parts, Readiness, TaskWaits};
use crate::peer::LeaderPeer;
use crate::settings::{self, SettingsInForce};
use crate::trail::{Trail, TrailFileError, TrailWriter};

/// Time for a successor to take over before the leader stops without one.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for pending requests to finish.
const HTTP_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls under way are answered within this time; streams of other masters do not end by
/// themselves.
const GRPC_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Reason that a master could not start, or may not go on. Nothing was written if it is an address.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address to listen on cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system allows too few open files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The file with the first tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The identity provider cannot be used.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// The file of the trail cannot be used.
    #[error(transparent)]
    Trail(#[from] TrailFileError),
    /// The master has no data and does not know where it belongs.
    #[error(
        "initial_cluster and join are missing: a master without data must be told the first members of \
         a new cluster, or masters of the one to join"
    )]
    NoMembers,
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its certificate cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Its certificate is somebody else's.
    #[error("the certificate is that of {found}, and this is master {id}")]
    OtherHolder { found: String, id: MasterId },
    /// Replication did not start.
    #[error(transparent)]
    Node(#[from] raft_store::StartError),
    /// It does not belong to its cluster any more, and no new start changes that.
    #[error(transparent)]
    Expelled(Expulsion),
    /// A part of the process failed.
    #[error("cannot start: {0}")]
    Process(String),
}

/// A running master.
#[derive(Debug)]
pub struct Master {
    node: Node,
    operations: Operations,
    duties: Part,
    http: Part,
    grpc: Part,
    background: TaskTracker,
    stopping: CancellationToken,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
}

impl Master {
    /// Starts every part: both addresses are bound before anything is written, then come the
    /// store with the workers and tasks it holds, replication, the supervisor of the leader's
    /// duties, gRPC and HTTP.
    ///
    /// # Errors
    ///
    /// As [`StartError`] says.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with_clock(config, Arc::new(SystemClock)).await
    }

    /// The same by another wall clock than the machine's.
    ///
    /// # Errors
    ///
    /// As [`StartError`] says.
    pub async fn start_with_clock(
        config: Config,
        wall: Arc<dyn WallClock>,
    ) -> Result<Self, StartError> {
        let files = OpenFiles::new(&config.limits);
        files.check()?;
        let metrics = Metrics::new();
        let callers = Callers::load(&config, &wall, &metrics).await?;
        let grpc_bound = listen::bind("grpc_listen", &config.grpc_listen).await?;
        let http_bound = listen::bind("http_listen", &config.http_listen).await?;
        let (grpc_address, http_address) = (grpc_bound.address(), http_bound.address());
        listen::warn_if_exposed(&config, &[grpc_address, http_address]);

        metrics.set_reconnect_enabled(config.reconnect.enabled);
        let names = names(&config, http_address);
        let certificates = certificates::load(&config).await?;
        let addresses = (names.http_address.clone(), certificates.dialer());
        let node = start_node(&config, &metrics, addresses, wall).await?;

        let background = TaskTracker::new();
        let stopping = CancellationToken::new();
        let loops = Loops::new(background.clone(), stopping.clone(), node.fatal().clone());
        let sessions = WorkerSessions::default();
        counting::start_counting(&node, &metrics, &loops);
        let trail = start_trail(&config, (&node, &metrics), &loops)?;
        let parts = (&node, &sessions, &metrics, &trail);
        let duties = start_duties(&config, parts, &loops, &background);
        let (waits, events) = start_feeds(&node, &loops);
        let leader = LeaderPeer::new(node.clone());
        let usage = start_usage(&node, (&leader, &sessions), &loops);

        let operations = Operations::new(Parts {
            leader,
            node: node.clone(),
            sessions,
            waits,
            events,
            usage,
            metrics: metrics.clone(),
            trail: trail.clone(),
            issuer: certificates.issuer(&config),
            log_streams: config.limits.log_streams,
            tasks: background.clone(),
            wait_requests: files.waiting(),
            watchers: files.sockets(),
            names,
            stopping: stopping.clone(),
        });
        start_backups(&config, &operations, &metrics, &loops);
        certificates.start(&config, &operations, &loops);
        let front = Front {
            gate: callers.gate(node.clone(), (metrics.clone(), trail), &loops),
            operations: operations.clone(),
            metrics,
            files,
            bodies: MemoryBudget::new(config.limits.body_bytes.0),
            certificates,
            loops,
        };
        let (grpc_listener, http_listener) = (grpc_bound.listen()?, http_bound.listen()?);
        let grpc = front.start_grpc(grpc_listener);
        let http = front.start_http(&config, http_listener);
        tracing::info!(node = %config.node_id, grpc = %grpc_address, http = %http_address, "master started");
        Ok(Self {
            node,
            operations,
            duties,
            http,
            grpc,
            background,
            stopping,
            grpc_address,
            http_address,
        })
    }

    /// Returns the address on which gRPC is served.
    #[must_use]
    pub const fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Returns the address on which HTTP is served.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// This master's part in replication.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Tells whether this master takes part, as `/readyz` does.
    pub(crate) async fn readiness(&self) -> Readiness {
        self.operations.readiness().await
    }

    /// Hands leadership over, then stops every part: duties, HTTP, gRPC, the store.
    pub async fn stop(self) {
        self.stopping.cancel();
        if self.operations.leadership().is_leading() {
            hand_over(&self.node).await;
        }
        self.duties.stop(HTTP_STOP_TIMEOUT).await;
        self.http.stop(HTTP_STOP_TIMEOUT).await;
        self.grpc.stop(GRPC_STOP_TIMEOUT).await;
        self.node.shutdown().await;
        self.background.close();
        self.background.wait().await;
        tracing::info!("master stopped");
    }
}

fn start_trail(
    config: &Config,
    (node, metrics): (&Node, &Metrics),
    loops: &Loops,
) -> Result<Trail, TrailFileError> {
    let trail = Trail::new(!config.audit.file.as_os_str().is_empty());
    if let Some(writer) = TrailWriter::open(config, (node, &trail, metrics))? {
        loops.spawn("writer of the trail", |stop| writer.run(stop));
    }
    Ok(trail)
}

fn start_backups(config: &Config, operations: &Operations, metrics: &Metrics, loops: &Loops) {
    let backups = ScheduledBackups::new(&config.backup, operations.clone(), metrics.clone());
    if let Some(backups) = backups {
        loops.spawn("scheduled backups", |stop| backups.run(stop));
    }
}

fn start_usage(
    node: &Node,
    (leader, sessions): (&LeaderPeer, &WorkerSessions),
    loops: &Loops,
) -> UsageFeed {
    let usage = UsageFeed::new();
    loops.spawn("feed of usage", |stop| {
        usage.clone().run(sessions.clone(), leader.clone(), node.leadership(), stop)
    });
    usage
}

fn names(config: &Config, http_address: SocketAddr) -> Names {
    let http_address = listen::reachable(http_address, &config.grpc_advertise);
    Names { cluster: config.cluster_name.clone(), http_address }
}

/// Starts what follows the state, for those who wait for it.
fn start_feeds(node: &Node, loops: &Loops) -> (TaskWaits, Events) {
    let waits = TaskWaits::default();
    loops.spawn("reader for waiting requests", |stop| {
        waits.clone().run(node.reader().clone(), stop)
    });
    let (events, writer) = Events::follow(node.reader());
    loops.spawn("writer of events", |stop| writer.run(stop));
    (waits, events)
}

/// Starts what runs only while this master leads, and what follows the settings.
fn start_duties(
    config: &Config,
    (node, sessions, metrics, trail): (&Node, &WorkerSessions, &Metrics, &Trail),
    loops: &Loops,
    background: &TaskTracker,
) -> Part {
    let settings = SettingsInForce::new(config);
    loops.spawn("watch over settings", |stop| {
        settings::watch(settings.clone(), node.clone(), (metrics.clone(), trail.clone()), stop)
    });
    let supervisor = Supervisor::new(
        node.clone(),
        settings,
        sessions.clone(),
        metrics.clone(),
        loops.clone(),
        background.clone(),
    );
    Part::spawn(loops, "duties", |stop| supervisor.run(stop))
}

async fn start_node(
    config: &Config,
    metrics: &Metrics,
    (http_address, dialer): (String, Dialer),
    wall: Arc<dyn WallClock>,
) -> Result<Node, StartError> {
    let has_data = std::fs::read_dir(&config.data_dir).is_ok_and(|mut dir| dir.next().is_some());
    if !has_data && config.initial_cluster.is_empty() && config.join.0.is_empty() {
        return Err(StartError::NoMembers);
    }
    let (of_syncs, of_applies) = (metrics.clone(), metrics.clone());
    let on_synced = move |synced: Synced| of_syncs.on_synced(synced.duration, synced.entries);
    let store_config = StoreConfig {
        log: LogOptions { observer: Some(Arc::new(on_synced)), ..LogOptions::default() },
        apply_observer: Some(Arc::new(move |took| of_applies.on_applied(took))),
        cluster_name: config.cluster_name.clone(),
        reserve_bytes: config.limits.disk_reserve.as_u64(),
        ..StoreConfig::new(&config.data_dir, config.node_id)
    };
    let opened = tokio::task::spawn_blocking(move || Store::open(store_config)).await;
    let store = opened.map_err(|error| StartError::Process(error.to_string()))??;
    let (workers, tasks) = store.reader.with(|state| (state.workers().len(), state.live_tasks()));
    tracing::info!(workers, tasks, "state restored");

    let node_config = NodeConfig {
        id: config.node_id,
        cluster_name: config.cluster_name.clone(),
        initial_cluster: config.initial_cluster.clone(),
        join: config.join.0.clone(),
        grpc_address: config.grpc_advertise.clone(),
        http_address,
        zone: Some(config.zone.clone()).filter(|zone| !zone.is_empty()),
        heartbeat_interval: config.raft.heartbeat_interval,
        election_timeout: (config.raft.election_timeout.min, config.raft.election_timeout.max),
        autopilot: config.autopilot,
        log: log_bounds(&config.raft),
        bounds: ProposalBounds {
            commands: config.limits.inflight_proposals,
            bytes: config.limits.inflight_bytes.0,
            disk_free_min: config.limits.disk_free_min.as_u64(),
            ..ProposalBounds::default()
        },
        dialer,
        wall,
    };
    Ok(Node::start(node_config, store).await?)
}

fn log_bounds(raft: &RaftConfig) -> LogBounds {
    let snapshot_every =
        LogExtent { entries: raft.snapshot_every, bytes: raft.snapshot_every_bytes.as_u64() };
    let kept = LogExtent { entries: raft.log_kept, bytes: raft.log_kept_bytes.as_u64() };
    LogBounds { snapshot_every, kept, held_bytes: raft.log_held_bytes.as_u64() }
}

async fn hand_over(node: &Node) {
    let outcome = match tokio::time::timeout(HAND_OVER_TIMEOUT, node.transfer_leader(None)).await {
        Ok(Ok(leader)) => format!("master {leader} leads"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "nobody took over in time".to_owned(),
    };
    tracing::info!(outcome, "handed leadership over");
}
