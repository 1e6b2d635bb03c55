//! The attempts of this worker: keeps the ledger, and performs its effects.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cluster_state::{AttemptRef, Epoch, FinishedAttempt, MasterId, Term};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::executor::{Executor, Launch, Stop};
use crate::ledger::{
    AssignRefusal, Assigned, Cancelled, Effect, Ledger, Overtaken, Session, Snapshot,
};
use crate::spool::{Spool, SpoolError};

/// Results that are stored with one sync at most.
const STORE_COUNT_MAX: usize = 8_192;
/// Pause after the disk refused results.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Cheap handle, shared by those who talk to the leader.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    executor: Executor,
    ended: mpsc::UnboundedSender<FinishedAttempt>,
    spool: Spool,
    /// Moves whenever attempts ended or results were stored or confirmed.
    progress: watch::Sender<()>,
}

impl Attempts {
    /// Joins the parts; `ended` leads to the receiver that [`Attempts::settle`] reads.
    #[must_use]
    pub(crate) fn new(
        ledger: Ledger,
        executor: Executor,
        ended: mpsc::UnboundedSender<FinishedAttempt>,
        spool: Spool,
    ) -> Self {
        let progress = watch::Sender::new(());
        let ledger = Mutex::new(ledger);
        Self { shared: Arc::new(Shared { ledger, executor, ended, spool, progress }) }
    }

    /// The registration that stands.
    #[must_use]
    pub(crate) fn session(&self) -> Option<Session> {
        self.ledger().session()
    }

    /// Attempts that have not ended.
    #[must_use]
    pub(crate) fn running_count(&self) -> usize {
        self.ledger().running_count()
    }

    /// Takes the snapshot for a registration; until it is answered no attempt may begin.
    #[must_use]
    pub(crate) fn begin_registration(&self) -> Snapshot {
        self.ledger().on_registering()
    }

    /// The leader answered the registration.
    pub(crate) fn complete_registration(
        &self,
        session: Session,
        unwanted: &[AttemptRef],
        confirmed: &[AttemptRef],
    ) -> Result<(), Overtaken> {
        let mut ledger = self.ledger();
        let effects = ledger.on_registered(session, unwanted, confirmed)?;
        self.perform(effects, Duration::ZERO);
        if !unwanted.is_empty() {
            info!(attempts = unwanted.len(), "killed attempts that the leader does not want");
        }
        Ok(())
    }

    /// The leader answered a heartbeat.
    pub(crate) fn on_heartbeat_answered(&self, leader: MasterId, term: Term) {
        self.ledger().on_heartbeat_answered(leader, term);
    }

    /// The leader was lost, or did not accept the registration.
    pub(crate) fn end_session(&self) {
        self.ledger().on_session_ended();
    }

    /// Starts attempts, each once however often it is asked for; those that were accepted.
    pub(crate) fn assign(
        &self,
        epoch: Epoch,
        launches: Vec<Launch>,
    ) -> Result<Vec<AttemptRef>, AssignRefusal> {
        let mut accepted = Vec::with_capacity(launches.len());
        // Effects are performed under the lock, so that a cancel never overtakes its start.
        let mut ledger = self.ledger();
        ledger.may_assign(epoch)?;
        for launch in launches {
            let attempt = launch.attempt;
            match ledger.on_assigned(attempt) {
                Assigned::NoRoom => continue,
                Assigned::Known => {}
                Assigned::Start => self.shared.executor.start(launch),
                // The receiver goes only when the worker stops hard.
                Assigned::Ended(result) => self.shared.ended.send(result).unwrap_or_default(),
            }
            accepted.push(attempt);
        }
        Ok(accepted)
    }

