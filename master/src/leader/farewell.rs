//! Tells workers that they were taken off the registry, so that they end what they run, and gives it
//! to others once it has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{Command, Departed, Epoch, State, Timestamp, WorkerId};
use proto::v1;
use proto::worker_client::WorkerCallError;
use raft_store::{AppliedAt, ProposeError};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::driver::sleep_until;
use super::leases::Patience;
use super::rest::until_over;
use super::sessions::Lead;

/// For one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Calls under way at once.
const CALLS_MAX: usize = 256;
/// Between two calls to a worker that has yet to end what it runs.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Between two calls to a worker that was not reached.
const CALL_AGAIN: Duration = Duration::from_secs(5);
/// Between two passes, however fast the state moves.
const PASS_PAUSE: Duration = Duration::from_millis(100);

/// The duty of one term of leadership.
///
/// A departed worker is forgotten, and what it ran is given to others, when it says that nothing runs
/// any more, or when its lease is over since: then it has ended by itself what it ran.
#[derive(Debug)]
pub(super) struct Farewell {
    lead: Arc<Lead>,
    slots: Arc<Semaphore>,
    calls: JoinSet<(WorkerId, Case, CallEnd)>,
    /// Where each departed worker stands that was seen.
    seen: BTreeMap<WorkerId, Seen>,
}

/// Which departure of a worker: one that is taken off again is another case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    epoch: Epoch,
    departed_at: Timestamp,
}

impl Case {
    fn of(departed: &Departed) -> Self {
        Self { epoch: departed.worker.epoch, departed_at: departed.at }
    }
}

/// A departed worker, as far as this duty has come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    case: Case,
    /// When its lease is over at the latest.
    over_at: Instant,
    next: Next,
}

/// What is next for a departed worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// To hear how the call under way ends.
    Answer,
    /// To be called.
    CallAt(Instant),
    /// To be waited for: there is no address to call.
    LeaseEnd,
    /// To be forgotten.
    Forget,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallEnd {
    /// Nothing runs there any more.
    Ended,
    /// It ends what it runs.
    Ending,
    /// The address answers for somebody else.
    Elsewhere,
    /// It may not know.
    Unreached,
}

impl Farewell {
    /// A duty that has told nobody anything.
    #[must_use]
    pub(super) fn new(lead: Arc<Lead>) -> Self {
        let slots = Arc::new(Semaphore::new(CALLS_MAX));
        Self { lead, slots, calls: JoinSet::new(), seen: BTreeMap::new() }
    }

