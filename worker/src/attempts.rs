//! Manages the attempts of this worker: keeps the ledger and performs its effects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AttemptRef, Epoch, FinishedAttempt, MasterId, Term};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::Moment;
use crate::executor::{Executor, Launch, Stop, unfit_outcome};
use crate::lease::{Deadline, Grant, Lease};
use crate::ledger::{
    AssignRefusal, Assigned, Cancelled, Effect, Ledger, Overtaken, Session, Snapshot,
};
use crate::spool::Spool;

mod ends;

/// Cheap handle on the attempts, shared by the tasks that talk to the leader.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    lease: Arc<Lease>,
    executor: Executor,
    /// Launches of the attempts that wait for room. Locked under the ledger only.
    waiting: Mutex<BTreeMap<AttemptRef, Launch>>,
    spool: Spool,
    /// Reason that this machine can run nothing at present.
    unfit: watch::Receiver<Option<String>>,
    /// Changes whenever attempts ended or results were stored or confirmed.
    progress: watch::Sender<()>,
}

/// Content of a report to the leader.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) results: Vec<FinishedAttempt>,
    /// Attempts that have waited for room and run now.
    pub(crate) started: Vec<AttemptRef>,
    /// Number of attempts that this worker wants to have waiting.
    pub(crate) wants_ahead: u32,
}

/// The leader's answer to a registration.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    pub(crate) session: Session,
    /// Running attempts that must stop.
    pub(crate) unwanted: &'a [AttemptRef],
    /// Results that the leader has.
    pub(crate) confirmed: &'a [AttemptRef],
    /// Time at which the registration was sent.
    pub(crate) sent_at: Moment,
    /// Time for which attempts may run from then on.
    pub(crate) grant: Grant,
}