    /// Asks attempts to end within the grace; those of which nothing is known.
    #[must_use]
    pub(crate) fn cancel(&self, attempts: &[AttemptRef], grace: Duration) -> Vec<AttemptRef> {
        let mut unknown = Vec::new();
        let mut ledger = self.ledger();
        for &attempt in attempts {
            match ledger.on_cancelled(attempt) {
                Cancelled::Stop => self.shared.executor.stop(attempt, Stop::Terminate(grace)),
                Cancelled::Over => {}
                Cancelled::Unknown => unknown.push(attempt),
            }
        }
        unknown
    }

    /// Waits until there are results to report, and takes some.
    pub(crate) async fn next_report(&self, count_max: usize) -> Vec<FinishedAttempt> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            let report = self.ledger().next_report(count_max);
            if !report.is_empty() {
                return report;
            }
            // `self` holds the sender, so the channel stays open.
            progress.changed().await.unwrap_or_default();
        }
    }

    /// The leader has these results, or does not want them.
    pub(crate) fn confirm(&self, confirmed: &[AttemptRef]) {
        let effects = self.ledger().on_confirmed(confirmed);
        self.perform(effects, Duration::ZERO);
        self.shared.progress.send_replace(());
    }

    /// The lease lapsed: kills what runs, and reports nothing of it.
    pub(crate) fn fence(&self) {
        let mut ledger = self.ledger();
        let effects = ledger.on_lapsed();
        if !effects.is_empty() {
            warn!(attempts = effects.len(), "lease lapsed, attempts killed");
        }
        self.perform(effects, Duration::ZERO);
    }

    /// The worker shuts down: stops what runs and takes on nothing more.
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

    /// Returns once nothing runs.
    pub(crate) async fn idle(&self) {
        self.shared.executor.idle().await;
    }

    /// Returns once every attempt has ended and every outcome is on disk.
    pub(crate) async fn stored(&self) {
        self.progressed_until(|ledger| !ledger.has_live()).await;
    }

    /// Returns once, besides, the leader has confirmed every result.
    pub(crate) async fn all_confirmed(&self) {
        self.progressed_until(|ledger| !ledger.has_live() && !ledger.has_unconfirmed()).await;
    }

    async fn progressed_until(&self, is_reached: impl Fn(&Ledger) -> bool) {
        let mut progress = self.shared.progress.subscribe();
        while !is_reached(&self.ledger()) {
            progress.changed().await.unwrap_or_default();
        }
    }

    /// Stores outcomes as attempts end. Returns only when the disk fails for good.
    pub(crate) async fn settle(
        self,
        mut ended: mpsc::UnboundedReceiver<FinishedAttempt>,
    ) -> SpoolError {
        let mut batch = Vec::new();
        loop {
            // The channel stays open, for `self` holds a sender.
            ended.recv_many(&mut batch, STORE_COUNT_MAX).await;
            let mut results = std::mem::take(&mut batch);
            {
                let mut ledger = self.ledger();
                results.retain(|result| ledger.on_ended(result.attempt));
            }
            if let Err(error) = self.store(results).await {
                return error;
            }
        }
    }

    async fn store(&self, results: Vec<FinishedAttempt>) -> Result<(), SpoolError> {
        while !results.is_empty() {
            match self.shared.spool.store(results.clone()).await {
                Ok(()) => break,
                Err(error) if error.is_retryable() => tokio::time::sleep(STORE_RETRY).await,
                Err(error) => return Err(error),
            }
        }
        let effects = self.ledger().on_stored(results);
        self.perform(effects, Duration::ZERO);
        self.shared.progress.send_replace(());
        Ok(())
    }

    /// None of it blocks, so it may happen under the ledger's lock.
    fn perform(&self, effects: Vec<Effect>, grace: Duration) {
        let mut forgotten = Vec::new();
        for effect in effects {
            match effect {
                Effect::Stop(attempt) => {
                    self.shared.executor.stop(attempt, Stop::Terminate(grace));
                }
                Effect::Kill(attempt) => self.shared.executor.stop(attempt, Stop::Kill),
                Effect::Forget(attempt) => forgotten.push(attempt),
            }
        }
        self.shared.spool.forget(forgotten);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
