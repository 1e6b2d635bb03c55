//! Tracks the streams and snapshots to each peer: they show which peers the log is kept for, and
//! can be ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::log_node::NodeId;
use crate::snapshot::SnapshotData;

/// Time for which an absent peer still counts as served: enough for a restart, or for the pause
/// before an interrupted transfer goes on.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// Reason that ends a transmission to a peer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the log is not kept for this member any longer")]
pub(crate) struct LeftBehind;

/// Progress of a transmission to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// First entry that it lacks once it has the latest snapshot that it was sent.
    pub(crate) after_snapshot: Option<u64>,
    /// True if it accepts the transmission, or did a moment ago.
    pub(crate) is_served: bool,
}

/// All transmissions to peers.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    peers: Mutex<BTreeMap<NodeId, Served>>,
}

/// All transmissions to one peer.
#[derive(Debug, Default)]
struct Served {
    /// Number of its open streams and transfers that it has answered.
    open: usize,
    /// Number of its open transfers of a snapshot, answered or not.
    transfers: usize,
    /// Time when the last of them ended, or when it became a peer.
    seen_at: Option<Instant>,
    /// Ends all of them.
    end: CancellationToken,
    /// Snapshot that it is being sent, so that the transfer can go on after a break.
    snapshot: Option<SnapshotData>,
    /// First entry that it lacks once it has the latest snapshot that it was sent.
    after_snapshot: Option<u64>,
}

impl Served {
    fn is_away(&self, now: Instant) -> bool {
        let is_long_ago = |at| now.saturating_duration_since(at) > AWAY_MAX;
        self.open == 0 && self.seen_at.is_none_or(is_long_ago)
    }

    /// Keeps a snapshot; returns the one that was kept before.
    fn keep(&mut self, data: &SnapshotData) -> Option<SnapshotData> {
        let last = data.meta().last_log_id;
        self.after_snapshot = last.map(|last| last.index.saturating_add(1));
        self.snapshot.replace(data.clone())
    }

    /// Stops keeping a snapshot; returns it.
    fn forget(&mut self) -> Option<SnapshotData> {
        self.after_snapshot = None;
        self.snapshot.take()
    }
}

impl Outgoing {
    /// Counts a peer as served until it has had the time to answer.
    pub(crate) fn expect(&self, peer: NodeId) {
        self.with(peer, |served| served.seen_at = Some(Instant::now()));
    }

    /// Records the begin of a stream.
    pub(crate) fn begin(self: &Arc<Self>, peer: NodeId) -> Sending {
        self.begin_with(peer, false)
    }

    /// Records the begin of a snapshot's transfer.
    pub(crate) fn begin_snapshot(self: &Arc<Self>, peer: NodeId, data: &SnapshotData) -> Sending {
        // Dropping the one before may remove its files, which takes a while.
        drop(self.with(peer, |served| {
            served.transfers = served.transfers.saturating_add(1);
            served.keep(data)
        }));
        self.begin_with(peer, true)
    }

    fn begin_with(self: &Arc<Self>, peer: NodeId, is_transfer: bool) -> Sending {
        let end = self.with(peer, |served| served.end.clone());
        let (outgoing, is_answered) = (Arc::clone(self), AtomicBool::new(false));
        Sending { outgoing, peer, end, is_transfer, is_answered }
    }

    /// Returns the progress of the transmission to each peer. From here on nothing is kept for
    /// absent ones, and for logs that were members once: the snapshot that is kept for one peer is
    /// what all others are sent.
    pub(crate) fn progress(&self, now: Instant, members: &[NodeId]) -> BTreeMap<NodeId, Progress> {
        let mut peers = self.peers.lock();
        // Describing a snapshot may take longer than a peer may be absent.
        let idle = peers.iter_mut().filter(|(_, served)| served.transfers == 0);
        let away = idle.filter(|(peer, served)| served.is_away(now) || !members.contains(peer));
        let forgotten = away.map(|(_, served)| served.forget()).collect::<Vec<_>>();
        let progress = peers.iter().map(|(peer, served)| {
            let is_served = !served.is_away(now);
            (*peer, Progress { after_snapshot: served.after_snapshot, is_served })
        });
        let progress = progress.collect();
        drop(peers);
        drop(forgotten);
        progress
    }

