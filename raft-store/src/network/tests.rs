//! What a sender does after its snapshot was refused.

use cluster_state::MasterId;
use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;
use tempfile::TempDir;

use super::*;
use crate::{Store, StoreConfig};

/// The way to a peer that refuses connections.
fn peer() -> Peer {
    let identity = PeerIdentity::new(MasterId(1), "test", None);
    Network { identity, acks: Arc::default() }.peer(2, &BasicNode::new("127.0.0.1:1"))
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
    let vote = Vote::new_committed(1, 1);
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
