//! Dismisses unregistered workers: they end their attempts, whose tasks are then queued again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Command, Departed, Epoch, ForgetDeparted, LeaseTimes, State, Timestamp, WorkerId,
};
use proto::v1;
use proto::worker_client::WorkerCallError;
use raft_store::ProposeError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::duty::{Duty, Wait};
use super::state::{LeaderState, Patience};

/// Longest time of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Concurrent calls.
const CALLS_MAX: usize = 256;
/// Pause between two calls to a worker that is still ending its attempts.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Pause between two calls to a worker that was not reached.
const CALL_AGAIN: Duration = Duration::from_secs(5);
/// Pause between two passes, however fast the state moves.
const PASS_PAUSE: Duration = Duration::from_millis(100);

/// Calls departed workers until each can be forgotten.
///
/// A departed worker is forgotten, and its tasks are queued again, when it says that it runs
/// nothing any more, or once its lease has expired, by which time it has stopped its own tasks.
#[derive(Debug)]
pub(super) struct Farewell {
    leader: Arc<LeaderState>,
    slots: Arc<Semaphore>,
    calls: JoinSet<(WorkerId, Case, CallEnd)>,
    /// Progress with each departed worker.
    seen: BTreeMap<WorkerId, Seen>,
    /// Earliest time of the next pass.
    next_pass: Instant,
}

/// Identity of one departure: a worker that is unregistered again is another case.
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

/// Progress with a departed worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    case: Case,
    /// Latest end of its lease.
    over_at: Instant,
    next: Next,
}

/// Next step with a departed worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The open call ends.
    Answer,
    /// The worker is called.
    CallAt(Instant),
    /// The lease ends: there is no address to call.
    LeaseEnd,
    /// The worker is forgotten.
    Forget,
}

/// End of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallEnd {
    /// The worker runs nothing any more.
    Ended,
    /// The worker is ending its attempts.
    Ending,
    /// The address belongs to somebody else.
    Elsewhere,
    /// The worker may not know that it was unregistered.
    Unreached,
}

impl Farewell {
    /// Returns the duty of one term.
    #[must_use]
    pub(super) fn new(leader: Arc<LeaderState>) -> Self {
        let slots = Arc::new(Semaphore::new(CALLS_MAX));
        let next_pass = Instant::now();
        Self { leader, slots, calls: JoinSet::new(), seen: BTreeMap::new(), next_pass }
    }

    /// Commits that the workers are forgotten with which nothing is left to do.
    async fn forget(&mut self) -> Result<(), ProposeError> {
        let is_over = |seen: &Seen| seen.next == Next::Forget;
        let over = self.seen.iter().filter(|(_, seen)| is_over(seen));
        let workers = over.map(|(worker, seen)| (worker.clone(), seen.case.epoch));
        let workers = workers.collect::<Vec<_>>();
        if workers.is_empty() {
            return Ok(());
        }

        let leader = &self.leader;
        for (worker, _) in &workers {
            leader.channels.close(worker);
        }
        let command = Command::ForgetDeparted(ForgetDeparted { term: leader.term, workers });
        leader.node.propose_as_leader(leader.term, &command).await?;
        self.seen.retain(|_, seen| !is_over(seen));
        Ok(())
    }

