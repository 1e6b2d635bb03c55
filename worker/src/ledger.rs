//! What this worker owes the leader: which attempts live, which ended and still need confirming.
//!
//! Every method records what happened and returns the effects, which `attempts` performs.

use std::collections::BTreeMap;
use std::ops::Bound;

use cluster_state::{
    AttemptOutcome, AttemptRef, Epoch, FinishedAttempt, LossReason, MasterId, OnDisconnect, Term,
};

mod answers;
mod declined;
mod settled;

pub(crate) use answers::{
    AssignRefusal, Assigned, Cancelled, Effect, Overtaken, Session, Snapshot,
};
use settled::{Settled, Settlement};

/// The attempts of one worker process and its standing with the leader.
#[derive(Debug)]
pub(crate) struct Ledger {
    standing: Standing,
    closing: Closing,
    attempts_max: usize,
    live: BTreeMap<AttemptRef, Live>,
    /// Results on disk, and losses, which need none: a new process of this worker has lost
    /// everything anyway.
    unconfirmed: BTreeMap<AttemptRef, AttemptOutcome>,
    settled: Settled,
    /// The last attempt that was handed out for reporting: the next report begins after it.
    reported_up_to: Option<AttemptRef>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Apart,
    Registering,
    Registered(Session),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Live {
    Running(OnDisconnect),
    /// The worker has killed it because it lost touch with the leader. It stays in snapshots until
    /// it has ended, and is reported as lost then.
    Fenced(LossReason),
    /// It ended; its outcome is on the way to disk.
    Storing,
    /// It ended and the leader does not want it: once its outcome is on disk, it is forgotten.
    Discarded,
    /// The worker stops it because it shuts down or was dismissed: its end says nothing about the
    /// task, and the leader knows without being told.
    Abandoned(OnDisconnect),
}

impl Live {
    const fn has_process(self) -> bool {
        match self {
            Self::Running(_) | Self::Fenced(_) | Self::Abandoned(_) => true,
            Self::Storing | Self::Discarded => false,
        }
    }
}

impl Ledger {
    /// Takes up the results that an earlier process of this worker left in the spool.
    pub(crate) fn restore(
        attempts_max: usize,
        unconfirmed: impl IntoIterator<Item = FinishedAttempt>,
    ) -> Self {
        Self {
            standing: Standing::Apart,
            closing: Closing::No,
            attempts_max,
            live: BTreeMap::new(),
            unconfirmed: unconfirmed
                .into_iter()
                .map(|finished| (finished.attempt, finished.outcome))
                .collect(),
            settled: Settled::default(),
            reported_up_to: None,
        }
    }

    /// The registration that stands.
    #[must_use]
    pub(crate) const fn session(&self) -> Option<Session> {
        match self.standing {
            Standing::Registered(session) => Some(session),
            Standing::Apart | Standing::Registering => None,
        }
    }

    /// Attempts that have not ended.
    #[must_use]
    pub(crate) fn running_count(&self) -> usize {
        self.live.values().filter(|live| live.has_process()).count()
    }

    /// Whether attempts run, or outcomes are on the way to disk.
    #[must_use]
    pub(crate) fn has_live(&self) -> bool {
        !self.live.is_empty()
    }

    /// Whether results wait for the leader.
    #[must_use]
    pub(crate) fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Whether attempts that were killed for want of a leader are still there.
    #[must_use]
    pub(crate) fn has_fenced(&self) -> bool {
        self.live.values().any(|live| matches!(live, Live::Fenced(_)))
    }

    /// A registration begins: until it is answered, no attempt may begin.
    pub(crate) fn on_registering(&mut self) -> Snapshot {
        self.standing = Standing::Registering;
        Snapshot {
            running: self
                .live
                .iter()
                .filter(|(_, live)| **live != Live::Discarded)
                .map(|(attempt, _)| *attempt)
                .collect(),
            finished: self.unconfirmed.iter().map(finished).collect(),
        }
    }

