//! Tests of a node in a process that outlives it, and of one that was restarted.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::LogIndex;
use openraft::impls::BasicNode;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{EntryPayload, Membership};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::open::StoreConfig;
use crate::propose::ProposalBounds;
use crate::retention::{LogBounds, LogExtent};
use crate::types::{Entry, Vote, log_id};

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
        http_address: String::new(),
        heartbeat_interval: Duration::from_millis(50),
        election_timeout: (Duration::from_millis(250), Duration::from_millis(400)),
        log: LogBounds {
            snapshot_every: LogExtent { entries: 1_000, bytes: u64::MAX },
            kept: LogExtent { entries: 10, bytes: u64::MAX },
            held_bytes: u64::MAX,
        },
        bounds: ProposalBounds::default(),
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
    let nodes = (1..=3).map(|id| (id, BasicNode::new(address))).collect::<BTreeMap<u64, _>>();
    let membership = Membership::new(vec![BTreeSet::from([1, 2, 3])], nodes).unwrap();
    let entry = |index, payload| Entry { log_id: log_id(Term(1), LogIndex(index)), payload };
    let entries = [entry(0, EntryPayload::Membership(membership)), entry(1, EntryPayload::Blank)];
    let mut log = open(dir).log;
    log.save_vote(&Vote::new_committed(1, 2)).await.unwrap();
    log.blocking_append(entries).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_voter_stands_for_election_when_what_it_promised_is_over() {
    let others = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = TempDir::new().unwrap();
    make_voter(&dir, &others.local_addr().unwrap().to_string()).await;
    let lease = Duration::from_secs(2);
    let election_timeout = (Duration::from_millis(100), lease);

    let started_at = Instant::now();
    let config = NodeConfig { election_timeout, ..config(&[]) };
    let node = Node::start(config, open(&dir)).await.unwrap();
    // Nobody leads, so it calls the others as soon as it stands.
    tokio::time::timeout(PATIENCE, others.accept()).await.unwrap().unwrap();

    assert!(started_at.elapsed() >= lease, "it stood after {:?}", started_at.elapsed());
    node.shutdown().await;
}
