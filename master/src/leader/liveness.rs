//! Declares silent workers inactive, and gives away their attempts when the time for that has come:
//! those that do not wait soon, the rest at the end of the lease, and slowly in a mass loss.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Command, DisconnectReason, DisconnectWorkers, Epoch, LossReason, MassLoss, OnDisconnect, Reply,
    RequeueAttempts, RequeueScope, State, WorkerId, WorkerLoad,
};
use raft_store::ProposeError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::leases::{Lapsed, LeaseTable};
use super::mass_loss::{Brake, RecentLosses, is_over};
use super::sessions::Lead;

/// Starts every clock anew: each active worker gets one full timeout under this leader, and each
/// inactive one that still holds attempts one full lease.
pub fn inherit(table: &mut LeaseTable, state: &State, now: Instant) {
    for worker in state.workers() {
        if worker.is_active() {
            table.on_taken_over(&worker.id, worker.epoch, now);
        } else if state.load(&worker.id).is_some() {
            table.on_inherited(&worker.id, worker.epoch, now);
        }
    }
}

/// A failed proposal is repeated after this time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Between two passes: a fleet that falls silent makes a few entries and not one each.
const PASS_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at whether a mass loss is over.
const REVIEW_PAUSE: Duration = Duration::from_secs(1);
/// Attempts given away by one command, so that no single entry stalls the others.
const REQUEUE_MAX: u32 = 5_000;

/// The liveness duty of one term of leadership.
#[derive(Debug)]
pub struct Liveness {
    lead: Arc<Lead>,
    losses: RecentLosses,
    brake: Brake,
    next_review: Instant,
}

impl Liveness {
    /// A duty that in a mass loss gives away so many attempts per second.
    #[must_use]
    pub fn new(lead: Arc<Lead>, requeues_per_second: u32) -> Self {
        let losses = RecentLosses::new(lead.leases().times().heartbeat_timeout);
        let brake = Brake::new(requeues_per_second);
        Self { lead, losses, brake, next_review: Instant::now() }
    }