    /// The leader answered the registration: these attempts it does not want, those results it has.
    pub(crate) fn on_registered(
        &mut self,
        session: Session,
        unwanted: &[AttemptRef],
        confirmed: &[AttemptRef],
    ) -> Result<Vec<Effect>, Overtaken> {
        if self.standing != Standing::Registering {
            return Err(Overtaken);
        }
        self.standing = Standing::Registered(session);
        let mut effects = self.on_confirmed(confirmed);
        for &attempt in unwanted {
            match self.live.get_mut(&attempt) {
                Some(Live::Running(_) | Live::Fenced(_) | Live::Abandoned(_)) => {
                    self.live.remove(&attempt);
                    self.settled.put(attempt, Settlement::Stopped);
                    effects.push(Effect::Kill(attempt));
                }
                Some(live @ Live::Storing) => *live = Live::Discarded,
                Some(Live::Discarded) | None => {}
            }
        }
        Ok(effects)
    }

    /// A heartbeat was answered: the same registration, perhaps under another leader.
    pub(crate) const fn on_heartbeat_answered(&mut self, leader: MasterId, term: Term) {
        if let Standing::Registered(session) = &mut self.standing {
            session.leader = leader;
            session.term = term;
        }
    }

    /// The leader was lost, or the registration failed. Attempts go on.
    pub(crate) const fn on_session_ended(&mut self) {
        self.standing = Standing::Apart;
    }

    /// Whether attempts of this registration can be taken on.
    pub(crate) fn may_assign(&self, epoch: Epoch) -> Result<(), AssignRefusal> {
        match self.standing {
            Standing::Registered(_) if self.closing == Closing::Yes => Err(AssignRefusal::Closing),
            Standing::Registered(session) if session.epoch == epoch => Ok(()),
            Standing::Registered(session) => {
                Err(AssignRefusal::OtherEpoch { ours: session.epoch, theirs: epoch })
            }
            Standing::Apart | Standing::Registering => Err(AssignRefusal::NoSession),
        }
    }

    /// Asked to run an attempt. The leader asks again until it hears back, so this repeats; only
    /// the first time starts it.
    pub(crate) fn on_assigned(
        &mut self,
        attempt: AttemptRef,
        on_disconnect: OnDisconnect,
    ) -> Assigned {
        if self.live.contains_key(&attempt) || self.unconfirmed.contains_key(&attempt) {
            return Assigned::Known;
        }
        let settlement = self.settled.get(attempt);
        if settlement == Some(Settlement::Confirmed) {
            return Assigned::Known;
        }
        if self.live.len() + self.unconfirmed.len() >= self.attempts_max {
            return Assigned::NoRoom;
        }
        if settlement.is_some() {
            // It must not run, and the leader must not wait for it either.
            self.put_lost(attempt, LossReason::UnknownToWorker);
            return Assigned::Lost;
        }
        self.live.insert(attempt, Live::Running(on_disconnect));
        Assigned::Start
    }

    /// From now on the loss is reported, like a result.
    fn put_lost(&mut self, attempt: AttemptRef, reason: LossReason) {
        self.unconfirmed.insert(attempt, AttemptOutcome::Lost(reason));
    }

    /// Asked to stop an attempt.
    pub(crate) fn on_cancelled(&mut self, attempt: AttemptRef) -> Cancelled {
        match self.live.get(&attempt) {
            Some(Live::Running(_)) => Cancelled::Stop,
            Some(Live::Storing | Live::Discarded | Live::Abandoned(_) | Live::Fenced(_)) => {
                Cancelled::Over
            }
            None if self.unconfirmed.contains_key(&attempt) => Cancelled::Over,
            None => {
                if self.settled.get(attempt).is_none() {
                    self.settled.put(attempt, Settlement::Stopped);
                }
                Cancelled::Unknown
            }
        }
    }

    /// An attempt ended. Whether its outcome is to be stored and reported.
    pub(crate) fn on_ended(&mut self, ended: &FinishedAttempt) -> bool {
        let attempt = ended.attempt;
        match self.live.get_mut(&attempt) {
            // What ended by itself before it was killed has a result like any other.
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
            Some(Live::Abandoned(_)) => {
                self.live.remove(&attempt);
                self.settled.put(attempt, Settlement::Stopped);
                false
            }
            Some(Live::Storing | Live::Discarded) | None => false,
        }
    }