impl Attempts {
    /// Joins the parts; the executor sends to the channel that [`Attempts::follow_ends`] reads.
    #[must_use]
    pub(crate) fn new(
        ledger: Ledger,
        lease: Arc<Lease>,
        executor: Executor,
        spool: Spool,
        unfit: watch::Receiver<Option<String>>,
    ) -> Self {
        let progress = watch::Sender::new(());
        let ledger = Mutex::new(ledger);
        let waiting = Mutex::default();
        let shared = Shared { ledger, lease, executor, waiting, spool, unfit, progress };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the current registration, if any.
    #[must_use]
    pub(crate) fn session(&self) -> Option<Session> {
        self.ledger().session()
    }

    /// Returns true while a registration with this leader in this term is in force.
    #[must_use]
    pub(crate) fn stands_with(&self, leader: MasterId, term: Term) -> bool {
        self.session().is_some_and(|ours| (ours.leader, ours.term) == (leader, term))
    }

    /// Returns the number of attempts that have not ended.
    #[must_use]
    pub(crate) fn running_count(&self) -> usize {
        self.ledger().running_count()
    }

    /// Takes the snapshot for a registration; no attempt may begin until the registration is
    /// answered.
    #[must_use]
    pub(crate) fn begin_registration(&self) -> Snapshot {
        self.ledger().on_registering()
    }

    /// Applies the leader's answer to the registration.
    pub(crate) fn complete_registration(&self, admission: &Admission<'_>) -> Result<(), Overtaken> {
        let Admission { session, unwanted, confirmed, sent_at, grant } = *admission;
        let mut ledger = self.ledger();
        let effects = ledger.on_registered(session, unwanted, confirmed)?;
        self.perform(effects, Duration::ZERO);
        if !unwanted.is_empty() {
            info!(attempts = unwanted.len(), "killed attempts that the leader does not want");
        }
        self.shared.lease.renew(sent_at, grant);
        // The answer may be older than the lease that it grants.
        self.enforce_deadlines(&mut ledger);
        ledger.announce_again(Instant::now());
        self.start_waiting(&mut ledger);
        ledger.session().map(drop).ok_or(Overtaken)
    }

    /// Applies the leader's answer to a heartbeat that was sent at `sent_at`.
    pub(crate) fn on_heartbeat_answered(
        &self,
        leader: MasterId,
        term: Term,
        sent_at: Moment,
        grant: Grant,
    ) {
        self.shared.lease.renew(sent_at, grant);
        self.ledger().on_heartbeat_answered(leader, term, Instant::now());
    }

    /// Returns true if too many results wait for the leader to begin another attempt.
    #[must_use]
    pub(crate) fn is_spool_full(&self) -> bool {
        self.ledger().is_spool_full()
    }

    /// Ends the session: the leader was lost, or did not accept the registration.
    pub(crate) fn end_session(&self) {
        self.ledger().on_session_ended();
    }

    /// Starts attempts, each once however often it is requested, and returns the accepted ones.
    pub(crate) fn assign(
        &self,
        epoch: Epoch,
        mut launches: Vec<Launch>,
    ) -> Result<Vec<AttemptRef>, AssignRefusal> {
        // There is room for those that begin at once, and not for others before them.
        launches.sort_by_key(|launch| launch.begin);
        let mut accepted = Vec::with_capacity(launches.len());
        // Effects are performed under the lock, so that a cancel never overtakes its start.
        let mut ledger = self.ledger();
        ledger.may_assign(epoch)?;

        let unfit = self.shared.unfit.borrow().clone();
        for launch in launches {
            let attempt = launch.attempt;
            let assigned = match &unfit {
                None => ledger.on_assigned(attempt, launch.order(), Instant::now()),
                Some(reason) => ledger.on_declined(attempt, unfit_outcome(reason.clone())),
            };
            match assigned {
                Assigned::NoRoom => continue,
                Assigned::Known | Assigned::Lost => {}
                Assigned::Start => self.shared.executor.start(launch),
                Assigned::Wait => {
                    self.shared.waiting.lock().insert(attempt, launch);
                }
            }
            accepted.push(attempt);
        }

        drop(ledger);
        // Some may be lost, which must be reported.
        self.shared.progress.send_replace(());
        Ok(accepted)
    }

    /// Asks attempts to end within the grace period, and returns those that are unknown.
    #[must_use]
    pub(crate) fn cancel(&self, attempts: &[AttemptRef], grace: Duration) -> Vec<AttemptRef> {
        let mut unknown = Vec::new();
        let mut ledger = self.ledger();
        for &attempt in attempts {
            match ledger.on_cancelled(attempt) {
                Cancelled::Drop => {
                    self.shared.waiting.lock().remove(&attempt);
                }
                Cancelled::Stop => self.shared.executor.stop(attempt, Stop::Terminate(grace)),
                Cancelled::Over => {}
                Cancelled::Unknown => unknown.push(attempt),
            }
        }
        self.start_waiting(&mut ledger);
        drop(ledger);
        // Some may be given back, which must be reported.
        self.shared.progress.send_replace(());
        unknown
    }

    /// Waits until there is something to report, and takes as many results as fit into that many bytes.
    /// More results gather in the meantime.
    pub(crate) async fn next_report(&self, bytes_max: usize) -> Report {
        let mut progress = self.shared.progress.subscribe();
        loop {
            let now = Instant::now();
            let (report, next) = {
                let mut ledger = self.ledger();
                let results = ledger.next_report(bytes_max);
                let started = ledger.starts_to_announce(now);
                let is_fit = self.shared.unfit.borrow().is_none();
                let wants_ahead = if is_fit { ledger.wants_ahead(now) } else { 0 };
                (Report { results, started, wants_ahead }, ledger.next_announcement())
            };
            if !report.results.is_empty() || !report.started.is_empty() {
                return report;
            }
            tokio::select! {
                // `self` holds the sender, so the channel stays open.
                changed = progress.changed() => changed.unwrap_or_default(),
                () = until(next) => {}
            }
        }
    }

    /// Takes in that the leader has recorded starts.
    pub(crate) fn on_announced(&self, started: &[AttemptRef]) {
        self.ledger().on_announced(started);
    }

    /// Forgets results that the leader has or does not want.
    pub(crate) fn confirm(&self, confirmed: &[AttemptRef]) {
        let effects = self.ledger().on_confirmed(confirmed);
        self.perform(effects, Duration::ZERO);
        self.shared.progress.send_replace(());
    }

    /// Kills the attempts whose deadline has passed.
    pub(crate) fn fence(&self) {
        drop(self.ledger());
    }

    /// Waits until nothing is left of the attempts that a deadline killed.
    pub(crate) async fn fenced(&self) {
        self.progressed_until(|ledger| !ledger.has_fenced()).await;
    }

    /// Ends all attempts after the worker was unregistered, and reports none of them. Returns the
    /// number of attempts that are ending.
    pub(crate) fn dismiss(&self, grace: Duration) -> usize {
        self.end_all(&mut self.ledger(), grace)
    }

    /// Handles the leader's word that the registration of that epoch was removed: as
    /// [`Self::dismiss`], unless the worker has registered again since.
    pub(crate) fn dismiss_from(&self, epoch: Epoch, grace: Duration) -> Result<usize, Overtaken> {
        let mut ledger = self.ledger();
        ledger.may_dismiss(epoch)?;
        Ok(self.end_all(&mut ledger, grace))
    }

    fn end_all(&self, ledger: &mut Ledger, grace: Duration) -> usize {
        let effects = ledger.on_dismissed();
        self.perform(effects, grace);
        ledger.running_count()
    }

    /// Stops all attempts and accepts no others, because the worker shuts down.
    pub(crate) fn close(&self, grace: Duration) {
        let mut ledger = self.ledger();
        let effects = ledger.on_closing();
        if !effects.is_empty() {
            info!(attempts = effects.len(), "stopping attempts");
        }
        self.perform(effects, grace);
    }

    /// Kills everything, whatever the ledger says.
    pub(crate) fn kill_all(&self) {
        self.shared.executor.kill_all();
    }

    /// Kills processes of attempts that have ended. It blocks.
    pub(crate) fn kill_strays(&self) {
        self.shared.executor.kill_strays();
    }

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        self.shared.executor.idle().await;
    }

