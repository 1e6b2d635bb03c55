//! Measures how many tasks per second the cluster accepts.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::channel::Dialer;
use proto::client::{ClientError, task_service};
use proto::problem::Problem;
use proto::v1;
use proto::v1::task_service_client::TaskServiceClient;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use super::{Latencies, per_second, small_task};

/// Pause after a failed call, so that a cluster without a leader is not also flooded.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// Clients that submit side by side over all endpoints, each waiting for its answer. Nothing is
/// repeated: every failure shows.
#[derive(Debug, Clone)]
pub(crate) struct SubmitLoad {
    /// The masters; clients are spread over them.
    pub(crate) endpoints: Vec<String>,
    /// Number of clients.
    pub(crate) clients: u16,
    /// For how long.
    pub(crate) duration: Duration,
    /// Tasks in one call.
    pub(crate) tasks_per_call: u16,
    /// The only worker that may run them.
    pub(crate) worker_id: Option<String>,
    /// Opens the connections.
    pub(crate) dialer: Dialer,
}

/// Result of the measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SubmitReport {
    /// Tasks accepted.
    pub(crate) tasks: u64,
    /// Calls answered with success.
    pub(crate) calls: u64,
    /// Tasks accepted per second.
    pub(crate) tasks_per_second: f64,
    /// Median time of a call in microseconds.
    pub(crate) p50_micros: u128,
    /// Time in microseconds that 99 of 100 calls did not exceed.
    pub(crate) p99_micros: u128,
    /// Longest call in microseconds.
    pub(crate) max_micros: u128,
    /// Failed calls by what went wrong.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// Measurement of one client.
#[derive(Debug, Default)]
struct Share {
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
}

impl SubmitLoad {
    /// Runs until the time is over.
    pub(crate) async fn run(&self) -> Result<SubmitReport, ClientError> {
        let services = self
            .endpoints
            .iter()
            .map(|endpoint| self.dialer.connect_lazily(endpoint).map(task_service))
            .collect::<Result<Vec<_>, _>>()?;
        let task = small_task(self.worker_id.clone());
        let request = v1::SubmitRequest {
            tasks: vec![task; usize::from(self.tasks_per_call)],
            idempotency_key: None,
        };

        let started = Instant::now();
        let until = started + self.duration;
        let mut clients = JoinSet::new();
        for service in services.iter().cycle().take(usize::from(self.clients)) {
            clients.spawn(submit_until(until, service.clone(), request.clone()));
        }
        let shares = clients.join_all().await;
        Ok(self.report(shares, started.elapsed()))
    }

    fn report(&self, shares: Vec<Share>, elapsed: Duration) -> SubmitReport {
        let mut latencies = Latencies::default();
        let mut errors = BTreeMap::<String, u64>::new();
        for share in shares {
            latencies.merge(&share.latencies);
            for (kind, count) in share.errors {
                *errors.entry(kind).or_default() += count;
            }
        }
        let tasks = latencies.count().saturating_mul(u64::from(self.tasks_per_call));
        SubmitReport {
            tasks,
            calls: latencies.count(),
            tasks_per_second: per_second(tasks, elapsed),
            p50_micros: latencies.median().as_micros(),
            p99_micros: latencies.per_mille(990).as_micros(),
            max_micros: latencies.longest().as_micros(),
            errors,
        }
    }
}

async fn submit_until(
    until: Instant,
    mut service: TaskServiceClient<Channel>,
    request: v1::SubmitRequest,
) -> Share {
    let mut share = Share::default();
    while Instant::now() < until {
        let sent = Instant::now();
        match service.submit(request.clone()).await {
            Ok(_) => share.latencies.record(sent.elapsed()),
            Err(status) => {
                let kind = Problem::from(&status).kind;
                *share.errors.entry(kind.to_string()).or_default() += 1;
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    share
}