    /// Runs until cancelled; calls under way are dropped then, and made again by the next leader.
    pub(super) async fn run(
        mut self,
        mut applied: watch::Receiver<AppliedAt>,
        stop: CancellationToken,
    ) {
        let mut rest = self.lead.rest.watch();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = until_over(&mut rest) => {}
            }
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
            tokio::select! {
                () = stop.cancelled() => return,
                Some(Ok((worker, case, end))) = self.calls.join_next() => {
                    self.on_call_ended(&worker, case, end);
                }
                () = sleep_until(wake) => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One pass: costs what has departed.
    async fn reconcile(&mut self, now: Instant) -> Result<(), ProposeError> {
        while let Some(Ok((worker, case, end))) = self.calls.try_join_next() {
            self.on_call_ended(&worker, case, end);
        }
        let lead = Arc::clone(&self.lead);
        let to_call = lead.node.reader().with(|state| self.look(state, now));
        for departed in to_call {
            self.call(departed);
        }
        let is_over = |seen: &Seen| seen.next == Next::Forget;
        let over = self.seen.iter().filter(|(_, seen)| is_over(seen));
        let workers = over.map(|(worker, seen)| (worker.clone(), seen.case.epoch));
        let workers = workers.collect::<Vec<_>>();
        if workers.is_empty() {
            return Ok(());
        }
        for (worker, _) in &workers {
            lead.channels.close(worker);
        }
        let command = Command::ForgetDeparted { term: lead.term, workers };
        lead.node.propose_as_leader(lead.term, &command).await?;
        self.seen.retain(|_, seen| !is_over(seen));
        Ok(())
    }

    /// Compares what has departed with what was seen of it; whom to call now.
    fn look(&mut self, state: &State, now: Instant) -> Vec<Departed> {
        self.seen.retain(|worker, seen| {
            state.departed_worker(worker).is_some_and(|known| Case::of(known) == seen.case)
        });
        let mut to_call = Vec::new();
        for departed in state.departed() {
            let worker = &departed.worker.id;
            if !self.seen.contains_key(worker) {
                // Under the state's lock: if it registers again, its lease begins after this.
                self.lead.leases().forget(worker);
                self.lead.usage.forget(worker);
                self.seen.insert(worker.clone(), self.first_sight(departed, now));
            }
            let Some(seen) = self.seen.get_mut(worker) else { continue };

            let may_run_something = state.load(worker).is_some();
            match seen.next {
                Next::CallAt(_) | Next::LeaseEnd if seen.over_at <= now => {
                    tracing::info!(%worker,
                        "an unregistered worker was not reached, its lease is over");
                    seen.next = Next::Forget;
                }
                Next::LeaseEnd if !may_run_something => seen.next = Next::Forget,
                Next::CallAt(at) if at <= now => {
                    seen.next = Next::Answer;
                    to_call.push(departed.clone());
                }
                Next::CallAt(_) | Next::LeaseEnd | Next::Answer | Next::Forget => {}
            }
        }
        to_call
    }

    /// Its lease counts from now: no heartbeat is acknowledged any more.
    fn first_sight(&self, departed: &Departed, now: Instant) -> Seen {
        let own = self.lead.leases().times();
        let log_now = self.lead.node.clock().now();
        let patience = Patience::with(&departed.worker, own, (now, log_now));
        let next = match departed.worker.address {
            Some(_) => Next::CallAt(now),
            None => Next::LeaseEnd,
        };
        Seen { case: Case::of(departed), over_at: patience.lease_end(now), next }
    }

    fn call(&mut self, departed: Departed) {
        let lead = Arc::clone(&self.lead);
        let slots = Arc::clone(&self.slots);
        self.calls.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            let end = dismiss(&lead, &departed).await;
            (departed.worker.id.clone(), Case::of(&departed), end)
        });
    }

    fn on_call_ended(&mut self, worker: &WorkerId, case: Case, end: CallEnd) {
        let Some(seen) = self.seen.get_mut(worker).filter(|seen| seen.case == case) else { return };
        let now = Instant::now();
        seen.next = match end {
            CallEnd::Ended => Next::Forget,
            CallEnd::Ending => Next::CallAt(now + ASK_AGAIN),
            CallEnd::Elsewhere => Next::LeaseEnd,
            CallEnd::Unreached => Next::CallAt(now + CALL_AGAIN),
        };
    }

    fn next_call(&self) -> Option<Instant> {
        let calls = self.seen.values().filter_map(|seen| match seen.next {
            Next::CallAt(at) => Some(at.min(seen.over_at)),
            Next::LeaseEnd => Some(seen.over_at),
            Next::Answer => None,
            // Its proposal failed.
            Next::Forget => Some(Instant::now()),
        });
        calls.min()
    }
}

async fn dismiss(lead: &Lead, departed: &Departed) -> CallEnd {
    let worker = &departed.worker.id;
    let Some(address) = &departed.worker.address else { return CallEnd::Elsewhere };
    let Some(client) = lead.channels.get(worker, address) else { return CallEnd::Elsewhere };
    let request = v1::DismissRequest {
        leader: lead.header(),
        worker_id: worker.to_string(),
        epoch: departed.worker.epoch.0,
    };
    match client.dismiss(request, CALL_TIMEOUT).await {
        Ok(answer) if answer.running > 0 => {
            tracing::debug!(%worker, running = answer.running, "an unregistered worker ends what it runs");
            CallEnd::Ending
        }
        Ok(_) => {
            tracing::info!(%worker, "an unregistered worker has ended what it ran");
            CallEnd::Ended
        }
        Err(WorkerCallError::Refused(reason)) => {
            tracing::info!(%worker, address, reason, "an unregistered worker is not there");
            CallEnd::Elsewhere
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
