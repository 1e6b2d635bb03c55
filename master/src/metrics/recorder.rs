//! Counts what has been applied while this master leads: whoever proposed it, and whatever became
//! of the call that had it proposed.

mod tally;

use raft_store::{Node, Published, StateReader};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use self::tally::{Fact, Tally};
use super::Metrics;

/// Counts; runs once.
#[derive(Debug)]
pub(crate) struct Recorder {
    node: Node,
    metrics: Metrics,
    feed: broadcast::Receiver<Published>,
    tally: Tally,
}

impl Recorder {
    /// Begins with what is applied next.
    pub(crate) fn new(node: Node, metrics: Metrics) -> Self {
        // First the subscription, then the look: what is applied in between is seen twice, and
        // changes nothing the second time.
        let feed = node.reader().subscribe();
        let tally = tally_of(node.reader());
        Self { node, metrics, feed, tally }
    }

    /// Runs until cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let published = tokio::select! {
                () = stop.cancelled() => return,
                published = self.feed.recv() => published,
            };
            match published {
                Ok(Published::Applied(batch)) => {
                    let is_leading = self.node.leadership().borrow().is_leading();
                    for (index, change) in &batch.changes {
                        for fact in self.tally.facts(*index, change) {
                            if is_leading {
                                self.metrics.count(&fact);
                            }
                        }
                    }
                }
                Ok(Published::Installed(_)) => self.tally = tally_of(self.node.reader()),
                Err(broadcast::error::RecvError::Lagged(batches)) => {
                    tracing::warn!(batches, "changes were lost: some counters are too low");
                    self.tally = tally_of(self.node.reader());
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }
}

fn tally_of(reader: &StateReader) -> Tally {
    reader.with(Tally::of)
}

impl Metrics {
    fn count(&self, fact: &Fact) {
        let leading = &self.shared.leading;
        match *fact {
            Fact::TaskStarted { waited } => leading.submit_to_start.observe(waited),
            Fact::AttemptEnded { outcome } => leading.on_attempt_ended(outcome),
            Fact::WorkerConnected { after } => leading.registration_to_connect.observe(after),
            Fact::WorkerReconnected { after } => leading.time_to_reconnect.observe(after),
            Fact::WorkerReplaced => leading.on_disconnected("replaced"),
            Fact::WorkerDisconnected { reason, after } => {
                leading.on_disconnected(reason);
                if let Some(after) = after {
                    leading.worker_up.observe(after);
                }
            }
        }
    }
}
