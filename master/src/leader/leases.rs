//! Which workers the leader has heard from, and when. Pure: time comes in as an argument.
//!
//! Volatile by design: heartbeats are not in the log. A new leader starts every clock anew, so
//! that no worker is declared lost for the silence of its masters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{Epoch, WorkerId};
use tokio::time::Instant;

/// The time limits that workers live under; told to them when they register.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTimes {
    /// Between two heartbeats of one worker.
    pub heartbeat_interval: Duration,
    /// Silence after which a worker is inactive.
    pub heartbeat_timeout: Duration,
    /// Silence after which a worker ends its attempts by itself.
    pub lease: Duration,
}

impl LeaseTimes {
    /// Silence after which the leader gives a worker's attempts to others: later than the worker
    /// ends them, by a margin for its kill to take effect.
    #[must_use]
    pub fn requeue_after(&self) -> Duration {
        with_margin(self.lease)
    }

    /// Silence after which the leader gives attempts to others whose tasks asked not to wait: the
    /// worker ends them at the heartbeat timeout, counted from the send of the last heartbeat that
    /// was acknowledged, which is earlier than the leader counts from.
    #[must_use]
    pub fn requeue_eager_after(&self) -> Duration {
        with_margin(self.heartbeat_timeout)
    }
}

/// Time for processes to be gone that a worker kills at the end of `limit`.
fn with_margin(limit: Duration) -> Duration {
    let margin = (limit / 10).max(Duration::from_secs(1));
    limit.saturating_add(margin)
}

