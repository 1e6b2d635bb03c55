//! Accounts for attempts: which live, and which have ended and still need confirming.
//!
//! Every method records an event and returns the effects, which `attempts` performs.

use std::collections::BTreeMap;

use cluster_state::{
    AttemptOutcome, AttemptRef, Epoch, FinishedAttempt, Limits, LossReason, MasterId, Term,
};
use proto::limits::BATCH_BYTES;
use tokio::time::Instant;

mod ahead;
mod answers;
mod declined;
mod endings;
mod live;
mod settled;
mod unconfirmed;

use ahead::Ahead;
pub(crate) use answers::{
    AssignRefusal, Assigned, Begin, Bounds, Cancelled, Effect, Order, Overtaken, Session, Snapshot,
};
use live::Live;
use settled::{Settled, Settlement};
use unconfirmed::Unconfirmed;

/// The attempts of one worker process and its session with the leader.
#[derive(Debug)]
pub(crate) struct Ledger {
    registration: Registration,
    /// Epoch of the last registration that was accepted, whether or not it is in force.
    latest_epoch: Epoch,
    closing: Closing,
    bounds: Bounds,
    live: BTreeMap<AttemptRef, Live>,
    ahead: Ahead,
    unconfirmed: Unconfirmed,
    settled: Settled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registration {
    None,
    Pending,
    Accepted(Session),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Yes,
}

impl Ledger {
    /// Restores the results that an earlier process of this worker left in the spool.
    pub(crate) fn restore(
        bounds: Bounds,
        unconfirmed: impl IntoIterator<Item = FinishedAttempt>,
    ) -> Self {
        Self {
            registration: Registration::None,
            latest_epoch: Epoch(0),
            closing: Closing::No,
            ahead: Ahead::new(bounds.total.clone()),
            bounds,
            live: BTreeMap::new(),
            unconfirmed: unconfirmed.into_iter().collect(),
            settled: Settled::default(),
        }
    }

    /// Returns the registration in force, if any.
    #[must_use]
    pub(crate) const fn session(&self) -> Option<Session> {
        match self.registration {
            Registration::Accepted(session) => Some(session),
            Registration::None | Registration::Pending => None,
        }
    }

    /// Returns the number of attempts that have not ended.
    #[must_use]
    pub(crate) fn running_count(&self) -> usize {
        self.live.values().filter(|live| live.has_process()).count()
    }

    /// Returns true while attempts run or outcomes are on their way to disk.
    #[must_use]
    pub(crate) fn has_live(&self) -> bool {
        !self.live.is_empty()
    }

    /// Returns true while results wait for the leader.
    #[must_use]
    pub(crate) fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Returns true if too many results wait for the leader to begin another attempt.
    #[must_use]
    pub(crate) fn is_spool_full(&self) -> bool {
        self.unconfirmed.bytes() >= self.bounds.unconfirmed_bytes_max
    }

    /// Returns true while attempts exist that were killed for lack of a leader.
    #[must_use]
    pub(crate) fn has_fenced(&self) -> bool {
        self.live.values().any(|live| matches!(live, Live::Fenced(_)))
    }

    /// Begins a registration: no attempt may begin until it is answered. The snapshot holds as many
    /// results as one batch, and names the others like running attempts: reports deliver them
    /// later.
    pub(crate) fn on_registering(&mut self) -> Snapshot {
        self.registration = Registration::Pending;
        let (finished, unsent) = self.unconfirmed.divide(BATCH_BYTES);
        let running = self.live.keys().copied().chain(unsent).collect();
        Snapshot { running, finished }
    }

