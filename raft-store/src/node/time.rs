//! Keeps log time: a leader by the voters' wall clocks, a follower by the leader's stamps.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Node;

/// Interval between looks at the leader's latest stamp. In between a follower's clock runs on by
/// itself, so this bounds the delay of a correction.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Time that a new leader waits for the other voters' clocks once it knows a quorum's: they answer
/// immediately, unless their machines are gone.
const STRAGGLER_PATIENCE: Duration = Duration::from_millis(50);

impl Node {
    /// Begins the time of a term: log time continues, or jumps to the median of the voters' wall
    /// clocks if that is ahead. Without answers of a quorum it continues until there are some: see
    /// [`crate::Clock::steer`].
    pub async fn begin_log_time(&self) {
        let (_, clocks) = self.ask_peers(STRAGGLER_PATIENCE).await;
        self.clock().begin_term(self.reader().with(|state| state.meta().now));
        if let Some(median) = clocks.median_at(Instant::now()) {
            self.clock().steer(median);
        }
    }
}

pub(super) async fn follow_log_time(node: Node, stop: CancellationToken) {
    let mut looks = tokio::time::interval(FOLLOW_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        if !node.inner.leadership.borrow().is_leading() {
            node.clock().follow(node.reader().with(|state| state.meta().now));
        }
    }
}
