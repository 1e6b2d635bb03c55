//! Three nodes in one process, over real sockets and real disks: elections, forwarding, reads,
//! hand-over, catching up.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    ClusterId, Command, MasterId, RegisterWorker, Rejection, Reply, State, Term, Tick, WorkerId,
};
use raft_store::{
    Leadership, Node, NodeConfig, ProposalBounds, ProposeError, ReadError, Store, StoreConfig,
    TransferError,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::TcpListenerStream;

/// Far above what any step takes, so that only a real failure ends it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node on a runtime of its own, so that stopping it ends its connections as a process's end
/// would.
struct Member {
    node: Node,
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

struct Cluster {
    dir: TempDir,
    addresses: BTreeMap<MasterId, String>,
    members: BTreeMap<MasterId, Member>,
    snapshot_every: u64,
}

impl Cluster {
    async fn start(snapshot_every: u64) -> Self {
        let mut listeners = BTreeMap::new();
        for id in 1..=3 {
            listeners.insert(MasterId(id), listen("127.0.0.1:0").await.unwrap());
        }
        let addresses = listeners
            .iter()
            .map(|(id, listener)| (*id, listener.local_addr().unwrap().to_string()))
            .collect();
        let dir = TempDir::new().unwrap();
        let mut cluster = Self { dir, addresses, members: BTreeMap::new(), snapshot_every };
        for (id, listener) in listeners {
            cluster.join(id, listener).await;
        }
        cluster
    }

    async fn join(&mut self, id: MasterId, listener: std::net::TcpListener) {
        let store = Store::open(StoreConfig::new(self.data_dir(id), id)).unwrap();
        let config = NodeConfig {
            id,
            cluster_name: "test".to_owned(),
            initial_cluster: self.addresses.clone(),
            http_address: String::new(),
            heartbeat_interval: Duration::from_millis(50),
            election_timeout: (Duration::from_millis(250), Duration::from_millis(400)),
            snapshot_every: self.snapshot_every,
            log_kept: 10,
            bounds: ProposalBounds::default(),
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let start = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let node = Node::start(config, store).await.unwrap();
            let server = tonic::transport::Server::builder().add_service(node.raft_service());
            let serve = server.serve_with_incoming(TcpListenerStream::new(listener));
            #[expect(clippy::disallowed_methods, reason = "it ends with the runtime")]
            tokio::task::spawn(async { serve.await.unwrap() });
            node
        };
        let node = runtime.spawn(start).await.unwrap();
        self.members.insert(id, Member { node, runtime });
    }

    fn data_dir(&self, id: MasterId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    async fn stop(&mut self, id: MasterId) {
        let Member { node, runtime } = self.members.remove(&id).unwrap();
        let node = runtime.spawn(async move { (node.shutdown().await, node).1 }).await.unwrap();
        tokio::task::spawn_blocking(|| Member { node, runtime }.end()).await.unwrap();
    }

    /// Starts a stopped member again where it was.
    async fn restart(&mut self, id: MasterId) {
        let address = self.addresses.get(&id).unwrap().clone();
        let data_dir = self.data_dir(id);
        eventually("the data directory is free", || {
            let opened = Store::open(StoreConfig::new(&data_dir, id));
            async move { opened.ok().map(drop) }
        })
        .await;
        let listener = eventually("the port is free", || async { listen(&address).await }).await;
        self.join(id, listener).await;
    }

    fn node(&self, id: MasterId) -> &Node {
        &self.members.get(&id).unwrap().node
    }

    async fn leader(&self) -> MasterId {
        eventually("a leader", || async {
            let leads = |member: &&Member| member.node.holds_quorum_lease();
            self.members.values().find(leads).map(|member| member.node.id())
        })
        .await
    }

    async fn follower(&self) -> MasterId {
        let leader = self.leader().await;
        *self.members.keys().find(|id| **id != leader).unwrap()
    }
}

async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
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

fn register(worker: &str) -> Command {
    Command::RegisterWorker(RegisterWorker {
        worker: worker.parse().unwrap(),
        address: None,
        labels: BTreeMap::new(),
    })
}

fn knows(node: &Node, worker: &str) -> bool {
    let worker: WorkerId = worker.parse().unwrap();
    node.reader().with(|state| state.worker(&worker).is_some())
}

fn records(state: &State) -> Vec<String> {
    state.changes().map(|change| format!("{change:?}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_takes_writes_and_answers_linearizable_reads() {
    let cluster = Cluster::start(100_000).await;
    cluster.leader().await;
    for (number, writer) in cluster.members.values().enumerate() {
        let worker = format!("w{number}");
        let committed = writer.node.propose(&register(&worker)).await.unwrap();
        assert_eq!(committed.reply, Reply::Done);
        for reader in cluster.members.values() {
            let point = reader.node.linearize().await.unwrap();
            assert!(point.index >= committed.index);
            assert!(knows(&reader.node, &worker));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_reach_the_same_state() {
    let cluster = Cluster::start(100_000).await;
    let node = cluster.node(cluster.follower().await);
    let proposals = (0..500).map(|number| {
        let node = node.clone();
        async move { node.propose(&register(&format!("w{number}"))).await.unwrap() }
    });
    futures_util::future::join_all(proposals).await;
    for member in cluster.members.values() {
        member.node.linearize().await.unwrap();
    }
    let states = cluster.members.values().map(|m| m.node.reader().with(records));
    let states = states.collect::<Vec<_>>();
    assert_eq!(states[0], states[1]);
    assert_eq!(states[1], states[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_reaches_whoever_asked_a_follower() {
    let cluster = Cluster::start(100_000).await;
    let node = cluster.node(cluster.follower().await);
    let unregister = Command::UnregisterWorker { worker: "nobody".parse().unwrap() };
    let refused = node.propose(&unregister).await.unwrap_err();
    assert!(refused.is_certain());
    let ProposeError::Rejected { rejection, .. } = refused else { panic!("{refused}") };
    assert_eq!(rejection, Rejection::UnknownWorker { worker: "nobody".into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_outlives_its_leader() {
    let mut cluster = Cluster::start(100_000).await;
    let first = cluster.leader().await;
    cluster.node(first).propose(&register("before")).await.unwrap();
    cluster.stop(first).await;

    let survivor = cluster.node(*cluster.members.keys().next().unwrap()).clone();
    survivor.propose(&register("after")).await.unwrap();
    assert!(knows(cluster.node(cluster.leader().await), "before"));

    cluster.restart(first).await;
    let back = cluster.node(first).clone();
    back.linearize().await.unwrap();
    assert!(knows(&back, "before") && knows(&back, "after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_majority_answers_nothing() {
    let mut cluster = Cluster::start(100_000).await;
    let last = cluster.leader().await;
    let others = cluster.members.keys().copied().filter(|id| *id != last).collect::<Vec<_>>();
    for other in others {
        cluster.stop(other).await;
    }
    let node = cluster.node(last).clone();
    let mut leadership = node.leadership();
    tokio::time::timeout(
        PATIENCE,
        leadership.wait_for(|seen| matches!(seen, Leadership::Leaderless { .. })),
    )
    .await
    .unwrap()
    .unwrap();
    assert!(!node.holds_quorum_lease());
    let (written, read) = tokio::join!(async { node.propose(&register("lost")).await }, async {
        node.linearize().await
    });
    assert_eq!(written, Err(ProposeError::NoLeader));
    assert_eq!(read, Err(ReadError::NoLeader));
    assert!(!knows(&node, "lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_on_request() {
    let cluster = Cluster::start(100_000).await;
    let old = cluster.leader().await;
    let to = cluster.follower().await;
    assert_eq!(cluster.node(to).transfer_leader(None).await, Err(TransferError::NotLeader));
    assert_eq!(
        cluster.node(old).transfer_leader(Some(MasterId(9))).await,
        Err(TransferError::NotAVoter(MasterId(9)))
    );
    assert_eq!(cluster.node(old).transfer_leader(Some(to)).await, Ok(to));
    assert_eq!(cluster.leader().await, to);
    cluster.node(old).propose(&register("w1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_of_an_older_term_is_refused() {
    let cluster = Cluster::start(100_000).await;
    let leader = cluster.node(cluster.leader().await);
    let Leadership::Leading { term } = *leader.leadership().borrow() else { panic!() };
    let barrier = begin_term(term, leader.id());
    leader.propose_as_leader(term, &barrier).await.unwrap();

    let stale = Command::Tick(Tick { term: Term(0), forget: Vec::new() });
    let refused = leader.propose_as_leader(term, &stale).await.unwrap_err();
    let ProposeError::Rejected { rejection, .. } = refused else { panic!("{refused}") };
    assert_eq!(rejection, Rejection::StaleTerm { term: Term(0), current: term });

    let not_ours = leader.propose_as_leader(term.next(), &stale).await;
    assert_eq!(not_ours, Err(ProposeError::NotLeader { leader: None }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_learns_the_cluster_id_for_good() {
    let mut cluster = Cluster::start(100_000).await;
    let leader = cluster.node(cluster.leader().await).clone();
    let Leadership::Leading { term } = *leader.leadership().borrow() else { panic!() };
    let barrier = begin_term(term, leader.id());
    leader.propose_as_leader(term, &barrier).await.unwrap();
    for member in cluster.members.values() {
        let id = eventually("the cluster id", || async { member.node.cluster_id() }).await;
        assert_eq!(id, ClusterId(7));
    }
    let follower = cluster.follower().await;
    cluster.stop(follower).await;
    cluster.restart(follower).await;
    assert_eq!(cluster.node(follower).cluster_id(), Some(ClusterId(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_for_long_is_brought_up_by_a_snapshot() {
    let mut cluster = Cluster::start(50).await;
    let away = cluster.follower().await;
    cluster.stop(away).await;

    let leader = Arc::new(cluster.node(cluster.leader().await).clone());
    for number in 0..300 {
        leader.propose(&register(&format!("w{number}"))).await.unwrap();
    }
    eventually("the log is purged", || async {
        leader.local_status().purged.filter(|purged| purged.0 > 100)
    })
    .await;

    cluster.restart(away).await;
    let back = cluster.node(away).clone();
    // One read waits five seconds at most for what has yet to be applied.
    eventually("it has caught up", || async { back.linearize().await.ok() }).await;
    assert!(knows(&back, "w0") && knows(&back, "w299"));
    // Readers see what a snapshot brought as soon as it is installed; the status follows.
    eventually("the status names it", || async { back.local_status().snapshot }).await;
}

fn begin_term(term: Term, leader: MasterId) -> Command {
    let live_bytes_max = cluster_state::Limits::LIVE_BYTES_DEFAULT;
    Command::BeginTerm { term, leader, cluster: ClusterId(7), live_bytes_max }
}