    /// Applies the answer to a registration: attempts that the leader does not want, and results
    /// that it has. Results that were only named are reported even if they are not wanted: after a
    /// restoration from a backup, nobody else knows of them.
    pub(crate) fn on_registered(
        &mut self,
        session: Session,
        unwanted: &[AttemptRef],
        confirmed: &[AttemptRef],
    ) -> Result<Vec<Effect>, Overtaken> {
        if self.registration != Registration::Pending {
            return Err(Overtaken);
        }
        self.registration = Registration::Accepted(session);
        self.latest_epoch = session.epoch;

        let mut effects = self.on_confirmed(confirmed);
        for &attempt in unwanted {
            match self.live.get_mut(&attempt) {
                Some(Live::Waiting(_)) => {
                    self.live.remove(&attempt);
                    self.ahead.remove(attempt);
                    self.settled.put(attempt, Settlement::Stopped);
                    effects.push(Effect::Drop(attempt));
                }
                Some(
                    Live::Running(_) | Live::Fenced(_) | Live::Leaving(_) | Live::Abandoned(_),
                ) => {
                    self.live.remove(&attempt);
                    self.settled.put(attempt, Settlement::Stopped);
                    effects.push(Effect::Kill(attempt));
                }
                // It has ended: its result is told and confirmed, and then forgotten.
                Some(Live::Storing) | None => {}
            }
        }

        effects.extend(self.report_abandoned());
        Ok(effects)
    }

    /// Reports the attempts that a dismissal ended: they matter again once the leader has taken the
    /// worker back and believes that they run.
    fn report_abandoned(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.closing == Closing::Yes {
            return effects;
        }
        for (attempt, live) in &mut self.live {
            if matches!(live, Live::Abandoned(_)) {
                *live = Live::Fenced(LossReason::UnknownToWorker);
                effects.push(Effect::Kill(*attempt));
            }
        }
        effects
    }

    /// Takes in the answer to a heartbeat: the same registration, perhaps under another leader.
    pub(crate) fn on_heartbeat_answered(&mut self, leader: MasterId, term: Term, now: Instant) {
        self.settled.on_heartbeat_answered(now);
        if let Registration::Accepted(session) = &mut self.registration {
            session.leader = leader;
            session.term = term;
        }
    }

    /// Ends the session, because the leader was lost or the registration failed. Attempts go on.
    pub(crate) const fn on_session_ended(&mut self) {
        self.registration = Registration::None;
    }

    /// Checks that attempts of this registration can be taken on.
    pub(crate) fn may_assign(&self, epoch: Epoch) -> Result<(), AssignRefusal> {
        match self.registration {
            Registration::Accepted(_) if self.closing == Closing::Yes => {
                Err(AssignRefusal::Closing)
            }
            Registration::Accepted(session) if session.epoch == epoch => match self.is_spool_full()
            {
                true => Err(AssignRefusal::SpoolFull),
                false => Ok(()),
            },
            Registration::Accepted(session) => {
                Err(AssignRefusal::OtherEpoch { ours: session.epoch, theirs: epoch })
            }
            Registration::None | Registration::Pending => Err(AssignRefusal::NoSession),
        }
    }

    /// Decides about an order to run an attempt. The leader repeats the order until it is answered;
    /// only the first one starts the attempt.
    pub(crate) fn on_assigned(
        &mut self,
        attempt: AttemptRef,
        order: Order,
        now: Instant,
    ) -> Assigned {
        if self.live.contains_key(&attempt) || self.unconfirmed.contains(attempt) {
            return Assigned::Known;
        }
        let settlement = self.settled.get(attempt);
        if settlement == Some(Settlement::Confirmed) {
            return Assigned::Known;
        }

        // The state counts an attempt until its result is committed, so an unconfirmed attempt is
        // counted there, or about to be forgotten.
        let is_full = match order.begin {
            Begin::AtOnce => self.live.len() - self.ahead.len() >= self.bounds.attempts_max,
            Begin::Ahead => self.ahead.len() >= Limits::NEWEST.attempts_ahead_max,
        };
        if is_full || self.is_spool_full() {
            return Assigned::NoRoom;
        }
        if settlement.is_some() {
            // It must not run, and the leader must not wait for it either.
            self.put_lost(attempt, LossReason::UnknownToWorker);
            return Assigned::Lost;
        }

        assert!(
            matches!(self.registration, Registration::Accepted(_)) && self.closing == Closing::No,
            "an attempt begins under a registration that stands: {attempt:?}"
        );
        let Order { on_disconnect, room, begin } = order;
        if begin == Begin::Ahead
            && let Some(room) = &room
            && !self.begins_at_once(attempt, room, now)
        {
            self.live.insert(attempt, Live::Waiting(on_disconnect));
            return Assigned::Wait;
        }
        self.live.insert(attempt, Live::Running(on_disconnect));
        self.ahead.on_started(attempt, room, now);
        Assigned::Start
    }

