//! Declares silent workers inactive, and gives away their attempts when the time for that has come:
//! those that do not wait soon, the rest at the end of the lease, and slowly in a mass loss.

mod bite;

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Command, DisconnectReason, DisconnectWorkers, Epoch, LogIndex, LossReason, MassLoss, Reply,
    RequeueAttempts, RequeueScope, State, Timestamp, WorkerId,
};
use raft_store::{AppliedAt, ProposeError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::bite::Bite;
use super::driver::{changed_after, sleep_until};
use super::leases::{Lapsed, LeaseTable, Patience};
use super::mass_loss::{Brake, RecentLosses, is_over};
use super::rest::until_over;
use super::sessions::Lead;

/// Brings the table in step with the workers whose records changed after `seen`: whatever becomes of
/// the call that registered a worker, the worker has a lease. Costs what has changed. `now` is the
/// same moment on both clocks.
pub(super) fn follow(
    table: &mut LeaseTable,
    state: &State,
    seen: LogIndex,
    now: (Instant, Timestamp),
) {
    let own = table.times();
    for worker in state.active_workers_after(seen) {
        table.on_active(&worker.id, worker.epoch, Patience::with(worker, own, now), now.0);
    }
    for worker in state.inactive_workers_after(seen) {
        if state.load(&worker.id).is_some() {
            table.on_inactive(&worker.id, worker.epoch, Patience::with(worker, own, now), now.0);
        }
    }
}

/// A failed proposal is repeated after this time.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Between two passes: a fleet that falls silent makes a few entries and not one each.
const PASS_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at whether every active worker has a lease, and at who wants a taken name.
const CHECK_PAUSE: Duration = Duration::from_secs(10);
/// Between two looks at whether a mass loss is over.
const REVIEW_PAUSE: Duration = Duration::from_secs(1);
/// Attempts given away by one command, so that no single entry stalls the others.
const REQUEUE_MAX: u32 = 5_000;

/// The liveness duty of one term of leadership.
#[derive(Debug)]
pub(super) struct Liveness {
    lead: Arc<Lead>,
    losses: RecentLosses,
    brake: Brake,
    next_review: Instant,
    next_check: Instant,
    /// The records of workers up to there are in the table.
    seen: LogIndex,
}

impl Liveness {
    /// A duty that in a mass loss gives away so many attempts per second.
    #[must_use]
    pub(super) fn new(lead: Arc<Lead>, requeues_per_second: u32) -> Self {
        let losses = RecentLosses::new(lead.leases().times().heartbeat_timeout);
        let brake = Brake::new(requeues_per_second);
        let now = Instant::now();
        Self { lead, losses, brake, next_review: now, next_check: now, seen: LogIndex(0) }
    }

    /// Runs until cancelled. Sleeps until the state has moved or the next deadline is there: there is
    /// nothing to look at before.
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
            let again = pass.unwrap_or_else(|error| {
                tracing::warn!(%error, "cannot record that workers are silent");
                Some(Instant::now() + RETRY_PAUSE)
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.next_deadline(began_at, again) => {}
                changed = changed_after(&mut applied, began_at + PASS_PAUSE) => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for what was not due when the last pass began, or until `again`.
    async fn next_deadline(&self, began_at: Instant, again: Option<Instant>) {
        loop {
            let next = self.lead.leases().next_deadline_after(began_at);
            let wake = next.into_iter().chain(again).min();
            let wake = wake.map(|at| at.max(began_at + PASS_PAUSE));
            tokio::select! {
                () = sleep_until(wake) => return,
                () = self.lead.leases_changed.notified() => {}
            }
        }
    }

    /// One pass. Returns when to make another one even if no further deadline passes.
    async fn reconcile(&mut self, now: Instant) -> Result<Option<Instant>, ProposeError> {
        self.follow_state(now);
        if now >= self.next_check {
            self.next_check = now + CHECK_PAUSE;
            self.check();
            self.lead.review_rivals(now).await?;
        }
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
        Ok([eager, rest, review, Some(self.next_check)].into_iter().flatten().min())
    }

    fn follow_state(&mut self, now: Instant) {
        let lead = &self.lead;
        let now = (now, lead.node.clock().now());
        let seen = self.seen;
        // Under the state's lock: nobody registers or departs meanwhile.
        self.seen = lead.node.reader().with_applied(|state, applied| {
            follow(&mut lead.leases(), state, seen, now);
            applied.index
        });
    }

    /// Looks over the whole fleet if its numbers say that a worker was missed.
    fn check(&self) {
        let lead = &self.lead;
        let now = (Instant::now(), lead.node.clock().now());
        lead.node.reader().with(|state| {
            let mut leases = lead.leases();
            let (held, active) = (leases.active_count(), state.active_count());
            if held == active {
                return;
            }
            follow(&mut leases, state, LogIndex(0), now);
            let mut workers = state.active_workers_after(LogIndex(0));
            assert!(
                workers.all(|worker| leases.listens_for(&worker.id, worker.epoch)),
                "every active worker has a lease"
            );
        });
    }

    /// What is due, without what the state has settled otherwise: workers that were taken off the
    /// registry or have registered again since.
    fn lapsed(&self, now: Instant) -> Lapsed {
        let lead = &self.lead;
        let mut lapsed = lead.leases().lapsed(now);
        let mut removed = Vec::new();
        // Under the state's lock: whoever registers again meanwhile has a lease only after it.
        lead.node.reader().with(|state| {
            let mut keep = |(worker, epoch): &(WorkerId, Epoch)| {
                let known = state.worker(worker);
                if known.is_none() {
                    removed.push(worker.clone());
                }
                let is_current = known.is_some_and(|known| known.epoch == *epoch);
                if !is_current {
                    lead.leases().forget(worker);
                }
                is_current
            };
            lapsed.silent.retain(&mut keep);
            lapsed.disconnected.retain(&mut keep);
            lapsed.expired.retain(&mut keep);
            // A goodbye or a leader before this one has declared it.
            lapsed.silent.retain(|(worker, epoch)| {
                let is_active = state.worker(worker).is_some_and(|known| known.is_active());
                if !is_active {
                    lead.leases().on_declared_silent(worker, *epoch);
                }
                is_active
            });
        });
        for worker in removed {
            lead.channels.close(&worker);
            lead.usage.forget(&worker);
            lead.undelivered.forget(&worker);
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
        let heard = |(id, _): &(WorkerId, Epoch)| Some((id.clone(), lead.last_heard(id)?));
        let command = Command::DisconnectWorkers(DisconnectWorkers {
            term: lead.term,
            workers: workers.clone(),
            reason: DisconnectReason::HeartbeatTimeout,
            last_heard: workers.iter().filter_map(heard).collect(),
        });
        lead.node.propose_as_leader(lead.term, &command).await?;
        for (worker, epoch) in workers {
            // One that has registered again meanwhile is left alone, and has a lease of its own.
            if !self.is_away(&worker, epoch) {
                continue;
            }
            tracing::warn!(%worker, %epoch, "worker is silent: inactive");
            lead.channels.close(&worker);
            lead.usage.forget(&worker);
            lead.undelivered.forget(&worker);
            lead.leases().on_declared_silent(&worker, epoch);
        }
        Ok(())
    }

    /// Whether the worker is inactive and has not registered again since that epoch.
    fn is_away(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        self.lead.node.reader().with(|state| {
            state.worker(worker).is_some_and(|known| !known.is_active() && known.epoch == epoch)
        })
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
        if !more {
            for (worker, epoch) in holding.iter().filter(|(one, epoch)| self.is_away(one, *epoch)) {
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

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