    /// Runs until cancelled. Sleeps until the next deadline: there is nothing to look at before.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let began_at = Instant::now();
            let pass = tokio::select! {
                () = stop.cancelled() => return,
                pass = self.reconcile(began_at) => pass,
            };
            let again = pass.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot record that workers are silent");
                Some(Instant::now() + RETRY_PAUSE)
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.next_deadline(began_at, again) => {}
            }
        }
    }

    /// Waits for what was not due when the last pass began, or until `again`.
    async fn next_deadline(&self, began_at: Instant, again: Option<Instant>) {
        loop {
            let next = self.lead.leases().next_deadline_after(began_at);
            let wake = next.into_iter().chain(again).min();
            let over = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.max(began_at + PASS_PAUSE)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                // Where a time is set already, that is soon enough for what has come since.
                () = self.lead.leases_changed.notified(), if again.is_none() => {}
            }
        }
    }

    /// One pass. Returns when to make another one even if no further deadline passes.
    async fn reconcile(&mut self, now: Instant) -> Result<Option<Instant>, ProposeError> {
        // Looked up one after the other: what one step settles may be due for the next at once.
        let silent = self.lapsed(now).silent;
        if !silent.is_empty() {
            // First, so that a leader which is lost half way leaves the brake on and not off.
            self.raise_alarm(&silent, now).await?;
            self.declare_silent(silent).await?;
        }
        let disconnected = self.lapsed(now).disconnected;
        let eager = self.requeue(disconnected, RequeueScope::OnDisconnect, now).await?;
        let expired = self.lapsed(now).expired;
        let rest = self.requeue(expired, RequeueScope::All, now).await?;
        let review = self.review_alarm(now).await?;
        Ok([eager, rest, review].into_iter().flatten().min())
    }

    /// What is due, without the workers that were taken off the registry: those are forgotten.
    fn lapsed(&self, now: Instant) -> Lapsed {
        let lead = &self.lead;
        let mut lapsed = lead.leases().lapsed(now);
        let mut removed = Vec::new();
        // Under the state's lock: whoever registers again meanwhile has a lease only after it.
        lead.node.reader().with(|state| {
            let mut keep = |(worker, _): &(WorkerId, Epoch)| {
                let is_known = state.worker(worker).is_some();
                if !is_known {
                    lead.leases().forget(worker);
                    removed.push(worker.clone());
                }
                is_known
            };
            lapsed.silent.retain(&mut keep);
            lapsed.disconnected.retain(&mut keep);
            lapsed.expired.retain(&mut keep);
        });
        for worker in removed {
            lead.channels.close(&worker);
            lead.usage.forget(&worker);
        }
        lapsed
    }

    async fn raise_alarm(
        &mut self,
        silent: &[(WorkerId, Epoch)],
        now: Instant,
    ) -> Result<(), ProposeError> {
        let (extent, known) =
            self.lead.node.reader().with(|state| {
                (self.losses.on_silent(silent, state, now), state.mass_loss().copied())
            });
        let (lost, of) = (saturated(extent.lost), saturated(extent.of));
        if !extent.is_mass_loss() || known.is_some_and(|known| known.lost >= lost) {
            return Ok(());
        }
        let command = Command::RaiseMassLoss { term: self.lead.term, lost, of };
        self.lead.node.propose_as_leader(self.lead.term, &command).await?;
        if known.is_none() {
            tracing::warn!(lost, of, "many workers fell silent at once: requeueing is slowed down");
        }
        Ok(())
    }

    async fn review_alarm(&mut self, now: Instant) -> Result<Option<Instant>, ProposeError> {
        let lead = &self.lead;
        let Some(alarm) = lead.node.reader().with(|state| state.mass_loss().copied()) else {
            return Ok(None);
        };
        if now < self.next_review {
            return Ok(Some(self.next_review));
        }
        self.next_review = now + REVIEW_PAUSE;
        let (times, log_now) = (lead.leases().times(), lead.node.clock().now());
        if !lead.node.reader().with(|state| is_over(&alarm, state, times, log_now)) {
            return Ok(Some(self.next_review));
        }
        let command = Command::EndMassLoss { term: lead.term };
        lead.node.propose_as_leader(lead.term, &command).await?;
        tracing::info!(lost = alarm.lost, of = alarm.of, "the loss of many workers is over");
        Ok(None)
    }

    async fn declare_silent(&self, workers: Vec<(WorkerId, Epoch)>) -> Result<(), ProposeError> {
        let lead = &self.lead;
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

    /// Gives attempts of `due` workers to others, as many as may be now. Returns when to go on if
    /// some are left.
    async fn requeue(
        &mut self,
        due: Vec<(WorkerId, Epoch)>,
        scope: RequeueScope,
        now: Instant,
    ) -> Result<Option<Instant>, ProposeError> {
        if due.is_empty() {
            return Ok(None);
        }
        let brakes = |state: &State| state.mass_loss().is_some_and(MassLoss::brakes);
        let is_braked = self.lead.node.reader().with(brakes);
        let most = if is_braked { self.brake.allowance(now).min(REQUEUE_MAX) } else { REQUEUE_MAX };
        let bite = self.lead.node.reader().with(|state| Bite::of(due, state, scope, most));
        self.settle(&bite.empty, scope);
        let mut is_left = bite.is_cut;
        if !bite.holding.is_empty() {
            let (count, more) = self.give_away(&bite.holding, scope, most).await?;
            is_left |= more;
            if is_braked {
                // Counted from the commit on, which may have taken its time.
                self.brake.on_passed(count, Instant::now());
            }
        }
        if !is_left {
            return Ok(None);
        }
        Ok(Some(if is_braked { self.brake.opens_at(Instant::now()) } else { now }))
    }

    /// Proposes it. How many attempts it was, and whether the bound left some over.
    async fn give_away(
        &self,
        holding: &[(WorkerId, Epoch)],
        scope: RequeueScope,
        attempts_max: u32,
    ) -> Result<(u32, bool), ProposeError> {
        let lead = &self.lead;
        let reason = match scope {
            RequeueScope::All => LossReason::LeaseExpired,
            RequeueScope::OnDisconnect => LossReason::WorkerDisconnected,
        };
        let command = Command::RequeueAttempts(RequeueAttempts {
            term: lead.term,
            workers: holding.to_vec(),
            reason,
            scope,
            attempts_max,
        });
        let committed = lead.node.propose_as_leader(lead.term, &command).await?;
        let Reply::Requeued { count, more } = committed.reply else { return Ok((0, false)) };
        lead.metrics.on_attempts_lost(count);
        if !more {
            for (worker, epoch) in holding {
                tracing::warn!(%worker, %epoch, why = %reason, "worker's tasks are queued again");
            }
            self.settle(holding, scope);
        }
        Ok((count, more))
    }

    fn settle(&self, workers: &[(WorkerId, Epoch)], scope: RequeueScope) {
        let mut leases = self.lead.leases();
        for (worker, epoch) in workers {
            match scope {
                RequeueScope::All => leases.on_expired(worker, *epoch),
                RequeueScope::OnDisconnect => leases.on_eager_requeued(worker, *epoch),
            }
        }
    }
}

/// As many of the due workers as one command may take on.
#[derive(Debug, PartialEq, Eq)]
struct Bite {
    /// Those with attempts to be given away.
    holding: Vec<(WorkerId, Epoch)>,
    /// Those without.
    empty: Vec<(WorkerId, Epoch)>,
    /// Whether some with attempts were left out.
    is_cut: bool,
}

impl Bite {
    /// Takes workers until they hold `most` attempts together.
    fn of(due: Vec<(WorkerId, Epoch)>, state: &State, scope: RequeueScope, most: u32) -> Self {
        let mut bite = Self { holding: Vec::new(), empty: Vec::new(), is_cut: false };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut taken = 0_usize;
        for (worker, epoch) in due {
            let held = state.load(&worker).map_or(0, |load| held(load, state, scope));
            if held == 0 {
                bite.empty.push((worker, epoch));
            } else if taken < most {
                taken = taken.saturating_add(held);
                bite.holding.push((worker, epoch));
            } else {
                bite.is_cut = true;
            }
        }
        bite
    }
}

fn held(load: &WorkerLoad, state: &State, scope: RequeueScope) -> usize {
    match scope {
        RequeueScope::All => load.attempts.len(),
        RequeueScope::OnDisconnect => {
            let tasks = load.attempts.iter().filter_map(|task| state.task(*task));
            tasks.filter(|task| task.spec.on_disconnect == OnDisconnect::Requeue).count()
        }
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
