//! Nodes in one process, over real sockets and real disks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster_state::{
    AutopilotSettings, BeginTerm, ClusterId, Command, Limits, MasterId, RegisterWorker, Timestamp,
    WorkerId,
};
pub(crate) use eventually::PATIENCE;
use raft_store::{
    LogBounds, LogExtent, Node, NodeConfig, ProposalBounds, RaftEndpoint, Store, StoreConfig,
    SystemClock, WallClock,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

use crate::gate::Gated;

/// Number of masters for which there are addresses.
const MASTERS_MAX: u64 = 5;

/// A node on a runtime of its own, so that stopping it ends its connections as a process's end
/// would.
pub(crate) struct Member {
    pub(crate) node: Node,
    runtime: Runtime,
}

impl Member {
    /// Ends everything that it runs. Its RocksDB must be closed before the process's static
    /// destructors run, and is when nobody has it any more.
    fn end(self) {
        drop(self.node);
        self.runtime.shutdown_timeout(PATIENCE);
    }
}

pub(crate) struct Cluster {
    dir: TempDir,
    pub(crate) addresses: BTreeMap<MasterId, String>,
    pub(crate) members: BTreeMap<MasterId, Member>,
    /// For members that are started from now on.
    pub(crate) log: LogBounds,
    /// For members that are started from now on.
    pub(crate) autopilot: AutopilotSettings,
    /// For members that are started from now on.
    pub(crate) bounds: ProposalBounds,
    pub(crate) election_timeout: (Duration, Duration),
    walls: BTreeMap<MasterId, Arc<Wall>>,
    /// Those that take in nothing that is appended, although they are there.
    deaf: BTreeMap<MasterId, watch::Sender<bool>>,
}

/// A wall clock that is so many milliseconds ahead.
#[derive(Debug, Default)]
struct Wall(AtomicU64);

impl WallClock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::Relaxed))
    }
}

impl Cluster {
    pub(crate) async fn start(snapshot_every: u64) -> Self {
        let mut cluster = Self::prepare(snapshot_every).await;
        for id in [1, 2, 3] {
            cluster.start_member(id, &[1, 2, 3]).await;
        }
        cluster
    }

    /// Addresses at which nobody listens yet.
    pub(crate) async fn prepare(snapshot_every: u64) -> Self {
        let mut listeners = BTreeMap::new();
        for id in 1..=MASTERS_MAX {
            listeners.insert(MasterId(id), listen("127.0.0.1:0").await.unwrap());
        }
        let addresses = listeners
            .iter()
            .map(|(id, listener)| (*id, listener.local_addr().unwrap().to_string()))
            .collect();
        let dir = TempDir::new().unwrap();
        let bounds = ProposalBounds::default();
        let election_timeout = (Duration::from_millis(250), Duration::from_millis(400));
        let members = BTreeMap::new();
        let walls = (1..=MASTERS_MAX).map(|id| (MasterId(id), Arc::default())).collect();
        let log = LogBounds {
            snapshot_every: LogExtent { entries: snapshot_every, bytes: u64::MAX },
            kept: LogExtent { entries: 10, bytes: u64::MAX },
            held_bytes: u64::MAX,
        };
        let deaf = (1..=MASTERS_MAX).map(|id| (MasterId(id), watch::Sender::new(false))).collect();
        let autopilot = AutopilotSettings {
            stable_for: Duration::from_millis(500),
            ..AutopilotSettings::default()
        };
        Self { dir, addresses, members, log, autopilot, bounds, election_timeout, walls, deaf }
    }

    /// Starts one member that is told that those are the first members.
    pub(crate) async fn start_member(&mut self, id: u64, first: &[u64]) {
        self.start_node(id, first, &[]).await;
    }

    /// Starts one member that is told to join the cluster of those.
    pub(crate) async fn start_joiner(&mut self, id: u64, through: &[u64]) {
        self.start_node(id, &[], through).await;
    }

    async fn start_node(&mut self, id: u64, first: &[u64], through: &[u64]) {
        let id = MasterId(id);
        let address = self.addresses.get(&id).unwrap().clone();
        let data_dir = self.data_dir(id);
        eventually("the data directory is free", || {
            let opened = Store::open(StoreConfig::new(&data_dir, id));
            async move { opened.ok().map(drop) }
        })
        .await;
        let listener = eventually("the port is free", || async { listen(&address).await }).await;
        let named = |ids: &[u64]| ids.iter().copied().map(MasterId).collect::<Vec<_>>();
        let (first, through) = (named(first), named(through));
        self.run(id, listener, &first, &through).await;
    }

