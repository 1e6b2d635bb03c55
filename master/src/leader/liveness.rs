//! Declares silent workers inactive, and requeues their attempts: those whose tasks do not wait
//! soon, the others at the end of the lease, and slowly in a mass loss.

mod requeue_batch;

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    Command, DisconnectReason, DisconnectWorkers, EndMassLoss, Epoch, LogIndex, LossReason,
    MassLoss, RaiseMassLoss, Reply, RequeueAttempts, RequeueScope, State, Timestamp, WorkerId,
    WorkerSettings,
};
use raft_store::ProposeError;
use tokio::time::Instant;

use self::requeue_batch::RequeueBatch;
use super::duty::{Duty, Wait};
use super::mass_loss::{Brake, RecentLosses, is_over};
use super::state::{Lapsed, LeaderState, LeaseTable, Patience};
use crate::settings::SettingsInForce;

/// Pause between two passes: a fleet that falls silent makes a few entries, not one for each
/// worker.
const PASS_PAUSE: Duration = Duration::from_millis(50);
/// Interval between two checks that every active worker has a lease and that rivals go on.
const CHECK_PAUSE: Duration = Duration::from_secs(10);
/// Interval between two checks whether a mass loss is over.
const REVIEW_PAUSE: Duration = Duration::from_secs(1);
/// Attempts requeued by one command, so that no single entry stalls the others.
const REQUEUE_MAX: u32 = 5_000;

/// Watches the leases of workers and acts when one lapses.
#[derive(Debug)]
pub(super) struct Liveness {
    leader: Arc<LeaderState>,
    losses: RecentLosses,
    brake: Brake,
    next_review: Instant,
    next_check: Instant,
    /// Latest entry of the log that the lease table reflects.
    seen: LogIndex,
    /// Beginning of the last pass.
    began_at: Instant,
    /// Time of the next pass even if no further deadline passes.
    again_at: Instant,
}

impl Liveness {
    /// Returns the duty of one term.
    #[must_use]
    pub(super) fn new(leader: Arc<LeaderState>) -> Self {
        let settings = leader.worker_settings();
        let losses = RecentLosses::new(settings.heartbeat_timeout);
        let brake = Brake::new(requeue_rate(settings));
        let now = Instant::now();
        Self {
            leader,
            losses,
            brake,
            next_review: now,
            next_check: now,
            seen: LogIndex(0),
            began_at: now,
            again_at: now,
        }
    }

    /// Takes in the settings in force.
    fn follow_settings(&mut self) {
        let settings = self.leader.worker_settings();
        self.losses.set_window(settings.heartbeat_timeout);
        self.brake.set_rate(requeue_rate(settings));
    }

    /// Takes in the workers that have changed since the last pass.
    fn follow_state(&mut self, now: Instant) {
        let leader = &self.leader;
        let now = (now, leader.node.clock().now());
        let seen = self.seen;
        // Under the state's lock: no worker registers or departs meanwhile.
        self.seen = leader.node.reader().with_applied(|state, applied| {
            follow(&mut leader.leases(), state, seen, &leader.settings, now);
            applied.index
        });
    }

    /// Walks the whole fleet if the number of leases differs from the number of active workers.
    fn check(&self) {
        let leader = &self.leader;
        let now = (Instant::now(), leader.node.clock().now());
        leader.node.reader().with(|state| {
            let mut leases = leader.leases();
            let (held, active) = (leases.active_count(), state.active_count());
            if held == active {
                return;
            }
            follow(&mut leases, state, LogIndex(0), &leader.settings, now);
            let mut workers = state.active_workers_after(LogIndex(0));
            assert!(
                workers.all(|worker| leases.listens_for(&worker.id, worker.epoch)),
                "every active worker has a lease"
            );
        });
    }

    /// Returns the leases that are due, except those of workers that were unregistered or have
    /// registered again since, whose leases end here.
    fn lapsed(&self, now: Instant) -> Lapsed {
        let leader = &self.leader;
        let mut lapsed = leader.leases().lapsed(now);
        let mut removed = Vec::new();

        // Under the state's lock: a worker that registers again gets its new lease after this.
        leader.node.reader().with(|state| {
            let mut keep = |(worker, epoch): &(WorkerId, Epoch)| {
                let known = state.worker(worker);
                if known.is_none() {
                    removed.push(worker.clone());
                }
                let is_current = known.is_some_and(|known| known.epoch == *epoch);
                if !is_current {
                    leader.leases().forget(worker);
                }
                is_current
            };
            lapsed.silent.retain(&mut keep);
            lapsed.disconnected.retain(&mut keep);
            lapsed.expired.retain(&mut keep);

            // A goodbye or an earlier leader has declared these.
            lapsed.silent.retain(|(worker, epoch)| {
                let is_active = state.worker(worker).is_some_and(|known| known.is_active());
                if !is_active {
                    leader.leases().on_declared_silent(worker, *epoch);
                }
                is_active
            });
        });

        for worker in removed {
            leader.channels.close(&worker);
            leader.usage.forget(&worker);
            leader.undelivered.forget(&worker);
        }
        lapsed
    }

