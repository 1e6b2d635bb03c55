//! Load generators: how much a cluster takes, how fast it answers, how long it is gone.

mod dispatch;
mod failover;
mod latencies;
mod submit;
mod workers;

pub(crate) use dispatch::{DispatchLoad, DispatchReport, LatencyReport};
pub(crate) use failover::{FailoverReport, FailoverTrials};
pub(crate) use latencies::Latencies;
pub(crate) use submit::{SubmitLoad, SubmitReport};
#[cfg(test)]
pub(crate) use workers::{FollowReport, QuietReport};
pub(crate) use workers::{MasterUsage, WorkerReport, WorkerTrial};

use proto::v1;

/// Padding that makes an encoded task 256 bytes long: the rest of it takes 34.
const PADDING_BYTES: usize = 222;

/// Returns a task of 256 bytes that takes next to nothing: `true`, with padding in its environment.
fn small_task(worker_id: Option<String>) -> v1::TaskSpec {
    v1::TaskSpec {
        command: vec!["true".to_owned()],
        env: [("PADDING".to_owned(), "x".repeat(PADDING_BYTES))].into(),
        resources: Some(v1::Resources {
            cpu: Some(0.001),
            memory_mb: Some(1),
            ..v1::Resources::default()
        }),
        worker_id,
        ..v1::TaskSpec::default()
    }
}

/// The rate at which `count` things happened within `elapsed`.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below the precision of a double"
)]
pub(crate) fn per_second(count: u64, elapsed: std::time::Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}
