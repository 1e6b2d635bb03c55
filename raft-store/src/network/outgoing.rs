//! Streams and snapshots under way to each peer: they say for whom the log is kept, and can be ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::snapshot::SnapshotData;

/// Time for which a peer that is away still counts as served: as a restart takes, or the rest before a
/// transfer goes on that broke off.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// The reason that ends what is sent to a peer.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the log is not kept for this member any longer")]
pub(crate) struct LeftBehind;

/// The reach of what is sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The first entry that it lacks when it has the snapshot that it was sent last.
    pub(crate) after_snapshot: Option<u64>,
    /// True if it takes what it is sent, or did a moment ago.
    pub(crate) is_served: bool,
}

/// Everything that is sent to peers.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    peers: Mutex<BTreeMap<u64, Served>>,
}

/// Everything that is sent to one peer.
#[derive(Debug, Default)]
struct Served {
    /// Streams and transfers that it has answered and that are not over.
    open: usize,
    /// Transfers of a snapshot that are not over, answered or not.
    transfers: usize,
    /// When the last of them was over, or the peer became one.
    seen_at: Option<Instant>,
    /// Ends all that are under way.
    end: CancellationToken,
    /// The snapshot that it is being sent, so that the transfer can go on after a break.
    snapshot: Option<SnapshotData>,
    /// The first entry that it lacks when it has the latest snapshot that it was sent.
    after_snapshot: Option<u64>,
}

impl Served {
    fn is_away(&self, now: Instant) -> bool {
        let is_long_ago = |at| now.saturating_duration_since(at) > AWAY_MAX;
        self.open == 0 && self.seen_at.is_none_or(is_long_ago)
    }

    /// Begins to keep a snapshot; returns the one that was kept before.
    fn keep(&mut self, data: &SnapshotData) -> Option<SnapshotData> {
        let last = data.meta().last_log_id;
        self.after_snapshot = last.map(|last| last.index.saturating_add(1));
        self.snapshot.replace(data.clone())
    }

    /// Keeps nothing any longer; returns what was kept.
    fn forget(&mut self) -> Option<SnapshotData> {
        self.after_snapshot = None;
        self.snapshot.take()
    }
}

impl Outgoing {
    /// Counts a peer as served until it has had the time to answer.
    pub(crate) fn expect(&self, peer: u64) {
        self.with(peer, |served| served.seen_at = Some(Instant::now()));
    }

    /// Something is going to be sent.
    pub(crate) fn begin(self: &Arc<Self>, peer: u64) -> Sending {
        self.begin_with(peer, false)
    }

    /// A snapshot is going to be sent.
    pub(crate) fn begin_snapshot(self: &Arc<Self>, peer: u64, data: &SnapshotData) -> Sending {
        // The files of the one before may go with it, which takes a while.
        drop(self.with(peer, |served| {
            served.transfers = served.transfers.saturating_add(1);
            served.keep(data)
        }));
        self.begin_with(peer, true)
    }

    fn begin_with(self: &Arc<Self>, peer: u64, is_transfer: bool) -> Sending {
        let end = self.with(peer, |served| served.end.clone());
        let (outgoing, is_answered) = (Arc::clone(self), AtomicBool::new(false));
        Sending { outgoing, peer, end, is_transfer, is_answered }
    }

    /// Returns the reach of what is sent to each peer. Nothing is kept from here on for those that are
    /// away.
    pub(crate) fn reach(&self, now: Instant) -> BTreeMap<u64, Reach> {
        let mut peers = self.peers.lock();
        // Describing a snapshot takes longer than a peer may be away.
        let away = peers.values_mut().filter(|served| served.is_away(now) && served.transfers == 0);
        let forgotten = away.map(Served::forget).collect::<Vec<_>>();
        let reach = peers.iter().map(|(peer, served)| {
            let is_served = !served.is_away(now);
            (*peer, Reach { after_snapshot: served.after_snapshot, is_served })
        });
        let reach = reach.collect();
        drop(peers);
        drop(forgotten);
        reach
    }

    /// Ends what is under way to a peer; tells whether anything was.
    pub(crate) fn end(&self, peer: u64) -> bool {
        let (was_open, end, forgotten) = self.with(peer, |served| {
            (served.open > 0, std::mem::take(&mut served.end), served.forget())
        });
        end.cancel();
        drop(forgotten);
        was_open
    }

    fn with<T>(&self, peer: u64, change: impl FnOnce(&mut Served) -> T) -> T {
        change(self.peers.lock().entry(peer).or_default())
    }
}

/// A stream or a transfer to a peer, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Sending {
    outgoing: Arc<Outgoing>,
    peer: u64,
    end: CancellationToken,
    is_transfer: bool,
    is_answered: AtomicBool,
}

impl Sending {
    /// The peer has answered.
    pub(crate) fn on_answered(&self) {
        if !self.is_answered.swap(true, Ordering::AcqRel) {
            self.outgoing.with(self.peer, |served| served.open = served.open.saturating_add(1));
        }
    }

    /// The peer has the snapshot.
    pub(crate) fn on_taken(&self) {
        drop(self.outgoing.with(self.peer, |served| served.snapshot.take()));
    }

    /// Returns when it has to end.
    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// Passes on what the peer answers, and an error when it has to end.
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

    const PEER: u64 = 2;

    fn served(outgoing: &Outgoing) -> Vec<u64> {
        let reach = outgoing.reach(Instant::now()).into_iter();
        reach.filter(|(_, reach)| reach.is_served).map(|(peer, _)| peer).collect()
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
        assert_eq!(served(&outgoing), Vec::<u64>::new());
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

        assert_eq!(served(&outgoing), Vec::<u64>::new());
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
