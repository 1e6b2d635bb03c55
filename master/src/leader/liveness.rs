//! Declares silent workers inactive, and gives away their attempts when the lease is over.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Command, DisconnectReason, DisconnectWorkers, Epoch, LossReason, RequeueAttempts, RequeueScope,
    State, WorkerId,
};
use raft_store::ProposeError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::leases::LeaseTable;
use super::sessions::Lead;

/// Starts every clock anew: each active worker gets one full timeout under this leader, and each
/// inactive one that still holds attempts one full lease.
pub fn inherit(table: &mut LeaseTable, state: &State, now: Instant) {
    for worker in state.workers() {
        if worker.is_active() {
            table.on_connected(&worker.id, worker.epoch, now);
        } else if state.load(&worker.id).is_some() {
            table.on_inherited(&worker.id, worker.epoch, now);
        }
    }
}

/// A failed proposal is repeated after this time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs until cancelled. Sleeps until the next deadline: there is nothing to look at before.
pub async fn run(lead: Arc<Lead>, stop: CancellationToken) {
    loop {
        let pass = tokio::select! {
            () = stop.cancelled() => return,
            pass = reconcile(&lead) => pass,
        };
        let next = match pass {
            Ok(()) => lead.leases().next_deadline(),
            Err(error) => {
                tracing::warn!(%error, "cannot record that workers are silent");
                Some(Instant::now() + RETRY_PAUSE)
            }
        };
        let deadline = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = deadline => {}
            () = lead.leases_changed.notified() => {}
        }
    }
}

async fn reconcile(lead: &Lead) -> Result<(), ProposeError> {
    let lapsed = lead.leases().lapsed(Instant::now());
    if !lapsed.silent.is_empty() {
        declare_silent(lead, lapsed.silent).await?;
    }
    if !lapsed.expired.is_empty() {
        requeue(lead, lapsed.expired).await?;
    }
    Ok(())
}

async fn declare_silent(lead: &Lead, workers: Vec<(WorkerId, Epoch)>) -> Result<(), ProposeError> {
    let command = Command::DisconnectWorkers(DisconnectWorkers {
        term: lead.term,
        workers: workers.clone(),
        reason: DisconnectReason::HeartbeatTimeout,
    });
    let now = lead.node.clock().now();
    let uptimes = lead.node.reader().with(|state| {
        let known = workers.iter().filter_map(|(worker, _)| state.worker(worker));
        known.map(|worker| now.since(worker.changed_at)).collect::<Vec<_>>()
    });
    lead.node.propose_as_leader(lead.term, &command).await?;
    for uptime in uptimes {
        lead.metrics.on_disconnected(uptime);
    }
    for (worker, epoch) in workers {
        tracing::warn!(%worker, %epoch, "worker is silent: inactive");
        lead.channels.close(&worker);
        lead.usage.forget(&worker);
        lead.leases().on_declared_silent(&worker, epoch);
    }
    Ok(())
}

async fn requeue(lead: &Lead, workers: Vec<(WorkerId, Epoch)>) -> Result<(), ProposeError> {
    let holding = lead.node.reader().with(|state| {
        let holding = workers.iter().filter(|(worker, _)| state.load(worker).is_some());
        holding.cloned().collect::<Vec<_>>()
    });
    if !holding.is_empty() {
        let command = Command::RequeueAttempts(RequeueAttempts {
            term: lead.term,
            workers: holding.clone(),
            reason: LossReason::LeaseExpired,
            scope: RequeueScope::All,
            attempts_max: u32::MAX,
        });
        lead.node.propose_as_leader(lead.term, &command).await?;
    }
    for (worker, epoch) in holding {
        tracing::warn!(%worker, %epoch, "worker's lease is over: its tasks are queued again");
    }
    for (worker, _) in workers {
        lead.leases().forget(&worker);
    }
    Ok(())
}