    async fn run(
        &mut self,
        id: MasterId,
        listener: std::net::TcpListener,
        first: &[MasterId],
        through: &[MasterId],
    ) {
        let store = Store::open(StoreConfig::new(self.data_dir(id), id)).unwrap();
        let first = first.iter().map(|id| (*id, self.addresses.get(id).unwrap().clone()));
        let join = through.iter().map(|id| self.addresses.get(id).unwrap().clone()).collect();
        let config = NodeConfig {
            id,
            cluster_name: "test".to_owned(),
            initial_cluster: first.collect(),
            join,
            grpc_address: self.addresses.get(&id).unwrap().clone(),
            http_address: String::new(),
            zone: None,
            heartbeat_interval: Duration::from_millis(50),
            election_timeout: self.election_timeout,
            autopilot: self.autopilot,
            log: self.log,
            bounds: self.bounds,
            dialer: proto::channel::Dialer::plain(),
            wall: Arc::<Wall>::clone(self.walls.get(&id).unwrap()),
        };
        let is_deaf = self.deaf.get(&id).unwrap().subscribe();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let start = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let node = Node::start(config, store).await.unwrap();
            let service = Gated { inner: RaftEndpoint::server(node.clone()), is_deaf };
            let server = tonic::transport::Server::builder().add_service(service);
            let serve = server.serve_with_incoming(TcpListenerStream::new(listener));
            #[expect(clippy::disallowed_methods, reason = "it ends with the runtime")]
            tokio::task::spawn(async { serve.await.unwrap() });
            node
        };
        let node = runtime.spawn(start).await.unwrap();
        self.members.insert(id, Member { node, runtime });
    }

    pub(crate) fn data_dir(&self, id: MasterId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) async fn stop(&mut self, id: MasterId) {
        let Member { node, runtime } = self.members.remove(&id).unwrap();
        let node = runtime.spawn(async move { (node.shutdown().await, node).1 }).await.unwrap();
        tokio::task::spawn_blocking(|| Member { node, runtime }.end()).await.unwrap();
    }

    /// Starts a stopped member again where it was.
    pub(crate) async fn restart(&mut self, id: MasterId) {
        self.start_member(id.0, &[1, 2, 3]).await;
    }

    /// Copies a stopped member's disk.
    pub(crate) fn copy(&self, id: MasterId) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_tree(&self.data_dir(id), copy.path());
        copy
    }

    /// Puts a copy of its disk back under a stopped member.
    pub(crate) fn put_back(&self, id: MasterId, copy: &TempDir) {
        self.wipe(id);
        copy_tree(copy.path(), &self.data_dir(id));
    }

    /// Gives a stopped member another address, at which nobody listens yet.
    pub(crate) async fn move_to_another_address(&mut self, id: MasterId) {
        let free = listen("127.0.0.1:0").await.unwrap();
        self.addresses.insert(id, free.local_addr().unwrap().to_string());
    }

    /// Takes a stopped member's disk away.
    pub(crate) fn wipe(&self, id: MasterId) {
        std::fs::remove_dir_all(self.data_dir(id)).unwrap();
    }

    /// Has the leader begin its term, which fixes the cluster's id, and waits until all know it.
    pub(crate) async fn begin_term(&self, id: ClusterId) {
        let leader = self.node(self.leader().await).clone();
        let term = leader.leadership().borrow().term();
        leader.begin_log_time().await;
        let live_bytes_max = Limits::LIVE_BYTES_DEFAULT;
        let leader_id = leader.id();
        let begin =
            Command::BeginTerm(BeginTerm { term, leader: leader_id, cluster: id, live_bytes_max });
        leader.propose_as_leader(term, &begin).await.unwrap();
        for member in self.members.values() {
            eventually("the cluster id", || async { member.node.cluster_id() }).await;
        }
    }

    /// Has a member do nothing for so long, as a machine does whose disk hangs.
    pub(crate) fn stall(&self, id: MasterId, stall: Duration) {
        let member = self.members.get(&id).unwrap();
        drop(member.runtime.spawn(async move { std::thread::sleep(stall) }));
    }

    /// Has a member take in nothing that is appended from now on, as if its disk were very slow.
    pub(crate) fn deafen(&self, id: MasterId) {
        self.deaf.get(&id).unwrap().send_replace(true);
    }

    /// Has a member that was deaf take in what is appended again.
    pub(crate) fn undeafen(&self, id: MasterId) {
        self.deaf.get(&id).unwrap().send_replace(false);
    }

    /// Sets the wall clocks of all members so far ahead that come into question.
    pub(crate) fn advance_walls(&self, by: Duration, whose: impl Fn(MasterId) -> bool) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        for (_, wall) in self.walls.iter().filter(|(id, _)| whose(**id)) {
            wall.0.store(millis, Ordering::Relaxed);
        }
    }

    pub(crate) fn node(&self, id: MasterId) -> &Node {
        &self.members.get(&id).unwrap().node
    }

    pub(crate) async fn leader(&self) -> MasterId {
        eventually("a leader", || async {
            let leads = |member: &&Member| member.node.holds_quorum_lease();
            self.members.values().find(leads).map(|member| member.node.id())
        })
        .await
    }

    pub(crate) async fn follower(&self) -> MasterId {
        let leader = self.leader().await;
        *self.members.keys().find(|id| **id != leader).unwrap()
    }
}

pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let look = async || look().await.ok_or_else(|| "it is not there".to_owned());
    ::eventually::eventually(what, PATIENCE, look).await
}

/// Looks all the time for so long.
pub(crate) async fn throughout(how_long: Duration, mut holds: impl FnMut()) {
    let end = tokio::time::Instant::now() + how_long;
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    while tokio::time::Instant::now() < end {
        holds();
        looks.tick().await;
    }
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn listen(address: &str) -> Option<std::net::TcpListener> {
    // Tokio's listener reuses an address that the last one has just left.
    TcpListener::bind(address).await.ok()?.into_std().ok()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, member) in std::mem::take(&mut self.members) {
            // Blocking is not for a thread of the test's own runtime.
            std::thread::spawn(|| member.end()).join().unwrap();
        }
    }
}

pub(crate) fn register(worker: &str) -> Command {
    Command::RegisterWorker(RegisterWorker {
        worker: worker.parse().unwrap(),
        address: None,
        labels: None,
    })
}

pub(crate) fn knows(node: &Node, worker: &str) -> bool {
    let worker: WorkerId = worker.parse().unwrap();
    node.reader().with(|state| state.worker(&worker).is_some())
}
