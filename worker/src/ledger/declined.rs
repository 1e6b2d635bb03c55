//! Attempts that an unfit machine returns immediately.

use cluster_state::{AttemptOutcome, AttemptRef, FinishedAttempt};

use super::settled::Settlement;
use super::{Assigned, Ledger};

impl Ledger {
    /// Declines an attempt because the machine is unfit. A known attempt goes on; an unknown one is
    /// reported with this outcome, so that the leader need not wait for it.
    pub(crate) fn on_declined(&mut self, attempt: AttemptRef, outcome: AttemptOutcome) -> Assigned {
        let is_known = self.live.contains_key(&attempt)
            || self.unconfirmed.contains(attempt)
            || self.settled.get(attempt) == Some(Settlement::Confirmed);
        if is_known {
            return Assigned::Known;
        }
        if self.live.len() - self.ahead.len() >= self.bounds.attempts_max {
            return Assigned::NoRoom;
        }
        self.unconfirmed.put(FinishedAttempt::new(attempt, outcome));
        Assigned::Lost
    }
}
