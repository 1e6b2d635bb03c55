//! Tests of a sender whose snapshot was refused.

use cluster_state::{LogIndex, MasterId, Term};
use futures_util::stream;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, RaftSnapshotBuilder};
use tempfile::TempDir;
use tonic::Status;

use super::outgoing::Progress;
use super::*;
use crate::types::{Entry, log_id};
use crate::{Store, StoreConfig};

const PEER: NodeId = NodeId(2);

/// Returns a connection to a peer that refuses connections.
fn peer() -> Peer {
    let identity = PeerIdentity::new(NodeId(1), "test", None);
    let network = Network::new(identity);
    network.peer(PEER, &MasterNode::at(MasterId(2), "127.0.0.1:1"))
}

fn refused(status: Status) -> SendError {
    SendError::Receiver(Box::new(status))
}

#[tokio::test]
async fn a_snapshot_that_its_receiver_cannot_use_is_offered_ever_more_rarely() {
    let mut peer = peer();
    let mut rests = Vec::new();
    for _ in 0..8 {
        peer.on_snapshot_failed(&refused(Status::failed_precondition("it cannot be used")));
        rests.push(peer.snapshot_rest.as_secs());
    }
    assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);

    peer.on_snapshot_failed(&refused(Status::aborted("another transfer has begun")));
    assert_eq!(peer.snapshot_rest, Duration::ZERO, "nothing is wrong with the snapshot");
}

#[tokio::test]
async fn a_receiver_that_is_away_is_no_news_and_one_that_refuses_is_once() {
    let mut peer = peer();
    peer.on_snapshot_failed(&refused(Status::unavailable("connection refused")));
    assert_eq!(peer.snapshot_trouble, None);
    peer.on_snapshot_failed(&refused(Status::failed_precondition("it cannot be used")));
    let told = peer.snapshot_trouble.clone();
    assert!(told.as_ref().is_some_and(|told| told.contains("it cannot be used")), "{told:?}");
    peer.on_snapshot_failed(&refused(Status::unavailable("connection refused")));
    assert_eq!(peer.snapshot_trouble, told, "what it refused before it is still known");
    peer.on_snapshot_taken();
    assert_eq!((peer.snapshot_trouble, peer.snapshot_rest), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_not_offered_before_its_sender_has_rested() {
    let home = TempDir::new().unwrap();
    let mut store = Store::open(StoreConfig::new(home.path(), MasterId(1))).unwrap();
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    let snapshot = builder.build_snapshot().await.unwrap();
    let mut peer = peer();
    peer.on_snapshot_failed(&refused(Status::failed_precondition("it cannot be used")));
    peer.on_snapshot_failed(&refused(Status::failed_precondition("it cannot be used")));

    let began_at = Instant::now();
    let vote = Vote::new_committed(1, NodeId(1));
    let option = RPCOption::new(Duration::from_secs(600));
    let sent = peer.full_snapshot(vote, snapshot.clone(), std::future::pending(), option.clone());
    sent.await.unwrap_err();
    assert!(began_at.elapsed() >= Duration::from_secs(2), "after {:?}", began_at.elapsed());

    // A term that is over does not wait for it.
    peer.on_snapshot_failed(&refused(Status::failed_precondition("it cannot be used")));
    let closed = std::future::ready(ReplicationClosed::new("the term is over"));
    let sent = peer.full_snapshot(vote, snapshot, closed, option);
    let closed_at = Instant::now();
    assert!(matches!(sent.await, Err(StreamingError::Closed(_))));
    assert_eq!(closed_at.elapsed(), Duration::ZERO);
}

/// Returns a snapshot of a store that has applied one more entry.
async fn snapshot_after(store: &mut Store, index: u64) -> RaftSnapshot {
    let entry = Entry { log_id: log_id(Term(1), LogIndex(index)), payload: EntryPayload::Blank };
    store.machine.apply(stream::iter([Ok((entry, None))])).await.unwrap();
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    builder.build_snapshot().await.unwrap()
}

async fn to_send(store: &mut Store) -> SnapshotData {
    store.machine.get_current_snapshot().await.unwrap().unwrap().snapshot
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_kept_as_long_as_it_is_sent() {
    let home = TempDir::new().unwrap();
    let mut store = Store::open(StoreConfig::new(home.path(), MasterId(1))).unwrap();
    let outgoing = Arc::new(Outgoing::default());
    let first = snapshot_after(&mut store, 0).await.snapshot;
    let (id, path) = (first.id().to_owned(), first.path().to_owned());
    let sending = outgoing.begin_snapshot(PEER, &first);
    drop(first);

    let second = snapshot_after(&mut store, 1).await.snapshot;
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let progress = outgoing.progress(Instant::now(), &[PEER]).into_values().collect::<Vec<_>>();
    assert_eq!(
        progress,
        [Progress { after_snapshot: Some(1), is_served: false }],
        "it has not answered"
    );
    assert_eq!(to_send(&mut store).await.id(), id);

    // The transfer breaks off, and nobody goes on with it.
    sending.on_answered();
    drop(sending);
    let progress = outgoing.progress(Instant::now(), &[PEER]).into_values().collect::<Vec<_>>();
    assert_eq!(progress, [Progress { after_snapshot: Some(1), is_served: true }]);
    assert_eq!(to_send(&mut store).await.id(), id);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    outgoing.progress(Instant::now(), &[PEER]);
    assert_eq!(to_send(&mut store).await.id(), second.id());
    assert!(!path.exists());

    // The log does not reach back to it.
    let sending = outgoing.begin_snapshot(PEER, &second);
    let last = snapshot_after(&mut store, 2).await.snapshot;
    drop(second);
    assert_eq!(to_send(&mut store).await.meta().last_log_id.unwrap().index, 1);
    outgoing.end(PEER);
    sending.ended().await;
    assert_eq!(to_send(&mut store).await.id(), last.id());
    drop(sending);

    // Its receiver is no member any more: the others are not sent what is kept for it.
    let sending = outgoing.begin_snapshot(PEER, &last);
    sending.on_answered();
    let newest = snapshot_after(&mut store, 3).await.snapshot;
    drop((sending, last));
    outgoing.progress(Instant::now(), &[PEER]);
    assert_ne!(to_send(&mut store).await.id(), newest.id());
    outgoing.progress(Instant::now(), &[]);
    assert_eq!(to_send(&mut store).await.id(), newest.id());
}
