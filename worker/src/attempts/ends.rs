//! Follows the ends of attempts: what waited for room begins, and outcomes are stored.

use std::time::Duration;

use cluster_state::{FinishedAttempt, LossReason};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Attempts, until};
use crate::ledger::Ledger;
use crate::spool::SpoolError;

/// Results that are stored with one sync at most.
const STORE_COUNT_MAX: usize = 8_192;
/// Pause after the disk refused to store results.
const STORE_RETRY: Duration = Duration::from_secs(1);

impl Attempts {
    /// Handles the ends of attempts: begins those that waited for room, and stores the outcomes. Returns
    /// only when the disk fails for good.
    pub(crate) async fn follow_ends(
        self,
        mut ended: mpsc::UnboundedReceiver<FinishedAttempt>,
    ) -> SpoolError {
        let mut batch = Vec::new();
        let mut unstored = Vec::new();
        let mut storing = None;
        let mut stored_at = None;
        // An attempt that comes to wait has a time at which it is given back.
        let mut progress = self.shared.progress.subscribe();
        loop {
            let now = Instant::now();
            let due = match unstored.len() {
                0 => None,
                STORE_COUNT_MAX.. => Some(now),
                _ => Some(self.ledger().stores_at(stored_at, now)),
            };
            if storing.is_none() && due.is_some_and(|due| due <= now) {
                stored_at = Some(now);
                storing = Some(Box::pin(self.store(std::mem::take(&mut unstored))));
            }
            let due = due.filter(|_| storing.is_none());
            let stored = async {
                match &mut storing {
                    Some(storing) => storing.await,
                    None => std::future::pending().await,
                }
            };
            let next = self.ledger().next_give_back();
            tokio::select! {
                // The channel stays open, for the executor, which `self` holds, has a sender.
                _ = ended.recv_many(&mut batch, STORE_COUNT_MAX) => {
                    unstored.append(&mut self.on_ended(&mut batch));
                }
                stored = stored => match stored {
                    Ok(()) => storing = None,
                    Err(error) => return error,
                },
                () = until(due) => {}
                () = until(next) => self.give_back(),
                changed = progress.changed() => changed.unwrap_or_default(),
            }
        }
    }

    /// Takes in ends, and begins what waited for them. Returns those whose outcomes must be stored.
    fn on_ended(&self, ended: &mut Vec<FinishedAttempt>) -> Vec<FinishedAttempt> {
        let mut ledger = self.ledger();
        ended.retain(|result| ledger.on_ended(result));
        self.start_waiting(&mut ledger);
        drop(ledger);
        // Some may be lost, which is not stored, or begin, which is told.
        self.shared.progress.send_replace(());
        std::mem::take(ended)
    }

    /// Gives back the attempts that have waited for too long.
    fn give_back(&self) {
        let mut ledger = self.ledger();
        let effects = ledger.give_back(Instant::now());
        self.perform(effects, Duration::ZERO);
        self.start_waiting(&mut ledger);
    }

    /// Begins the attempts that waited and for which there is room now. A machine that can run nothing
    /// gives them back.
    pub(super) fn start_waiting(&self, ledger: &mut Ledger) {
        if self.shared.unfit.borrow().is_some() {
            let effects = ledger.give_all_back(LossReason::NotStarted);
            return self.perform(effects, Duration::ZERO);
        }
        let starts = ledger.next_starts(Instant::now());
        let mut waiting = self.shared.waiting.lock();
        for launch in starts.iter().filter_map(|attempt| waiting.remove(attempt)) {
            self.shared.executor.start(launch);
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
        self.ledger().on_stored(results);
        self.shared.progress.send_replace(());
        Ok(())
    }
}