    /// Compares the departed workers with the progress made. Returns those to call now.
    fn advance(&mut self, state: &State, now: Instant) -> Vec<Departed> {
        self.seen.retain(|worker, seen| {
            state.departed_worker(worker).is_some_and(|known| Case::of(known) == seen.case)
        });
        let own = self.leader.settings.of(state).worker.times();
        let mut to_call = Vec::new();
        for departed in state.departed() {
            let worker = &departed.worker.id;
            if !self.seen.contains_key(worker) {
                // Under the state's lock: if it registers again, its lease begins after this.
                self.leader.leases().forget(worker);
                self.leader.usage.forget(worker);
                self.seen.insert(worker.clone(), self.first_sight(departed, own, now));
            }
            let Some(seen) = self.seen.get_mut(worker) else { continue };

            let may_run_something = state.load(worker).is_some();
            match seen.next {
                Next::CallAt(_) | Next::LeaseEnd if seen.over_at <= now => {
                    tracing::info!(%worker,
                        "unregistered worker was not reached before its lease ended");
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

    /// Begins with a departed worker. Its lease counts from now: no heartbeat is acknowledged any
    /// more.
    fn first_sight(&self, departed: &Departed, own: LeaseTimes, now: Instant) -> Seen {
        let log_now = self.leader.node.clock().now();
        let patience = Patience::with(&departed.worker, own, (now, log_now));
        let next = match departed.worker.address {
            Some(_) => Next::CallAt(now),
            None => Next::LeaseEnd,
        };
        Seen { case: Case::of(departed), over_at: patience.lease_end(now), next }
    }

    fn call(&mut self, departed: Departed) {
        let leader = Arc::clone(&self.leader);
        let slots = Arc::clone(&self.slots);
        self.calls.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            let end = dismiss(&leader, &departed).await;
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

    fn next_step(&self) -> Option<Instant> {
        let steps = self.seen.values().filter_map(|seen| match seen.next {
            Next::CallAt(at) => Some(at.min(seen.over_at)),
            Next::LeaseEnd => Some(seen.over_at),
            // Those to forget are forgotten, or the pass has failed.
            Next::Answer | Next::Forget => None,
        });
        steps.min()
    }
}

impl Duty for Farewell {
    const NAME: &'static str = "farewell";
    type Error = ProposeError;

    /// Costs O(departed workers).
    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        let now = Instant::now();
        self.next_pass = now + PASS_PAUSE;
        while let Some(Ok((worker, case, end))) = self.calls.try_join_next() {
            self.on_call_ended(&worker, case, end);
        }

        let leader = Arc::clone(&self.leader);
        let to_call = leader.node.reader().with(|state| self.advance(state, now));
        for departed in to_call {
            self.call(departed);
        }
        self.forget().await?;

        let next = self.next_step().map(|at| at.max(self.next_pass));
        Ok(Wait::for_change_after(self.next_pass).at_most_until(next))
    }

    async fn wake(&mut self) {
        // Answers that arrive together make one pass.
        tokio::time::sleep_until(self.next_pass).await;
        match self.calls.join_next().await {
            Some(Ok((worker, case, end))) => self.on_call_ended(&worker, case, end),
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}

/// Tells a worker that it was unregistered.
async fn dismiss(leader: &LeaderState, departed: &Departed) -> CallEnd {
    let worker = &departed.worker.id;
    let Some(address) = &departed.worker.address else { return CallEnd::Elsewhere };
    let Some(client) = leader.channels.get(worker, address) else { return CallEnd::Elsewhere };
    let request = v1::DismissRequest {
        leader: leader.header(),
        worker_id: worker.to_string(),
        epoch: departed.worker.epoch.0,
    };

    match client.dismiss(request, CALL_TIMEOUT).await {
        Ok(answer) if answer.running > 0 => {
            let running = answer.running;
            tracing::debug!(%worker, running, "unregistered worker is ending its attempts");
            CallEnd::Ending
        }
        Ok(_) => {
            tracing::info!(%worker, "unregistered worker has ended its attempts");
            CallEnd::Ended
        }
        Err(WorkerCallError::Refused(reason)) => {
            tracing::info!(%worker, address, reason,
                "somebody else answers at the address of an unregistered worker");
            CallEnd::Elsewhere
        }
        Err(WorkerCallError::NewerTerm(seen)) => {
            leader.on_newer_term(worker, seen);
            CallEnd::Unreached
        }
        Err(WorkerCallError::Unreachable(reason)) => {
            tracing::debug!(%worker, address, reason, "unregistered worker was not reached");
            // A connection that hangs is not used again.
            leader.channels.close(worker);
            CallEnd::Unreached
        }
    }
}
