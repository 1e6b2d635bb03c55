//! Snapshots from leaders that are obeyed, and from others.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use bytes::Bytes;
use cluster_state::{ClusterId, LogIndex, MasterId, Term};
use futures_util::stream;
use openraft::EntryPayload;
use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use proto::v1::snapshot_message::Part;
use raft_store::{Chunk, Entry, Leadership, NodeId, SnapshotData, Store, StoreConfig, log_id};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::harness::{Cluster, eventually};

const CLUSTER: ClusterId = ClusterId(7);

/// The call of a member to another.
fn signed<T>(message: T, to: NodeId) -> Request<T> {
    let mut request = Request::new(message);
    let headers = request.metadata_mut();
    headers.insert("cluster-name", "test".parse().unwrap());
    headers.insert("cluster-id", CLUSTER.to_string().parse().unwrap());
    headers.insert("to-node", to.0.to_string().parse().unwrap());
    request
}

fn vote(term: Term, leader: NodeId) -> Option<v1::BallotVote> {
    Some(v1::BallotVote { term: term.0, node_id: leader.0, committed: true })
}

/// A snapshot of something that every member has.
async fn old_snapshot(home: &TempDir) -> (Store, SnapshotData) {
    let mut store = Store::open(StoreConfig::new(home.path(), MasterId(9))).unwrap();
    let first = Entry { log_id: log_id(Term(0), LogIndex(0)), payload: EntryPayload::Blank };
    store.machine.apply(stream::iter([Ok((first, None))])).await.unwrap();
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    let data = builder.build_snapshot().await.unwrap().snapshot;
    (store, data)
}

async fn parts(vote: Option<v1::BallotVote>, data: &SnapshotData) -> Vec<v1::SnapshotMessage> {
    let manifest = Bytes::from(data.manifest().await.unwrap().encode().unwrap());
    let mut parts = vec![Part::Header(v1::SnapshotHeader { vote, manifest })];
    let mut chunks = data.chunks(&[]).await.unwrap();
    while let Some(Chunk { file, offset, crc32, bytes }) = chunks.next().await.unwrap() {
        parts.push(Part::Chunk(v1::SnapshotChunk { file, offset, crc32, data: bytes }));
    }
    parts.into_iter().map(|part| v1::SnapshotMessage { part: Some(part) }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_of_the_past_does_not_end_the_transfer_of_the_present_one() {
    let cluster = Cluster::start(100_000).await;
    cluster.begin_term(CLUSTER).await;
    let to = cluster.follower().await;
    let seen = eventually("it follows", || async {
        let seen = *cluster.node(to).leadership().borrow();
        matches!(seen, Leadership::Following { .. }).then_some(seen)
    })
    .await;
    let leader = seen.leader(to).unwrap();
    let past = *cluster.members.keys().find(|id| ![to, leader].contains(id)).unwrap();
    let address = cluster.addresses.get(&to).unwrap();
    let [to, leader, past] = [to, leader, past].map(|id| cluster.node(id).node_id());
    let mut client = RaftServiceClient::<Channel>::new(
        proto::channel::Dialer::plain().connect_lazily(address).unwrap(),
    );
    let home = TempDir::new().unwrap();
    let (_store, data) = old_snapshot(&home).await;

    // The leader's transfer is half-way.
    let mut parts_of_leader = parts(vote(seen.term(), leader), &data).await;
    let rest = parts_of_leader.split_off(2);
    assert!(!rest.is_empty());
    let (send, outgoing) = mpsc::channel(1);
    let mut transfer = client.clone();
    let request = signed(ReceiverStream::new(outgoing), to);
    let of_leader = async { transfer.install_snapshot(request).await };
    let of_past = async {
        for part in parts_of_leader {
            send.send(part).await.unwrap();
        }
        let term = Term(seen.term().0 - 1);
        let parts_of_past = parts(vote(term, past), &data).await;
        let request = signed(stream::iter(parts_of_past), to);
        let refused = client.install_snapshot(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted, "{refused}");
        let manifest = Bytes::from(data.manifest().await.unwrap().encode().unwrap());
        let question = v1::ResumeSnapshotRequest { manifest, vote: vote(term, past) };
        let refused = client.resume_snapshot(signed(question, to)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted, "{refused}");
        for part in rest {
            send.send(part).await.unwrap();
        }
        drop(send);
    };
    let (installed, ()) = tokio::join!(of_leader, of_past);

    let answered = installed.unwrap().into_inner().vote.unwrap();
    assert_eq!((answered.term, answered.node_id), (seen.term().0, leader.0));
}
