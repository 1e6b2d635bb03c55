//! Which workers the leader has heard from, and when. Pure: time comes in as an argument.
//!
//! Volatile by design: heartbeats are not in the log. A new leader starts every clock anew, so
//! that no worker is declared lost for the silence of its masters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{Epoch, LeaseTimes, Timestamp, Worker, WorkerId};
use tokio::time::Instant;

/// How long the leader waits for a worker before it acts on its silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// What the worker was granted, by this leader or another.
    granted: LeaseTimes,
    /// When an earlier and longer grant is sure to be over.
    not_before: Option<Instant>,
}

impl Patience {
    /// The patience with a worker, as its record says. `now` is the same moment on both clocks.
    #[must_use]
    pub(crate) fn with(worker: &Worker, own: LeaseTimes, now: (Instant, Timestamp)) -> Self {
        let (now, log_now) = now;
        let until = worker.granted_until.filter(|until| *until > log_now);
        let not_before = until.map(|until| now + until.since(log_now));
        Self { granted: worker.granted.unwrap_or(own), not_before }
    }

    /// When the lease of a worker that was last heard then is over, for the leader.
    #[must_use]
    pub(crate) fn lease_end(&self, heard_at: Instant) -> Instant {
        self.at_least(heard_at + self.granted.requeue_after())
    }

    fn at_least(&self, at: Instant) -> Instant {
        self.not_before.map_or(at, |earliest| earliest.max(at))
    }
}

/// The workers the leader listens for: one lease for each active worker, and one for each inactive
/// one that still holds attempts.
#[derive(Debug)]
pub(crate) struct LeaseTable {
    times: LeaseTimes,
    leases: BTreeMap<WorkerId, Lease>,
    /// Every lease by its next deadline, so that a pass sees only what is due.
    deadlines: BTreeSet<(Instant, WorkerId)>,
    /// Leases of workers that are taken for active.
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

/// Where the time from which a lease counts comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The worker was heard then.
    Heard,
    /// This leader took over then; the worker was heard by another.
    TakenOver,
}

/// What the next deadline of a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The heartbeat timeout.
    Active,
    /// The end of the attempts whose tasks asked not to wait for a silent worker.
    Silent,
    /// The end of the lease.
    Waiting,
}

/// What has fallen due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lapsed {
    /// Silent for longer than the heartbeat timeout.
    pub(crate) silent: Vec<(WorkerId, Epoch)>,
    /// Silent for so long that attempts whose tasks asked not to wait may be given to others.
    pub(crate) disconnected: Vec<(WorkerId, Epoch)>,
    /// Silent for so long that all their attempts may be given to others.
    pub(crate) expired: Vec<(WorkerId, Epoch)>,
}

impl LeaseTable {
    /// An empty table.
    #[must_use]
    pub(crate) const fn new(times: LeaseTimes) -> Self {
        Self { times, leases: BTreeMap::new(), deadlines: BTreeSet::new(), active: 0 }
    }

    /// The limits that this leader grants.
    #[must_use]
    pub(crate) const fn times(&self) -> LeaseTimes {
        self.times
    }

    /// The worker has registered, and was heard at `now`. An answer to it that was slow does not
    /// undo a later registration.
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

    /// The state has the worker as active. If nothing is known of that registration, because it was
    /// heard by another leader or its call was cut off, it gets one full timeout.
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

    /// The state has the worker as inactive, and attempts on it. If its last heartbeat is not known,
    /// everything counts from `now`: longer than needed, never shorter.
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

    /// A heartbeat. False when no session of that epoch is listened for: the worker must register.
    pub(crate) fn renew(&mut self, worker: &WorkerId, epoch: Epoch, now: Instant) -> bool {
        let known = self.leases.get(worker).copied();
        let current = known.filter(|known| (known.epoch, known.phase) == (epoch, Phase::Active));
        let Some(lease) = current else { return false };
        self.put(worker, Lease { renewed_at: now, origin: Origin::Heard, ..lease });
        true
    }

    /// How many workers are listened for as active.
    #[must_use]
    pub(crate) const fn active_count(&self) -> usize {
        self.active
    }

    /// Whether that registration of the worker is listened for as active.
    #[must_use]
    pub(crate) fn listens_for(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        let known = self.leases.get(worker);
        known.is_some_and(|known| (known.epoch, known.phase) == (epoch, Phase::Active))
    }

    /// No heartbeat was acknowledged for so long, whoever sent one: everybody gets that much more
    /// time. A leader may wait longer than a worker counts on, never shorter.
    pub(crate) fn on_rested(&mut self, rested: Duration) {
        for (worker, lease) in self.leases.clone() {
            self.put(&worker, Lease { renewed_at: lease.renewed_at + rested, ..lease });
        }
    }

    /// How long ago the worker was last heard from; nothing before it was heard by this leader.
    #[must_use]
    pub(crate) fn silence(&self, worker: &WorkerId, now: Instant) -> Option<Duration> {
        let heard = self.leases.get(worker).filter(|lease| lease.origin == Origin::Heard)?;
        Some(now.saturating_duration_since(heard.renewed_at))
    }

    /// Stops listening for a worker.
    pub(crate) fn forget(&mut self, worker: &WorkerId) {
        if let Some(lease) = self.leases.remove(worker) {
            self.deadlines.remove(&(deadline(&lease), worker.clone()));
            self.active -= usize::from(lease.phase == Phase::Active);
        }
    }

    /// What is due by `now`. It stays due until it is settled by [`Self::on_declared_silent`],
    /// [`Self::on_eager_requeued`] or [`Self::on_expired`], because the proposal that follows may
    /// fail.
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

    /// The worker's silence is committed: its attempts are still its own.
    pub(crate) fn on_declared_silent(&mut self, worker: &WorkerId, epoch: Epoch) {
        self.advance(worker, epoch, Phase::Silent);
    }

    /// Nothing is left on the worker that does not wait for its lease.
    pub(crate) fn on_eager_requeued(&mut self, worker: &WorkerId, epoch: Epoch) {
        self.advance(worker, epoch, Phase::Waiting);
    }

    /// Nothing is left on the worker: there is nothing more to wait for. One that has connected
    /// again since is listened for on.
    pub(crate) fn on_expired(&mut self, worker: &WorkerId, epoch: Epoch) {
        if self.leases.get(worker).is_some_and(|lease| lease.epoch == epoch) {
            self.forget(worker);
        }
    }

    /// When the next thing falls due that was not due by `now`.
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
