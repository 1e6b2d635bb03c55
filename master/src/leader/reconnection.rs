//! The worker reconnection monitor: goes to inactive workers until they are connected again or
//! unregistered, and tells every worker at once when this master has begun to lead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{State, Worker, WorkerId};
use proto::v1;
use proto::worker_client::WorkerCallError;
use raft_store::AppliedAt;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sessions::Lead;

/// How the monitor goes about it.
#[derive(Debug, Clone, Copy)]
pub struct ReconnectConfig {
    /// Whether inactive workers are gone to at all.
    pub enabled: bool,
    /// Between two attempts at one worker.
    pub interval: Duration,
    /// For one attempt.
    pub attempt_timeout: Duration,
    /// Attempts under way at once.
    pub max_parallel: usize,
}

/// Between two looks at who is inactive, however fast the state moves.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Whom to go to when this master begins to lead: every worker that has an address.
#[must_use]
pub fn known_workers(state: &State) -> Vec<(WorkerId, String)> {
    state.workers().filter_map(|worker| reachable(worker)).collect()
}

fn reachable(worker: &Worker) -> Option<(WorkerId, String)> {
    worker.address.clone().map(|address| (worker.id.clone(), address))
}

/// The monitor of one term of leadership.
pub struct ReconnectionMonitor {
    lead: Arc<Lead>,
    config: ReconnectConfig,
    slots: Arc<Semaphore>,
    attempts: JoinSet<(WorkerId, Attempt)>,
    under_way: BTreeSet<WorkerId>,
    /// When each inactive worker is due again; one that is not in it is due at once.
    due: BTreeMap<WorkerId, Instant>,
    /// When the attempts under way began.
    round_began: Instant,
}

/// How one attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// The worker knows its leader now.
    Reached,
    /// It is still offline, which is expected.
    Unreachable,
    /// Somebody answered, but not as a worker of this cluster that obeys us.
    Refused,
}

impl std::fmt::Debug for ReconnectionMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReconnectionMonitor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ReconnectionMonitor {
    /// A monitor that has yet to tell anybody.
    #[must_use]
    pub fn new(lead: Arc<Lead>, config: ReconnectConfig) -> Self {
        Self {
            lead,
            config,
            slots: Arc::new(Semaphore::new(config.max_parallel)),
            attempts: JoinSet::new(),
            under_way: BTreeSet::new(),
            due: BTreeMap::new(),
            round_began: Instant::now(),
        }
    }

    /// Runs until cancelled; attempts under way are dropped then.
    pub async fn run(
        mut self,
        known: Vec<(WorkerId, String)>,
        mut applied: watch::Receiver<AppliedAt>,
        stop: CancellationToken,
    ) {
        tracing::info!("worker reconnection monitor started");
        for (worker, address) in known {
            self.attempt(worker, address);
        }
        let mut next_look = Instant::now();
        loop {
            if self.config.enabled && Instant::now() >= next_look {
                applied.borrow_and_update();
                self.round();
                next_look = Instant::now() + LOOK_PAUSE;
            }
            let due = self.due.values().min().copied();
            let wake = due.map_or(next_look + self.config.interval, |due| due.max(next_look));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(Ok((worker, attempt))) = self.attempts.join_next() => {
                    self.on_attempted(&worker, attempt);
                }
                // After the pause: a busy log must not keep the monitor looking.
                changed = changed_after(&mut applied, next_look), if self.config.enabled => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = tokio::time::sleep_until(wake), if self.config.enabled => {}
            }
        }
        tracing::info!("worker reconnection monitor stopped");
    }

    /// Goes to every inactive worker that is due and not being gone to already.
    fn round(&mut self) {
        let now = Instant::now();
        let (inactive, reachable) = self.lead.node.reader().with(|state| {
            let inactive = state.inactive_workers().map(|worker| worker.id.clone());
            let inactive = inactive.collect::<BTreeSet<_>>();
            let due = state.inactive_workers().filter(|worker| {
                !self.under_way.contains(&worker.id)
                    && self.due.get(&worker.id).is_none_or(|due| *due <= now)
            });
            (inactive, due.filter_map(|worker| reachable(worker)).collect::<Vec<_>>())
        });
        self.due.retain(|worker, _| inactive.contains(worker));
        if reachable.is_empty() {
            return;
        }
        let is_first = reachable.iter().any(|(worker, _)| !self.due.contains_key(worker));
        let count = reachable.len();
        if is_first {
            tracing::info!(count, "attempting to reconnect to inactive workers");
        } else {
            tracing::debug!(count, "attempting to reconnect to inactive workers");
        }
        for (worker, address) in reachable {
            self.due.insert(worker.clone(), now + self.config.interval);
            self.attempt(worker, address);
        }
    }

    fn attempt(&mut self, worker: WorkerId, address: String) {
        if self.under_way.is_empty() {
            self.round_began = Instant::now();
        }
        self.under_way.insert(worker.clone());
        let lead = Arc::clone(&self.lead);
        let slots = Arc::clone(&self.slots);
        let timeout = self.config.attempt_timeout;
        self.attempts.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            let attempt = master_register(&lead, &worker, &address, timeout).await;
            (worker, attempt)
        });
    }

    fn on_attempted(&mut self, worker: &WorkerId, attempt: Attempt) {
        self.under_way.remove(worker);
        if self.under_way.is_empty() {
            self.lead.metrics.on_reconnect_round(self.round_began.elapsed());
        }
        match attempt {
            Attempt::Reached => {
                self.lead.metrics.on_reconnect_attempt(true);
                tracing::info!(%worker, "successfully reconnected to worker");
            }
            Attempt::Unreachable | Attempt::Refused => {
                self.lead.metrics.on_reconnect_attempt(false);
                self.lead.channels.close(worker);
            }
        }
    }
}

async fn changed_after(
    applied: &mut watch::Receiver<AppliedAt>,
    after: Instant,
) -> Result<(), watch::error::RecvError> {
    tokio::time::sleep_until(after).await;
    applied.changed().await
}

async fn master_register(
    lead: &Lead,
    worker: &WorkerId,
    address: &str,
    timeout: Duration,
) -> Attempt {
    let Some(client) = lead.channels.get(worker, address) else { return Attempt::Refused };
    let request = v1::MasterRegisterRequest {
        leader: lead.header(),
        worker_id: worker.to_string(),
        masters: lead.masters(),
    };
    match client.master_register(request, timeout).await {
        Ok(_) => Attempt::Reached,
        Err(WorkerCallError::Unreachable(reason)) => {
            tracing::debug!(%worker, address, reason, "worker is still offline");
            Attempt::Unreachable
        }
        Err(WorkerCallError::NewerTerm(seen)) => {
            lead.on_newer_term(worker, seen);
            Attempt::Refused
        }
        Err(WorkerCallError::Refused(reason)) => {
            tracing::warn!(%worker, address, reason, "worker refused to be registered");
            Attempt::Refused
        }
    }
}
