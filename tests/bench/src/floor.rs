//! Measures the cost of a call alone on this machine: the same clients and connections as the
//! submissions, but each asks a replica for one task from its own memory. No log, no disk, no
//! second hop: no write over gRPC can be faster than this.

use crate::load::{Latencies, SubmitLoad};
use proto::client::task_service;
use proto::v1;
use tokio::time::Instant;

use crate::calls::{self, CallReport};

/// Reads the first task, as one of the submissions before has made it.
pub(crate) async fn run(load: &SubmitLoad) -> anyhow::Result<CallReport> {
    let services = load
        .endpoints
        .iter()
        .map(|endpoint| load.dialer.connect_lazily(endpoint).map(task_service))
        .collect::<Result<Vec<_>, _>>()?;
    let consistency = v1::Consistency::Stale.into();
    let request = v1::GetTaskRequest { task_id: "t1".to_owned(), consistency };

    let clients = services.iter().cycle().take(usize::from(load.clients)).map(|service| {
        let (mut service, request) = (service.clone(), request.clone());
        move |until| async move {
            let mut latencies = Latencies::default();
            while Instant::now() < until {
                let sent = Instant::now();
                service.get(request.clone()).await?;
                latencies.record(sent.elapsed());
            }
            Ok(latencies)
        }
    });
    calls::run(load.duration, clients).await
}
