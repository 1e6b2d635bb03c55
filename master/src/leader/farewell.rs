//! Tells workers that they were taken off the registry, so that they end at once what they run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{Command, Departed, State, Timestamp, WorkerId};
use proto::v1;
use proto::worker_client::WorkerCallError;
use raft_store::{AppliedAt, ProposeError};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sessions::Lead;

/// For one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Calls under way at once.
const CALLS_MAX: usize = 256;
/// Between two calls to a worker that was not reached.
const CALL_AGAIN: Duration = Duration::from_secs(5);
/// Between two passes, however fast the state moves.
const PASS_PAUSE: Duration = Duration::from_millis(100);

/// The duty of one term of leadership.
///
/// A departed worker is forgotten when it knows, when its address answers for somebody else, or
/// when its lease is over since: then it has ended by itself what it ran.
#[derive(Debug)]
pub struct Farewell {
    lead: Arc<Lead>,
    slots: Arc<Semaphore>,
    calls: JoinSet<(WorkerId, Timestamp, CallEnd)>,
    /// Where each departed worker stands that was seen.
    seen: BTreeMap<WorkerId, Seen>,
}

/// A departed worker, as far as this duty has come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// When it was taken off: one that is taken off again is another case.
    departed_at: Timestamp,
    next: Next,
}

/// What is next for a departed worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// To hear how the call under way ends.
    Answer,
    /// To be called.
    CallAt(Instant),
    /// To be forgotten.
    Forget,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallEnd {
    /// It knows, or it is not there any more.
    Over,
    /// It may not know.
    Unreached,
}

impl Farewell {
    /// A duty that has told nobody anything.
    #[must_use]
    pub fn new(lead: Arc<Lead>) -> Self {
        let slots = Arc::new(Semaphore::new(CALLS_MAX));
        Self { lead, slots, calls: JoinSet::new(), seen: BTreeMap::new() }
    }

    /// Runs until cancelled; calls under way are dropped then, and made again by the next leader.
    pub async fn run(mut self, mut applied: watch::Receiver<AppliedAt>, stop: CancellationToken) {
        loop {
            applied.borrow_and_update();
            let began_at = Instant::now();
            let pass = tokio::select! {
                () = stop.cancelled() => return,
                pass = self.reconcile(began_at) => pass,
            };
            if let Err(error) = pass {
                tracing::warn!(%error, "cannot record that unregistered workers know it");
            }
            let pause = tokio::time::sleep_until(began_at + PASS_PAUSE);
            tokio::select! {
                () = stop.cancelled() => return,
                () = pause => {}
            }
            let wake = self.next_call();
            let due = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(Ok((worker, departed_at, end))) = self.calls.join_next() => {
                    self.on_call_ended(&worker, departed_at, end);
                }
                () = due => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One pass: costs what has departed.
    async fn reconcile(&mut self, now: Instant) -> Result<(), ProposeError> {
        while let Some(Ok((worker, departed_at, end))) = self.calls.try_join_next() {
            self.on_call_ended(&worker, departed_at, end);
        }
        let lead = Arc::clone(&self.lead);
        let over_since = {
            let patience = lead.leases().times().requeue_after();
            let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
            Timestamp(lead.node.clock().now().0.saturating_sub(millis))
        };
        let to_call = lead.node.reader().with(|state| self.look(state, over_since, now));
        for departed in to_call {
            self.call(departed);
        }
        let is_over = |seen: &Seen| seen.next == Next::Forget;
        let over = self.seen.iter().filter(|(_, seen)| is_over(seen));
        let workers = over.map(|(worker, _)| worker.clone()).collect::<Vec<_>>();
        if workers.is_empty() {
            return Ok(());
        }
        for worker in &workers {
            lead.channels.close(worker);
        }
        let command = Command::ForgetDeparted { term: lead.term, workers };
        lead.node.propose_as_leader(lead.term, &command).await?;
        self.seen.retain(|_, seen| !is_over(seen));
        Ok(())
    }

    /// Compares what has departed with what was seen of it; whom to call now.
    fn look(&mut self, state: &State, over_since: Timestamp, now: Instant) -> Vec<Departed> {
        self.seen.retain(|worker, seen| {
            state.departed_worker(worker).is_some_and(|known| known.at == seen.departed_at)
        });
        let mut to_call = Vec::new();
        for departed in state.departed() {
            let seen = self.seen.entry(departed.worker.clone()).or_insert_with(|| {
                // Under the state's lock: if it registers again, its lease begins after this.
                self.lead.leases().forget(&departed.worker);
                self.lead.usage.forget(&departed.worker);
                Seen { departed_at: departed.at, next: Next::CallAt(now) }
            });
            match seen.next {
                Next::CallAt(_) if departed.at <= over_since => {
                    tracing::info!(worker = %departed.worker,
                        "an unregistered worker was not reached, its lease is over");
                    seen.next = Next::Forget;
                }
                Next::CallAt(at) if at <= now => {
                    seen.next = Next::Answer;
                    to_call.push(departed.clone());
                }
                Next::CallAt(_) | Next::Answer | Next::Forget => {}
            }
        }
        to_call
    }

    fn call(&mut self, departed: Departed) {
        let lead = Arc::clone(&self.lead);
        let slots = Arc::clone(&self.slots);
        self.calls.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            let end = dismiss(&lead, &departed).await;
            (departed.worker, departed.at, end)
        });
    }

    fn on_call_ended(&mut self, worker: &WorkerId, departed_at: Timestamp, end: CallEnd) {
        let seen = self.seen.get_mut(worker).filter(|seen| seen.departed_at == departed_at);
        let Some(seen) = seen else { return };
        seen.next = match end {
            CallEnd::Over => Next::Forget,
            CallEnd::Unreached => Next::CallAt(Instant::now() + CALL_AGAIN),
        };
    }

    fn next_call(&self) -> Option<Instant> {
        let calls = self.seen.values().filter_map(|seen| match seen.next {
            Next::CallAt(at) => Some(at),
            Next::Answer => None,
            // Its proposal failed.
            Next::Forget => Some(Instant::now()),
        });
        calls.min()
    }
}

async fn dismiss(lead: &Lead, departed: &Departed) -> CallEnd {
    let Departed { worker, address, .. } = departed;
    let Some(client) = lead.channels.get(worker, address) else { return CallEnd::Over };
    let request = v1::DismissRequest { leader: lead.header(), worker_id: worker.to_string() };
    match client.dismiss(request, CALL_TIMEOUT).await {
        Ok(answer) => {
            tracing::info!(%worker, ended = answer.ended, "an unregistered worker knows it");
            CallEnd::Over
        }
        Err(WorkerCallError::Refused(reason)) => {
            tracing::info!(%worker, address, reason, "an unregistered worker is not there");
            CallEnd::Over
        }
        Err(WorkerCallError::NewerTerm(seen)) => {
            lead.on_newer_term(worker, seen);
            CallEnd::Unreached
        }
        Err(WorkerCallError::Unreachable(reason)) => {
            tracing::debug!(%worker, address, reason, "an unregistered worker is not reached");
            // A connection that hangs is not used again.
            lead.channels.close(worker);
            CallEnd::Unreached
        }
    }
}