    /// Ends the transmissions to a peer; returns true if there were any.
    pub(crate) fn end(&self, peer: NodeId) -> bool {
        let (was_open, end, forgotten) = self.with(peer, |served| {
            (served.open > 0, std::mem::take(&mut served.end), served.forget())
        });
        end.cancel();
        drop(forgotten);
        was_open
    }

    fn with<T>(&self, peer: NodeId, change: impl FnOnce(&mut Served) -> T) -> T {
        change(self.peers.lock().entry(peer).or_default())
    }
}

/// A stream or a transfer to a peer, from its begin to its end.
#[derive(Debug)]
pub(crate) struct Sending {
    outgoing: Arc<Outgoing>,
    peer: NodeId,
    end: CancellationToken,
    is_transfer: bool,
    is_answered: AtomicBool,
}

impl Sending {
    /// Records an answer of the peer.
    pub(crate) fn on_answered(&self) {
        if !self.is_answered.swap(true, Ordering::AcqRel) {
            self.outgoing.with(self.peer, |served| served.open = served.open.saturating_add(1));
        }
    }

    /// Records that the peer has the snapshot.
    pub(crate) fn on_taken(&self) {
        drop(self.outgoing.with(self.peer, |served| served.snapshot.take()));
    }

    /// Waits until it has to end.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Passes on the answers of the peer, and an error when it has to end.
    pub(crate) fn guard<T, E>(
        self,
        answers: impl Stream<Item = Result<T, E>> + Send + Unpin,
        error: impl Fn(LeftBehind) -> E + Send,
    ) -> impl Stream<Item = Result<T, E>> + Send
    where
        T: Send,
        E: Send,
    {
        stream::unfold(Some((answers, self, error)), |under_way| async move {
            let (mut answers, sending, error) = under_way?;
            tokio::select! {
                biased;
                () = sending.ended() => Some((Err(error(LeftBehind)), None)),
                answer = answers.next() => Some((answer?, Some((answers, sending, error)))),
            }
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.outgoing.with(self.peer, |served| {
            if self.is_transfer {
                served.transfers = served.transfers.saturating_sub(1);
            }
            if self.is_answered.load(Ordering::Acquire) {
                served.open = served.open.saturating_sub(1);
                served.seen_at = Some(Instant::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(2);

    fn served(outgoing: &Outgoing) -> Vec<NodeId> {
        let progress = outgoing.progress(Instant::now(), &[PEER]).into_iter();
        progress.filter(|(_, progress)| progress.is_served).map(|(peer, _)| peer).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_is_served_until_it_is_away_for_long() {
        let outgoing = Arc::new(Outgoing::default());
        let stream = outgoing.begin(PEER);
        stream.on_answered();
        tokio::time::advance(AWAY_MAX * 10).await;
        assert_eq!(served(&outgoing), [PEER]);

        drop(stream);
        tokio::time::advance(AWAY_MAX).await;
        assert_eq!(served(&outgoing), [PEER]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(served(&outgoing), Vec::<NodeId>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_that_are_not_answered_keep_nothing() {
        let outgoing = Arc::new(Outgoing::default());
        outgoing.expect(PEER);
        for _ in 0..4 {
            assert_eq!(served(&outgoing), [PEER]);
            drop(outgoing.begin(PEER));
            tokio::time::advance(AWAY_MAX / 3).await;
        }

        assert_eq!(served(&outgoing), Vec::<NodeId>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_for_a_peer_that_is_left_behind_and_a_later_one_does_not() {
        let outgoing = Arc::new(Outgoing::default());
        assert!(!outgoing.end(PEER));
        let stream = outgoing.begin(PEER);
        stream.on_answered();
        let answers = stream::iter([Ok(1)]).chain(stream::pending());
        let mut answers = Box::pin(stream.guard(answers, |LeftBehind| "left behind"));
        assert_eq!(answers.next().await, Some(Ok(1)));

        assert!(outgoing.end(PEER));
        assert_eq!(answers.next().await, Some(Err("left behind")));
        assert_eq!(answers.next().await, None);

        let later = outgoing.begin(PEER).guard(stream::iter([Ok(2)]), |LeftBehind| "left behind");
        assert_eq!(later.collect::<Vec<_>>().await, [Ok(2)]);
    }
}