/// The workers the leader listens for.
#[derive(Debug)]
pub struct LeaseTable {
    times: LeaseTimes,
    leases: BTreeMap<WorkerId, Lease>,
    /// Every lease by its next deadline, so that a pass sees only what is due.
    deadlines: BTreeSet<(Instant, WorkerId)>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: Epoch,
    renewed_at: Instant,
    origin: Origin,
    phase: Phase,
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
pub struct Lapsed {
    /// Silent for longer than the heartbeat timeout.
    pub silent: Vec<(WorkerId, Epoch)>,
    /// Silent for so long that attempts whose tasks asked not to wait may be given to others.
    pub disconnected: Vec<(WorkerId, Epoch)>,
    /// Silent for so long that all their attempts may be given to others.
    pub expired: Vec<(WorkerId, Epoch)>,
}

impl LeaseTable {
    /// An empty table.
    #[must_use]
    pub const fn new(times: LeaseTimes) -> Self {
        Self { times, leases: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    /// The limits.
    #[must_use]
    pub const fn times(&self) -> LeaseTimes {
        self.times
    }

    /// Listens for a worker that is active in `epoch`, from `now` on.
    pub fn on_connected(&mut self, worker: &WorkerId, epoch: Epoch, now: Instant) {
        let origin = Origin::Heard;
        self.put(worker, Lease { epoch, renewed_at: now, origin, phase: Phase::Active });
    }

    /// Listens for a worker that was active under another leader: it gets one full timeout.
    pub fn on_taken_over(&mut self, worker: &WorkerId, epoch: Epoch, now: Instant) {
        let origin = Origin::TakenOver;
        self.put(worker, Lease { epoch, renewed_at: now, origin, phase: Phase::Active });
    }

    /// Waits for the lease of a worker that was declared inactive earlier. Its last heartbeat is
    /// not known, so everything counts from `now`: longer than needed, never shorter.
    pub fn on_inherited(&mut self, worker: &WorkerId, epoch: Epoch, now: Instant) {
        let origin = Origin::TakenOver;
        self.put(worker, Lease { epoch, renewed_at: now, origin, phase: Phase::Silent });
    }

    /// A heartbeat. False when no session of that epoch is listened for: the worker must register.
    pub fn renew(&mut self, worker: &WorkerId, epoch: Epoch, now: Instant) -> bool {
        let is_current = self
            .leases
            .get(worker)
            .is_some_and(|lease| lease.epoch == epoch && lease.phase == Phase::Active);
        if is_current {
            self.on_connected(worker, epoch, now);
        }
        is_current
    }

    /// How long ago the worker was last heard from; nothing before it was heard by this leader.
    #[must_use]
    pub fn silence(&self, worker: &WorkerId, now: Instant) -> Option<Duration> {
        let heard = self.leases.get(worker).filter(|lease| lease.origin == Origin::Heard)?;
        Some(now.saturating_duration_since(heard.renewed_at))
    }

    /// Stops listening for a worker.
    pub fn forget(&mut self, worker: &WorkerId) {
        if let Some(lease) = self.leases.remove(worker) {
            self.deadlines.remove(&(self.deadline(lease), worker.clone()));
        }
    }

    /// What is due by `now`. It stays due until it is settled by [`Self::on_declared_silent`],
    /// [`Self::on_eager_requeued`] or [`Self::on_expired`], because the proposal that follows may
    /// fail.
    #[must_use]
    pub fn lapsed(&self, now: Instant) -> Lapsed {
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
    pub fn on_declared_silent(&mut self, worker: &WorkerId, epoch: Epoch) {
        self.advance(worker, epoch, Phase::Silent);
    }

    /// Nothing is left on the worker that does not wait for its lease.
    pub fn on_eager_requeued(&mut self, worker: &WorkerId, epoch: Epoch) {
        self.advance(worker, epoch, Phase::Waiting);
    }

    /// Nothing is left on the worker: there is nothing more to wait for. One that has connected
    /// again since is listened for on.
    pub fn on_expired(&mut self, worker: &WorkerId, epoch: Epoch) {
        if self.leases.get(worker).is_some_and(|lease| lease.epoch == epoch) {
            self.forget(worker);
        }
    }

    /// When the next thing falls due that was not due by `now`.
    #[must_use]
    pub fn next_deadline_after(&self, now: Instant) -> Option<Instant> {
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
        self.forget(worker);
        self.deadlines.insert((self.deadline(lease), worker.clone()));
        self.leases.insert(worker.clone(), lease);
    }

    fn deadline(&self, lease: Lease) -> Instant {
        lease.renewed_at
            + match lease.phase {
                Phase::Active => self.times.heartbeat_timeout,
                Phase::Silent => self.times.requeue_eager_after(),
                Phase::Waiting => self.times.requeue_after(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: LeaseTimes = LeaseTimes {
        heartbeat_interval: Duration::from_secs(5),
        heartbeat_timeout: Duration::from_secs(30),
        lease: Duration::from_secs(300),
    };

    fn worker() -> WorkerId {
        "w1".parse().unwrap()
    }

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_worker_lapses_three_times() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_connected(&worker(), Epoch(1), start);
        assert_eq!(table.lapsed(seconds(start, 29)), Lapsed::default());

        let due = table.lapsed(seconds(start, 30));
        assert_eq!(due.silent, [(worker(), Epoch(1))]);
        table.on_declared_silent(&worker(), Epoch(1));
        assert_eq!(table.lapsed(seconds(start, 32)), Lapsed::default());
        let due = table.lapsed(seconds(start, 33));
        assert_eq!((due.disconnected, due.expired), (vec![(worker(), Epoch(1))], Vec::new()));
        table.on_eager_requeued(&worker(), Epoch(1));
        assert_eq!(table.lapsed(seconds(start, 329)), Lapsed::default());
        assert_eq!(table.lapsed(seconds(start, 330)).expired, [(worker(), Epoch(1))]);
        table.on_expired(&worker(), Epoch(1));
        assert_eq!(table.lapsed(seconds(start, 999)), Lapsed::default());
    }

    #[test]
    fn an_inherited_worker_is_given_every_limit_anew() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_inherited(&worker(), Epoch(1), start);
        assert_eq!(table.lapsed(seconds(start, 32)), Lapsed::default());
        assert_eq!(table.lapsed(seconds(start, 33)).disconnected, [(worker(), Epoch(1))]);
        table.on_eager_requeued(&worker(), Epoch(1));
        assert_eq!(table.next_deadline_after(start), Some(seconds(start, 330)));
    }

    #[test]
    fn a_worker_that_is_back_is_not_settled_with_its_past() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_inherited(&worker(), Epoch(1), start);
        table.on_connected(&worker(), Epoch(2), seconds(start, 330));
        table.on_eager_requeued(&worker(), Epoch(1));
        table.on_expired(&worker(), Epoch(1));
        assert!(table.renew(&worker(), Epoch(2), seconds(start, 335)));
    }

    #[test]
    fn what_is_due_does_not_hide_what_comes_next() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_connected(&worker(), Epoch(1), start);
        table.on_connected(&"w2".parse().unwrap(), Epoch(1), seconds(start, 10));
        assert_eq!(table.next_deadline_after(start), Some(seconds(start, 30)));
        assert_eq!(table.next_deadline_after(seconds(start, 30)), Some(seconds(start, 40)));
        assert_eq!(table.next_deadline_after(seconds(start, 40)), None);
    }

    #[test]
    fn a_heartbeat_of_an_older_registration_renews_nothing() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_connected(&worker(), Epoch(2), start);
        assert!(!table.renew(&worker(), Epoch(1), seconds(start, 10)));
        assert!(table.renew(&worker(), Epoch(2), seconds(start, 20)));
        assert_eq!(table.next_deadline_after(start), Some(seconds(start, 50)));
    }

    #[test]
    fn a_worker_that_was_declared_silent_must_register_again() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_connected(&worker(), Epoch(1), start);
        table.on_declared_silent(&worker(), Epoch(1));
        assert!(!table.renew(&worker(), Epoch(1), seconds(start, 31)));
    }

    #[test]
    fn the_leader_waits_longer_than_the_worker() {
        assert!(TIMES.requeue_after() > TIMES.lease);
        assert!(TIMES.requeue_eager_after() > TIMES.heartbeat_timeout);
    }

    #[test]
    fn a_new_leader_waits_for_a_worker_that_it_has_not_heard() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_taken_over(&worker(), Epoch(1), start);
        assert_eq!(table.silence(&worker(), seconds(start, 1)), None);
        assert_eq!(table.lapsed(seconds(start, 29)), Lapsed::default());

        assert!(table.renew(&worker(), Epoch(1), seconds(start, 29)));
        assert_eq!(table.silence(&worker(), seconds(start, 30)), Some(Duration::from_secs(1)));
        assert_eq!(table.lapsed(seconds(start, 30)), Lapsed::default());
    }

    #[test]
    fn a_forgotten_worker_never_lapses() {
        let start = Instant::now();
        let mut table = LeaseTable::new(TIMES);
        table.on_connected(&worker(), Epoch(1), start);
        table.forget(&worker());
        assert_eq!(table.next_deadline_after(start), None);
        assert_eq!(table.silence(&worker(), start), None);
    }
}