    /// Raises the mass-loss alarm if too many workers are silent at once.
    async fn raise_alarm(
        &mut self,
        silent: &[(WorkerId, Epoch)],
        now: Instant,
    ) -> Result<(), ProposeError> {
        let (extent, known) =
            self.leader.node.reader().with(|state| {
                (self.losses.on_silent(silent, state, now), state.mass_loss().copied())
            });
        let (lost, of) = (saturated(extent.lost), saturated(extent.of));
        if !extent.is_mass_loss() || known.is_some_and(|known| known.lost >= lost) {
            return Ok(());
        }
        let command = Command::RaiseMassLoss(RaiseMassLoss { term: self.leader.term, lost, of });
        self.leader.node.propose_as_leader(self.leader.term, &command).await?;
        if known.is_none() {
            tracing::warn!(lost, of, "many workers fell silent at once: requeueing is slowed down");
        }
        Ok(())
    }

    /// Ends the alarm when the loss is over. Returns the time of the next check.
    async fn review_alarm(&mut self, now: Instant) -> Result<Option<Instant>, ProposeError> {
        let leader = &self.leader;
        let Some(alarm) = leader.node.reader().with(|state| state.mass_loss().copied()) else {
            return Ok(None);
        };
        if now < self.next_review {
            return Ok(Some(self.next_review));
        }
        self.next_review = now + REVIEW_PAUSE;
        let log_now = leader.node.clock().now();
        let is_over = leader.node.reader().with(|state| {
            let times = leader.settings.of(state).worker.times();
            is_over(&alarm, state, times, log_now)
        });
        if !is_over {
            return Ok(Some(self.next_review));
        }
        let command = Command::EndMassLoss(EndMassLoss { term: leader.term });
        leader.node.propose_as_leader(leader.term, &command).await?;
        tracing::info!(lost = alarm.lost, of = alarm.of, "the loss of many workers is over");
        Ok(None)
    }

    /// Declares workers inactive.
    async fn declare_silent(&self, workers: Vec<(WorkerId, Epoch)>) -> Result<(), ProposeError> {
        let leader = &self.leader;
        let heard = |(id, _): &(WorkerId, Epoch)| Some((id.clone(), leader.last_heard(id)?));
        let command = Command::DisconnectWorkers(DisconnectWorkers {
            term: leader.term,
            workers: workers.clone(),
            reason: DisconnectReason::HeartbeatTimeout,
            last_heard: workers.iter().filter_map(heard).collect(),
        });
        leader.node.propose_as_leader(leader.term, &command).await?;

        for (worker, epoch) in workers {
            // A worker that has registered again meanwhile has a new lease.
            if !self.is_away(&worker, epoch) {
                continue;
            }
            tracing::warn!(%worker, %epoch, "worker is silent: inactive");
            leader.channels.close(&worker);
            leader.usage.forget(&worker);
            leader.undelivered.forget(&worker);
            leader.leases().on_declared_silent(&worker, epoch);
        }
        Ok(())
    }

    /// Tells whether the worker is inactive and has not registered again since that epoch.
    fn is_away(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        self.leader.node.reader().with(|state| {
            state.worker(worker).is_some_and(|known| !known.is_active() && known.epoch == epoch)
        })
    }

    /// Requeues attempts of `due` workers, as many as allowed now. Returns the time to go on at if
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
        let is_braked = self.leader.node.reader().with(brakes);
        let most = if is_braked { self.brake.allowance(now).min(REQUEUE_MAX) } else { REQUEUE_MAX };
        let batch =
            self.leader.node.reader().with(|state| RequeueBatch::of(due, state, scope, most));
        self.on_requeued(&batch.empty, scope);
        let mut is_left = batch.is_cut;
        if !batch.holding.is_empty() {
            let (count, more) = self.propose_requeue(&batch.holding, scope, most).await?;
            is_left |= more;
            if is_braked {
                // Counted from the commit, which may have taken some time.
                self.brake.on_passed(count, Instant::now());
            }
        }