    /// Outcomes are on disk: from now on they may be reported.
    pub(crate) fn on_stored(&mut self, stored: Vec<FinishedAttempt>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for FinishedAttempt { attempt, outcome } in stored {
            if self.live.remove(&attempt) == Some(Live::Storing) {
                self.unconfirmed.insert(attempt, outcome);
            } else {
                self.settled.put(attempt, Settlement::Stopped);
                effects.push(Effect::Forget(attempt));
            }
        }
        effects
    }

    /// The results to report next: after those of the last report, and in the end all over again.
    pub(crate) fn next_report(&mut self, count_max: usize) -> Vec<FinishedAttempt> {
        let mut report = self.report_after(self.reported_up_to, count_max);
        if report.is_empty() {
            report = self.report_after(None, count_max);
        }
        self.reported_up_to = report.last().map(|last| last.attempt);
        report
    }

    fn report_after(&self, after: Option<AttemptRef>, count_max: usize) -> Vec<FinishedAttempt> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.unconfirmed.range((from, Bound::Unbounded)).take(count_max).map(finished).collect()
    }

    /// The leader has these results, or does not want them.
    pub(crate) fn on_confirmed(&mut self, confirmed: &[AttemptRef]) -> Vec<Effect> {
        let mut effects = Vec::new();
        for &attempt in confirmed {
            let Some(outcome) = self.unconfirmed.remove(&attempt) else { continue };
            self.settled.put(attempt, Settlement::Confirmed);
            if !matches!(outcome, AttemptOutcome::Lost(_)) {
                effects.push(Effect::Forget(attempt));
            }
        }
        effects
    }

    /// The lease lapsed: the leader may give every running attempt to somebody else.
    pub(crate) fn on_lapsed(&mut self) -> Vec<Effect> {
        self.standing = Standing::Apart;
        let mut effects = Vec::new();
        for (attempt, live) in &mut self.live {
            match live {
                Live::Running(_) => *live = Live::Fenced(LossReason::LeaseExpired),
                Live::Abandoned(_) => {}
                Live::Fenced(_) | Live::Storing | Live::Discarded => continue,
            }
            effects.push(Effect::Kill(*attempt));
        }
        effects
    }

    /// No leader was reached for the heartbeat timeout: attempts of tasks that asked not to wait
    /// longer may be somebody else's soon.
    pub(crate) fn on_disconnected(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (attempt, live) in &mut self.live {
            *live = match live {
                Live::Running(OnDisconnect::Requeue) => {
                    Live::Fenced(LossReason::WorkerDisconnected)
                }
                Live::Abandoned(OnDisconnect::Requeue) => Live::Abandoned(OnDisconnect::Keep),
                Live::Running(_)
                | Live::Abandoned(_)
                | Live::Fenced(_)
                | Live::Storing
                | Live::Discarded => continue,
            };
            effects.push(Effect::Kill(*attempt));
        }
        effects
    }

    /// The worker is off the registry, and its tasks are queued again.
    pub(crate) fn on_dismissed(&mut self) -> Vec<Effect> {
        self.standing = Standing::Apart;
        let mut effects = self.abandon_running();
        for (attempt, live) in &mut self.live {
            if matches!(live, Live::Fenced(_)) {
                *live = Live::Abandoned(OnDisconnect::Keep);
                effects.push(Effect::Kill(*attempt));
            }
        }
        effects
    }

    /// The worker shuts down: nothing more begins, and what runs is stopped. It stays in
    /// snapshots until it has ended, so that nobody runs the task meanwhile.
    pub(crate) fn on_closing(&mut self) -> Vec<Effect> {
        self.closing = Closing::Yes;
        self.abandon_running()
    }

    fn abandon_running(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (attempt, live) in &mut self.live {
            if let Live::Running(on_disconnect) = *live {
                *live = Live::Abandoned(on_disconnect);
                effects.push(Effect::Stop(*attempt));
            }
        }
        effects
    }
}

const fn is_by_signal(outcome: &AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Signaled { .. })
}

fn finished((attempt, outcome): (&AttemptRef, &AttemptOutcome)) -> FinishedAttempt {
    FinishedAttempt { attempt: *attempt, outcome: outcome.clone() }
}

/// An attempt by its numbers.
#[cfg(test)]
pub(crate) const fn attempt_ref(task: u64, attempt: u32) -> AttemptRef {
    use cluster_state::{AttemptNumber, TaskId};

    AttemptRef { task: TaskId(task), attempt: AttemptNumber(attempt) }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
