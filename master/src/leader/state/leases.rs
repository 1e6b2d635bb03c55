//! The leases of workers, by the time of their last heartbeat. Pure: time comes in as an argument.
//!
//! Volatile by design: heartbeats are not in the log. A new leader restarts every clock, so that no
//! worker is declared lost for the silence of its masters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{Epoch, LeaseTimes, Timestamp, Worker, WorkerId};
use tokio::time::Instant;

/// Times after which the leader acts on the silence of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Times that this leader or another one has granted to the worker.
    granted: LeaseTimes,
    /// Time at which an earlier and longer grant is certainly over.
    not_before: Option<Instant>,
}

impl Patience {
    /// Returns the patience with a worker by its record; `own` are the times that are granted now.
    /// `now` is the same moment on both clocks.
    #[must_use]
    pub(crate) fn with(worker: &Worker, own: LeaseTimes, now: (Instant, Timestamp)) -> Self {
        let (now, log_now) = now;
        let until = worker.granted_until.filter(|until| *until > log_now);
        let not_before = until.map(|until| now + until.since(log_now));
        Self { granted: worker.granted.unwrap_or(own), not_before }
    }

    /// Returns the time at which the leader considers the lease over of a worker last heard at
    /// `heard_at`.
    #[must_use]
    pub(crate) fn lease_end(&self, heard_at: Instant) -> Instant {
        self.at_least(heard_at + self.granted.requeue_after())
    }

    fn at_least(&self, at: Instant) -> Instant {
        self.not_before.map_or(at, |earliest| earliest.max(at))
    }
}

/// One lease for each active worker, and one for each inactive worker that still holds attempts.
#[derive(Debug, Default)]
pub(crate) struct LeaseTable {
    leases: BTreeMap<WorkerId, Lease>,
    /// Every lease by its next deadline, so that the cost of a pass depends on the leases that are
    /// due.
    deadlines: BTreeSet<(Instant, WorkerId)>,
    /// Number of leases of active workers.
    active: usize,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: Epoch,
    renewed_at: Instant,
    origin: Origin,
    phase: Phase,
    patience: Patience,
}

/// Source of the time from which a lease counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The worker was heard at that time.
    Heard,
    /// This leader took over at that time; an earlier one heard the worker.
    TakenOver,
}

/// Meaning of a lease's next deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The heartbeat timeout.
    Active,
    /// The requeueing of attempts whose tasks do not wait for a silent worker.
    Silent,
    /// The end of the lease.
    Waiting,
}

/// Leases whose deadlines have passed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lapsed {
    /// Workers that were silent for longer than the heartbeat timeout.
    pub(crate) silent: Vec<(WorkerId, Epoch)>,
    /// Workers whose attempts may be requeued if their tasks do not wait for a silent worker.
    pub(crate) disconnected: Vec<(WorkerId, Epoch)>,
    /// Workers whose attempts may all be requeued.
    pub(crate) expired: Vec<(WorkerId, Epoch)>,
}

impl LeaseTable {
    /// Begins the lease of a worker that has registered and was heard at `now`. A registration that
    /// was slow does not undo a later one.
    pub(crate) fn on_connected(
        &mut self,
        worker: &WorkerId,
        epoch: Epoch,
        patience: Patience,
        now: Instant,
    ) {
        let known = self.leases.get(worker);
        if known.is_some_and(|known| known.epoch > epoch) {
            return;
        }
        let is_current = |known: &&Lease| known.epoch == epoch && known.origin == Origin::Heard;
        let renewed_at = known.filter(is_current).map_or(now, |known| known.renewed_at.max(now));
        let (origin, phase) = (Origin::Heard, Phase::Active);
        self.put(worker, Lease { epoch, renewed_at, origin, phase, patience });
    }

    /// Handles a worker that is active in the state. If its registration is unknown here, because
    /// another leader heard it or its call was cut off, the worker gets one full timeout.
    pub(crate) fn on_active(
        &mut self,
        worker: &WorkerId,
        epoch: Epoch,
        patience: Patience,
        now: Instant,
    ) {
        let known = self.leases.get(worker).copied();
        let lease = match known.filter(|known| (known.epoch, known.phase) == (epoch, Phase::Active))
        {
            Some(known) => Lease { patience, ..known },
            None => Lease {
                epoch,
                renewed_at: now,
                origin: Origin::TakenOver,
                phase: Phase::Active,
                patience,
            },
        };
        self.put(worker, lease);
    }

    /// Handles a worker that is inactive in the state and holds attempts. If its last heartbeat is
    /// unknown, everything counts from `now`: longer than needed, never shorter.
    pub(crate) fn on_inactive(
        &mut self,
        worker: &WorkerId,
        epoch: Epoch,
        patience: Patience,
        now: Instant,
    ) {
        if self.leases.get(worker).is_some_and(|known| known.epoch == epoch) {
            return;
        }
        let (origin, phase) = (Origin::TakenOver, Phase::Silent);
        self.put(worker, Lease { epoch, renewed_at: now, origin, phase, patience });
    }

