//! Tests of a master's reaction to a leader's messages.

use eventually::{PATIENCE, until};
use tempfile::TempDir;
use tonic::Code;

use super::*;
use crate::log_node::NodeId;
use crate::network::identity::PeerIdentity;
use crate::node::tests::start;

/// Returns node 1 of three. The others have introduced themselves, and nobody leads.
async fn node(dir: &TempDir) -> Node {
    let node = start(dir, &[(1, "127.0.0.1:1"), (2, "127.0.0.1:1"), (3, "127.0.0.1:1")]).await;
    for other in [2, 3] {
        let caller = v1::MasterDescription { node: other, name: other, ..Default::default() };
        let cluster_name = "test".to_owned();
        let caller = Some(caller);
        node.meet(&v1::IntroduceRequest { caller, cluster_name, join_through: None });
    }
    node
}

/// Returns a stream of node 2.
fn incoming(node: &Node) -> Incoming {
    let peer = PeerIdentity::new(NodeId(2), "test", None);
    let call = peer.sign((), node.node_id());
    let caller = node.identity().check(call.metadata()).unwrap();
    Incoming { node: node.clone(), caller, is_ended: false, reason: Reason::default() }
}

fn vote(term: u64, node_id: u64) -> Option<v1::BallotVote> {
    Some(v1::BallotVote { term, node_id, committed: true })
}

fn heartbeat(term: u64, node_id: u64) -> v1::AppendRequest {
    v1::AppendRequest { vote: vote(term, node_id), prev: None, entries: Vec::new(), commit: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leads_no_more_is_not_heard() {
    let dir = TempDir::new().unwrap();
    let node = node(&dir).await;
    let obeyed = wire::append_in(heartbeat(5, 3)).unwrap();
    node.raft().append_entries(obeyed).await.unwrap();
    until("the term is known", PATIENCE, || node.known_of(NodeId(3)).term >= 5).await;
    let mut incoming = incoming(&node);

    assert!(incoming.take(Some(Ok(heartbeat(4, 2)))).is_some(), "Raft answers it");
    assert_eq!(node.contact().heard_at(), None);
    assert!(incoming.take(Some(Ok(heartbeat(5, 3)))).is_some());
    assert!(node.contact().heard_at().is_some());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_told_why_its_stream_was_ended() {
    let dir = TempDir::new().unwrap();
    let node = node(&dir).await;
    let mut incoming = incoming(&node);
    let unknown =
        v1::Entry { log_id: Some(v1::LogId { term: 1, index: 0 }), kind: 9, payload: "".into() };

    let message = v1::AppendRequest { entries: vec![unknown], ..heartbeat(1, 2) };
    assert!(incoming.take(Some(Ok(message))).is_none());

    let reason = incoming.reason.lock().take().unwrap();
    assert_eq!(reason.code(), Code::InvalidArgument);
    assert_eq!(reason.message(), "log entry has unknown kind 9");
    node.shutdown().await;
}