    /// Records an attempt as lost, to be reported like a result.
    fn put_lost(&mut self, attempt: AttemptRef, reason: LossReason) {
        assert!(!self.live.contains_key(&attempt), "what is lost runs no more: {attempt:?}");
        self.unconfirmed.put(FinishedAttempt::new(attempt, AttemptOutcome::Lost(reason)));
    }

    /// Decides about an order to stop an attempt.
    pub(crate) fn on_cancelled(&mut self, attempt: AttemptRef) -> Cancelled {
        match self.live.get(&attempt) {
            Some(Live::Running(_)) => Cancelled::Stop,
            Some(Live::Waiting(_)) => {
                self.give_back_one(attempt, LossReason::NotStarted);
                Cancelled::Drop
            }
            Some(Live::Storing | Live::Leaving(_) | Live::Abandoned(_) | Live::Fenced(_)) => {
                Cancelled::Over
            }
            None if self.unconfirmed.contains(attempt) => Cancelled::Over,
            None => {
                if self.settled.get(attempt).is_none() {
                    self.settled.put(attempt, Settlement::Stopped);
                }
                Cancelled::Unknown
            }
        }
    }

    /// Takes in the end of an attempt, and returns true if its outcome must be stored and reported.
    pub(crate) fn on_ended(&mut self, ended: &FinishedAttempt) -> bool {
        let attempt = ended.attempt;
        self.ahead.on_ended(attempt);
        match self.live.get_mut(&attempt) {
            // An attempt that ended on its own before it was killed has a result like any other.
            Some(Live::Fenced(reason)) if is_by_signal(&ended.outcome) => {
                let reason = *reason;
                self.live.remove(&attempt);
                self.put_lost(attempt, reason);
                false
            }
            Some(live @ (Live::Running(_) | Live::Fenced(_))) => {
                *live = Live::Storing;
                true
            }
            // An attempt that succeeded while the worker shut down has completed.
            Some(live @ Live::Leaving(_)) if is_success(&ended.outcome) => {
                *live = Live::Storing;
                true
            }
            Some(Live::Leaving(_) | Live::Abandoned(_)) => {
                self.live.remove(&attempt);
                self.settled.put(attempt, Settlement::Stopped);
                false
            }
            Some(Live::Storing | Live::Waiting(_)) | None => false,
        }
    }

    /// Takes in outcomes that are on disk: from now on they may be reported.
    pub(crate) fn on_stored(&mut self, stored: Vec<FinishedAttempt>) {
        for ended in stored {
            let attempt = ended.attempt;
            let was = self.live.remove(&attempt);
            assert_eq!(was, Some(Live::Storing), "stored and not asked for: {attempt:?}");
            self.unconfirmed.put(ended);
        }
    }

    /// Returns the results to report next, as many as fit into that many bytes: after those of the
    /// last report, and in the end from the beginning again.
    pub(crate) fn next_report(&mut self, bytes_max: usize) -> Vec<FinishedAttempt> {
        self.unconfirmed.next_report(bytes_max)
    }

    /// Forgets results that the leader has or does not want.
    pub(crate) fn on_confirmed(&mut self, confirmed: &[AttemptRef]) -> Vec<Effect> {
        confirmed.iter().filter_map(|attempt| self.settle(*attempt)).collect()
    }

    /// Forgets a result that nobody waits for any more.
    fn settle(&mut self, attempt: AttemptRef) -> Option<Effect> {
        let ended = self.unconfirmed.remove(attempt)?;
        self.settled.put(attempt, Settlement::Confirmed);
        (!matches!(ended.outcome, AttemptOutcome::Lost(_))).then_some(Effect::Forget(attempt))
    }
}

const fn is_by_signal(outcome: &AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Signaled { .. })
}

fn is_success(outcome: &AttemptOutcome) -> bool {
    *outcome == AttemptOutcome::Exited { code: 0 }
}

/// Returns an attempt by its numbers.
#[cfg(test)]
pub(crate) const fn attempt_ref(task: u64, attempt: u32) -> AttemptRef {
    use cluster_state::{AttemptNumber, TaskId};

    AttemptRef { task: TaskId(task), attempt: AttemptNumber(attempt) }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