    /// Waits until every attempt has ended and every outcome is on disk.
    pub(crate) async fn stored(&self) {
        self.progressed_until(|ledger| !ledger.has_live()).await;
    }

    /// Waits until, in addition, the leader has confirmed every result.
    pub(crate) async fn all_confirmed(&self) {
        self.progressed_until(|ledger| !ledger.has_live() && !ledger.has_unconfirmed()).await;
    }

    async fn progressed_until(&self, is_reached: impl Fn(&Ledger) -> bool) {
        let mut progress = self.shared.progress.subscribe();
        while !is_reached(&self.ledger()) {
            progress.changed().await.unwrap_or_default();
        }
    }

    /// Performs effects. None of them blocks, so it may be called under the ledger's lock.
    fn perform(&self, effects: Vec<Effect>, grace: Duration) {
        let mut forgotten = Vec::new();
        for effect in effects {
            match effect {
                Effect::Stop(attempt) => {
                    self.shared.executor.stop(attempt, Stop::Terminate(grace));
                }
                Effect::Kill(attempt) => self.shared.executor.stop(attempt, Stop::Kill),
                Effect::Drop(attempt) => {
                    self.shared.waiting.lock().remove(&attempt);
                    // It may be lost, which must be reported.
                    self.shared.progress.send_replace(());
                }
                Effect::Forget(attempt) => forgotten.push(attempt),
            }
        }
        self.shared.spool.forget(forgotten);
    }

    /// Enforces expired deadlines before handing out the ledger, so a caller waking from a freeze
    /// sees the lapse.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.shared.ledger.lock();
        self.enforce_deadlines(&mut ledger);
        ledger
    }

    fn enforce_deadlines(&self, ledger: &mut Ledger) {
        let lease = &self.shared.lease;
        if lease.take_passed(Deadline::Lease) {
            let effects = ledger.on_lapsed();
            if !effects.is_empty() {
                warn!(attempts = effects.len(), "lease lapsed, killed attempts");
            }
            self.perform(effects, Duration::ZERO);
        }
        if lease.take_passed(Deadline::Disconnect) {
            let effects = ledger.on_disconnected();
            if !effects.is_empty() {
                warn!(
                    attempts = effects.len(),
                    "no leader reached, killed attempts that do not wait for one"
                );
            }
            self.perform(effects, Duration::ZERO);
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
