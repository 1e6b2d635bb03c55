//! Calls by many clients side by side, each waiting for its answer.

use std::time::Duration;

use crate::load::Latencies;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Result of a load of calls.
#[derive(Debug)]
pub(crate) struct CallReport {
    pub(crate) calls_per_second: f64,
    pub(crate) latencies: Latencies,
}

/// Runs clients until the time is over; each is told when that is.
pub(crate) async fn run<F>(
    duration: Duration,
    clients: impl Iterator<Item: FnOnce(Instant) -> F>,
) -> anyhow::Result<CallReport>
where
    F: Future<Output = anyhow::Result<Latencies>> + Send + 'static,
{
    let started = Instant::now();
    let until = started + duration;
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client(until));
    }
    let mut latencies = Latencies::default();
    for share in running.join_all().await {
        latencies.merge(&share?);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let calls_per_second = latencies.count() as f64 / started.elapsed().as_secs_f64();
    Ok(CallReport { calls_per_second, latencies })
}
