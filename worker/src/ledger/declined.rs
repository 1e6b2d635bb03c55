//! Attempts that a machine which cannot run tasks hands back at once.

use cluster_state::{AttemptOutcome, AttemptRef};

use super::settled::Settlement;
use super::{Assigned, Ledger};

impl Ledger {
    /// Asked to run an attempt on a machine that is unfit. What is known goes on as it is; the rest
    /// is reported to have ended this way, so that the leader need not wait for it.
    pub(crate) fn on_declined(&mut self, attempt: AttemptRef, outcome: AttemptOutcome) -> Assigned {
        let is_known = self.live.contains_key(&attempt)
            || self.unconfirmed.contains(attempt)
            || self.settled.get(attempt) == Some(Settlement::Confirmed);
        if is_known {
            return Assigned::Known;
        }
        if self.live.len() >= self.bounds.attempts_max {
            return Assigned::NoRoom;
        }
        self.unconfirmed.put(attempt, outcome);
        Assigned::Lost
    }
}
