//! Counts what has been applied while this master leads: regardless of who proposed it, and of what
//! became of the call that had it proposed.

mod tally;

use cluster_state::{Change, Key, LogIndex, Record};
use raft_store::{Node, Published};
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
    /// Only while this master leads: followers have nothing to count.
    tally: Option<Tally>,
}

impl Recorder {
    /// Begins with the next entry that is applied.
    pub(crate) fn new(node: Node, metrics: Metrics) -> Self {
        let feed = node.reader().subscribe();
        Self { node, metrics, feed, tally: None }
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
                    for (index, change) in &batch.changes {
                        self.on_change(*index, change);
                    }
                }
                // No leader is sent a snapshot.
                Ok(Published::Installed(_)) => self.tally = None,
                Err(broadcast::error::RecvError::Lagged(batches)) => {
                    tracing::warn!(batches, "changes were lost: some counters are too low");
                    let leads = self.node.leadership().borrow().is_leading();
                    self.tally = leads.then(|| self.tally_now());
                }
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn on_change(&mut self, index: LogIndex, change: &Change) {
        if let Change::Put(Record::Leader(record)) = change {
            // A look at the state, which may be ahead of the feed: what is applied in between is
            // seen twice, and changes nothing the second time.
            let leads = record.leader == self.node.id();
            self.tally = leads.then(|| self.tally_now());
        }
        // On a follower, too: it may lead again.
        if let Change::Delete(Key::Queue(queue)) = change {
            self.metrics.shared.leading.on_queue_deleted(queue);
        }
        let Some(tally) = &mut self.tally else { return };
        let is_leading = self.node.leadership().borrow().is_leading();
        for fact in tally.facts(index, change).into_iter().filter(|_| is_leading) {
            self.metrics.count(&fact);
        }
    }

    fn tally_now(&self) -> Tally {
        self.node.reader().with(Tally::of)
    }
}

impl Metrics {
    fn count(&self, fact: &Fact) {
        let leading = &self.shared.leading;
        match fact {
            Fact::TaskFinished { state, queue } => leading.on_task_finished(*state, queue),
            Fact::TaskStarted { waited } => leading.submit_to_start.observe(*waited),
            Fact::AttemptEnded { outcome } => leading.on_attempt_ended(*outcome),
            Fact::WorkerConnected { after } => leading.registration_to_connect.observe(*after),
            Fact::WorkerReconnected { after } => leading.time_to_reconnect.observe(*after),
            Fact::WorkerReplaced => leading.on_disconnected("replaced"),
            Fact::WorkerDisconnected { reason, after } => {
                leading.on_disconnected(reason);
                if let Some(after) = after {
                    leading.worker_up.observe(*after);
                }
            }
        }
    }
}