        if !is_left {
            return Ok(None);
        }
        Ok(Some(if is_braked { self.brake.opens_at(Instant::now()) } else { now }))
    }

    /// Requeues attempts of workers. Returns their number, and whether the bound left some over.
    async fn propose_requeue(
        &self,
        holding: &[(WorkerId, Epoch)],
        scope: RequeueScope,
        attempts_max: u32,
    ) -> Result<(u32, bool), ProposeError> {
        let leader = &self.leader;
        let reason = match scope {
            RequeueScope::All => LossReason::LeaseExpired,
            RequeueScope::OnDisconnect => LossReason::WorkerDisconnected,
        };
        let command = Command::RequeueAttempts(RequeueAttempts {
            term: leader.term,
            workers: holding.to_vec(),
            reason,
            scope,
            attempts_max,
        });
        let committed = leader.node.propose_as_leader(leader.term, &command).await?;

        let Reply::Requeued { count, more } = committed.reply else { return Ok((0, false)) };
        if !more {
            for (worker, epoch) in holding.iter().filter(|(one, epoch)| self.is_away(one, *epoch)) {
                tracing::warn!(%worker, %epoch, why = %reason, "worker's tasks are queued again");
            }
            self.on_requeued(holding, scope);
        }
        Ok((count, more))
    }

    /// Settles the leases of workers whose attempts in the scope are requeued.
    fn on_requeued(&self, workers: &[(WorkerId, Epoch)], scope: RequeueScope) {
        let mut leases = self.leader.leases();
        for (worker, epoch) in workers {
            match scope {
                RequeueScope::All => leases.on_expired(worker, *epoch),
                RequeueScope::OnDisconnect => leases.on_eager_requeued(worker, *epoch),
            }
        }
    }
}

impl Duty for Liveness {
    const NAME: &'static str = "liveness";
    type Error = ProposeError;

    async fn pass(&mut self) -> Result<Wait, ProposeError> {
        let now = Instant::now();
        self.began_at = now;
        self.follow_settings();
        self.follow_state(now);
        if now >= self.next_check {
            self.next_check = now + CHECK_PAUSE;
            self.check();
            self.leader.review_rivals(now).await?;
        }

        // Looked up one after the other: what one step settles may be due for the next at once.
        let silent = self.lapsed(now).silent;
        if !silent.is_empty() {
            // First, so that a leader that fails in between leaves the brake on and not off.
            self.raise_alarm(&silent, now).await?;
            self.declare_silent(silent).await?;
        }
        let disconnected = self.lapsed(now).disconnected;
        let eager = self.requeue(disconnected, RequeueScope::OnDisconnect, now).await?;
        let expired = self.lapsed(now).expired;
        let others = self.requeue(expired, RequeueScope::All, now).await?;
        let review = self.review_alarm(now).await?;

        let again = [eager, others, review].into_iter().flatten();
        self.again_at = again.fold(self.next_check, Instant::min);
        Ok(Wait::for_change_after(now + PASS_PAUSE))
    }

    /// Waits for a deadline that was not due when the last pass began. A notice that a lease has
    /// changed only moves that time, and begins no pass.
    async fn wake(&mut self) {
        loop {
            let deadline = self.leader.leases().next_deadline_after(self.began_at);
            let next = deadline.map_or(self.again_at, |deadline| deadline.min(self.again_at));
            tokio::select! {
                () = tokio::time::sleep_until(next.max(self.began_at + PASS_PAUSE)) => return,
                () = self.leader.leases_changed.notified() => {}
            }
        }
    }
}

/// Updates the table for the workers whose records changed after `seen`: a worker has a lease
/// whatever becomes of the call that registered it. The cost depends on what has changed. `now` is
/// the same moment on both clocks.
pub(super) fn follow(
    table: &mut LeaseTable,
    state: &State,
    seen: LogIndex,
    settings: &SettingsInForce,
    now: (Instant, Timestamp),
) {
    let own = settings.of(state).worker.times();
    for worker in state.active_workers_after(seen) {
        table.on_active(&worker.id, worker.epoch, Patience::with(worker, own, now), now.0);
    }
    for worker in state.inactive_workers_after(seen) {
        if state.load(&worker.id).is_some() {
            table.on_inactive(&worker.id, worker.epoch, Patience::with(worker, own, now), now.0);
        }
    }
}

fn requeue_rate(settings: WorkerSettings) -> u32 {
    u32::try_from(settings.mass_loss_requeue_rate).unwrap_or(u32::MAX)
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
