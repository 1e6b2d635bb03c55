//! Tests of a node in a process that outlives it, and of one that was restarted.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use cluster_state::{AutopilotSettings, LogIndex};
use openraft::EntryPayload;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use super::*;
use crate::open::StoreConfig;
use crate::propose::ProposalBounds;
use crate::raft_service::RaftServer;
use crate::retention::{LogBounds, LogExtent};
use crate::types::{self, Entry, MasterNode, Vote, log_id};

const PATIENCE: Duration = Duration::from_secs(20);

fn open(dir: &TempDir) -> Store {
    Store::open(StoreConfig::new(dir.path(), MasterId(1))).unwrap()
}

fn config(first: &[(u64, &str)]) -> NodeConfig {
    let first = first.iter().map(|(id, address)| (MasterId(*id), (*address).to_owned()));
    NodeConfig {
        id: MasterId(1),
        cluster_name: "test".to_owned(),
        initial_cluster: first.collect(),
        join: Vec::new(),
        grpc_address: "127.0.0.1:1".to_owned(),
        http_address: String::new(),
        zone: None,
        heartbeat_interval: Duration::from_millis(50),
        election_timeout: (Duration::from_millis(250), Duration::from_millis(400)),
        autopilot: AutopilotSettings::default(),
        log: LogBounds {
            snapshot_every: LogExtent { entries: 1_000, bytes: u64::MAX },
            kept: LogExtent { entries: 10, bytes: u64::MAX },
            held_bytes: u64::MAX,
        },
        bounds: ProposalBounds::default(),
        dialer: Dialer::plain(),
        wall: Arc::new(crate::clock::SystemClock),
    }
}

/// Starts node 1 of the cluster of these first members. Nobody can call it.
pub(crate) async fn start(dir: &TempDir, first: &[(u64, &str)]) -> Node {
    Node::start(config(first), open(dir)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_raft_is_fatal_unless_the_node_was_stopped() {
    for is_stopped in [false, true] {
        let dir = TempDir::new().unwrap();
        let node = start(&dir, &[(1, "127.0.0.1:1")]).await;
        // Before that, whoever founds the cluster could be the first to notice.
        let mut leadership = node.leadership();
        let leads = leadership.wait_for(Leadership::is_leading);
        tokio::time::timeout(PATIENCE, leads).await.unwrap().unwrap();
        if is_stopped {
            node.shutdown().await;
            node.tasks().wait().await;
            assert_eq!(node.fatal().reason(), None);
        } else {
            node.raft().shutdown().await.unwrap();
            let raised = tokio::time::timeout(PATIENCE, node.fatal().raised());
            let reason = raised.await.unwrap();
            assert!(reason.starts_with("replication has ended"), "{reason}");
        }
    }
}

/// Creates a voter of three, all others at `address`, that has obeyed node 2.
async fn make_voter(dir: &TempDir, address: &str) {
    let mut log = open(dir).log;
    let ids = [log.identity().node, NodeId(2), NodeId(3)];
    let nodes =
        ids.iter().zip(1..).map(|(id, name)| (*id, MasterNode::at(MasterId(name), address)));
    let voters = vec![BTreeSet::from(ids)];
    let membership = types::Membership::new(voters, nodes.collect::<BTreeMap<_, _>>()).unwrap();
    let entry = |index, payload| Entry { log_id: log_id(Term(1), LogIndex(index)), payload };
    let entries = [entry(0, EntryPayload::Membership(membership)), entry(1, EntryPayload::Blank)];
    log.save_vote(&Vote::new_committed(1, NodeId(2))).await.unwrap();
    log.blocking_append(entries).await.unwrap();
}

/// Tells of each request for its vote, and grants none.
#[derive(Clone)]
struct Voter {
    asked: mpsc::Sender<()>,
}

impl NamedService for Voter {
    const NAME: &'static str = RaftServer::NAME;
}

impl Service<http::Request<Body>> for Voter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().ends_with("Vote") {
            self.asked.try_send(()).ok();
        }
        ready(Ok(Status::unavailable("it only listens").into_http()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_voter_stands_for_election_when_what_it_promised_is_over() {
    let others = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = TempDir::new().unwrap();
    make_voter(&dir, &others.local_addr().unwrap().to_string()).await;
    let (asked, mut is_asked) = mpsc::channel(1);
    let serve = tonic::transport::Server::builder().add_service(Voter { asked });
    let serve = serve.serve_with_incoming(TcpListenerStream::new(others));
    #[expect(clippy::disallowed_methods, reason = "it ends with the handle")]
    let serving = AbortOnDropHandle::new(tokio::spawn(serve));
    let lease = Duration::from_secs(2);
    let election_timeout = (Duration::from_millis(100), lease);

    let started_at = Instant::now();
    let config = NodeConfig { election_timeout, ..config(&[]) };
    let node = Node::start(config, open(&dir)).await.unwrap();
    // Nobody leads, so it asks the others for their votes as soon as it stands.
    tokio::time::timeout(PATIENCE, is_asked.recv()).await.unwrap().unwrap();

    assert!(started_at.elapsed() >= lease, "it stood after {:?}", started_at.elapsed());
    node.shutdown().await;
    drop(serving);
}