    /// Renews a lease for a heartbeat. Returns false when the worker has no session of that epoch:
    /// it must register.
    pub(crate) fn renew(&mut self, worker: &WorkerId, epoch: Epoch, now: Instant) -> bool {
        let known = self.leases.get(worker).copied();
        let current = known.filter(|known| (known.epoch, known.phase) == (epoch, Phase::Active));
        let Some(lease) = current else { return false };
        self.put(worker, Lease { renewed_at: now, origin: Origin::Heard, ..lease });
        true
    }

    /// Returns the number of leases of active workers.
    #[must_use]
    pub(crate) const fn active_count(&self) -> usize {
        self.active
    }

    /// Tells whether that registration of the worker has a lease as active.
    #[must_use]
    pub(crate) fn listens_for(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        let known = self.leases.get(worker);
        known.is_some_and(|known| (known.epoch, known.phase) == (epoch, Phase::Active))
    }

    /// Lengthens every lease by a pause in which no heartbeat was acknowledged. A leader may wait
    /// longer than a worker counts on, never shorter.
    pub(crate) fn on_rested(&mut self, rested: Duration) {
        for (worker, lease) in self.leases.clone() {
            self.put(&worker, Lease { renewed_at: lease.renewed_at + rested, ..lease });
        }
    }

    /// Returns the time since the worker's last heartbeat; nothing before this leader has heard it.
    #[must_use]
    pub(crate) fn silence(&self, worker: &WorkerId, now: Instant) -> Option<Duration> {
        let heard = self.leases.get(worker).filter(|lease| lease.origin == Origin::Heard)?;
        Some(now.saturating_duration_since(heard.renewed_at))
    }

    /// Ends the lease of a worker.
    pub(crate) fn forget(&mut self, worker: &WorkerId) {
        if let Some(lease) = self.leases.remove(worker) {
            self.deadlines.remove(&(deadline(&lease), worker.clone()));
            self.active -= usize::from(lease.phase == Phase::Active);
        }
    }

    /// Returns the leases that are due by `now`. They stay due until they are settled by
    /// [`Self::on_declared_silent`], [`Self::on_eager_requeued`] or [`Self::on_expired`], because
    /// the proposal that follows may fail.
    #[must_use]
    pub(crate) fn lapsed(&self, now: Instant) -> Lapsed {
        let mut lapsed = Lapsed::default();
        for (_, worker) in self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now) {
            let Some(lease) = self.leases.get(worker) else { continue };
            match lease.phase {
                Phase::Active => lapsed.silent.push((worker.clone(), lease.epoch)),
                Phase::Silent => lapsed.disconnected.push((worker.clone(), lease.epoch)),
                Phase::Waiting => lapsed.expired.push((worker.clone(), lease.epoch)),
            }
        }
        lapsed
    }

    /// Handles the committed silence of a worker, which still has its attempts.
    pub(crate) fn on_declared_silent(&mut self, worker: &WorkerId, epoch: Epoch) {
        self.advance(worker, epoch, Phase::Silent);
    }

    /// Handles the requeueing of all attempts of a worker that do not wait for its lease.
    pub(crate) fn on_eager_requeued(&mut self, worker: &WorkerId, epoch: Epoch) {
        self.advance(worker, epoch, Phase::Waiting);
    }

    /// Ends the lease of a worker that has no attempts left, unless it has registered again since.
    pub(crate) fn on_expired(&mut self, worker: &WorkerId, epoch: Epoch) {
        if self.leases.get(worker).is_some_and(|lease| lease.epoch == epoch) {
            self.forget(worker);
        }
    }

    /// Returns the first deadline after `now`.
    #[must_use]
    pub(crate) fn next_deadline_after(&self, now: Instant) -> Option<Instant> {
        let mut deadlines = self.deadlines.iter().map(|(deadline, _)| *deadline);
        deadlines.find(|deadline| *deadline > now)
    }

    fn advance(&mut self, worker: &WorkerId, epoch: Epoch, phase: Phase) {
        let Some(lease) = self.leases.get(worker).copied() else { return };
        if lease.epoch == epoch {
            self.put(worker, Lease { phase, ..lease });
        }
    }

    fn put(&mut self, worker: &WorkerId, lease: Lease) {
        let known = self.leases.get(worker).map(|known| known.epoch);
        assert!(known <= Some(lease.epoch), "a lease never goes back to an older registration");
        self.forget(worker);
        self.active += usize::from(lease.phase == Phase::Active);
        self.deadlines.insert((deadline(&lease), worker.clone()));
        self.leases.insert(worker.clone(), lease);
    }
}

fn deadline(lease: &Lease) -> Instant {
    let Lease { renewed_at, patience, .. } = lease;
    match lease.phase {
        Phase::Active => *renewed_at + patience.granted.heartbeat_timeout,
        Phase::Silent => patience.at_least(*renewed_at + patience.granted.requeue_eager_after()),
        Phase::Waiting => patience.lease_end(*renewed_at),
    }
}

#[cfg(test)]
mod tests;
