//! Usage of all workers as it is reported, on any replica. One stream from the leader is open while
//! somebody on this replica listens, and none otherwise.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use proto::problem::Problem;
use proto::v1;
use raft_store::Leadership;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::leader::WorkerSessions;
use crate::peer::LeaderPeer;

/// Samples that a slow listener may lag behind before it loses the oldest: a fleet of ten thousand
/// that reports all at once loses some, which the next round brings again.
const SAMPLES_MAX: usize = 4_096;
/// Before a stream that has ended is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);

/// Passes samples on to the listeners on this replica. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct UsageFeed {
    samples: broadcast::Sender<Arc<v1::UsageSample>>,
    arrived: Arc<Notify>,
}

/// A listener. It skips the samples that it was too slow for.
#[derive(Debug)]
pub(crate) struct UsageListener {
    samples: broadcast::Receiver<Arc<v1::UsageSample>>,
}

impl UsageListener {
    /// Returns the next sample; none when there will be no more.
    pub(crate) async fn next(&mut self) -> Option<Arc<v1::UsageSample>> {
        loop {
            match self.samples.recv().await {
                Ok(sample) => return Some(sample),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Returns a sample that is there already.
    pub(crate) fn try_next(&mut self) -> Option<Arc<v1::UsageSample>> {
        loop {
            match self.samples.try_recv() {
                Ok(sample) => return Some(sample),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(
                    broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed,
                ) => return None,
            }
        }
    }

    /// Turns the listener into a stream, which ends with the source.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Arc<v1::UsageSample>> {
        stream::unfold(self, async |mut listener| Some((listener.next().await?, listener))).boxed()
    }
}

impl From<broadcast::Receiver<Arc<v1::UsageSample>>> for UsageListener {
    fn from(samples: broadcast::Receiver<Arc<v1::UsageSample>>) -> Self {
        Self { samples }
    }
}

impl UsageFeed {
    /// Creates a feed that nobody listens to yet.
    pub(crate) fn new() -> Self {
        Self { samples: broadcast::Sender::new(SAMPLES_MAX), arrived: Arc::default() }
    }

    /// Listens from now on, across changes of leader.
    pub(crate) fn listen(&self) -> UsageListener {
        let listener = UsageListener::from(self.samples.subscribe());
        self.arrived.notify_one();
        listener
    }

    /// Keeps a stream from the leader of the moment open while anybody listens. Runs until
    /// cancelled.
    pub(crate) async fn run(
        self,
        sessions: WorkerSessions,
        leader: LeaderPeer,
        mut leadership: watch::Receiver<Leadership>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.arrived.notified() => {}
            }
            while self.samples.receiver_count() > 0 {
                leadership.borrow_and_update();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.pass_on(&sessions, &leader) => {}
                    () = self.samples.closed() => {}
                    changed = leadership.changed() => if changed.is_err() { return },
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(REOPEN_PAUSE) => {}
                }
            }
        }
    }

    /// Passes samples on until the leader's stream ends, or returns at once when there is none to
    /// be had.
    async fn pass_on(&self, sessions: &WorkerSessions, leader: &LeaderPeer) {
        let mut samples = match source(sessions, leader).await {
            Ok(samples) => samples,
            Err(problem) => {
                tracing::debug!(%problem, "the leader's workers cannot be watched");
                return;
            }
        };
        while let Some(sample) = samples.next().await {
            // Fails when the last listener has just left.
            self.samples.send(sample).ok();
        }
    }
}

/// Returns the leader's samples: of this master while it leads, and of another one otherwise.
async fn source(
    sessions: &WorkerSessions,
    leader: &LeaderPeer,
) -> Result<BoxStream<'static, Arc<v1::UsageSample>>, Problem> {
    match sessions.leading() {
        Ok(leader) => Ok(UsageListener::from(leader.usage.watch()).into_stream()),
        Err(_) => Ok(leader.watch_usage().await?.map(Arc::new).boxed()),
    }
}
