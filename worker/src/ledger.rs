//! What this worker owes the leader: which attempts live, which ended and still need confirming.
//!
//! Every method records what happened and returns the effects, which `attempts` performs.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use cluster_state::{AttemptOutcome, AttemptRef, Epoch, FinishedAttempt, MasterId, Term};

mod settled;

use settled::{Settled, Settlement};

/// What a process reports that was killed; see `signal(7)`.
const SIGKILL: i32 = 9;

/// The attempts of one worker process and its standing with the leader.
#[derive(Debug)]
pub(crate) struct Ledger {
    standing: Standing,
    closing: Closing,
    attempts_max: usize,
    live: BTreeMap<AttemptRef, Live>,
    unconfirmed: BTreeMap<AttemptRef, AttemptOutcome>,
    settled: Settled,
    /// The last attempt that was handed out for reporting: the next report begins after it.
    reported_up_to: Option<AttemptRef>,
}

/// What is to be done about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask its process to end.
    Stop(AttemptRef),
    /// End its process now.
    Kill(AttemptRef),
    /// Remove its result from the spool.
    Forget(AttemptRef),
}

/// What an order to run an attempt comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// It is new: start it.
    Start,
    /// It runs or ran already; its end is or will be reported.
    Known,
    /// It must not run any more: this is its end.
    Ended(FinishedAttempt),
    /// There is no room for it.
    NoRoom,
}

/// What an order to cancel an attempt comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It runs: stop it.
    Stop,
    /// Its end has come already, and is or will be reported.
    Over,
    /// Nothing is known of it, and from now on it will not start.
    Unknown,
}

/// A registration that the leader holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// The registration's number.
    pub(crate) epoch: Epoch,
    /// Who leads.
    pub(crate) leader: MasterId,
    /// In which term.
    pub(crate) term: Term,
}

/// What the worker tells when it registers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Attempts that have not ended, or whose end is not on disk yet.
    pub(crate) running: Vec<AttemptRef>,
    /// Attempts that ended and that no leader has confirmed.
    pub(crate) finished: Vec<FinishedAttempt>,
}

/// Why attempts cannot be taken on now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssignRefusal {
    /// Between the snapshot for a registration and its answer an attempt must not begin: the
    /// leader would find it missing from the snapshot and give its task to somebody else.
    #[error("no registration stands")]
    NoSession,
    /// The attempts belong to another registration.
    #[error("the registration is {ours}, not {theirs}")]
    OtherEpoch {
        /// The one that stands here.
        ours: Epoch,
        /// The one that the caller named.
        theirs: Epoch,
    },
    /// The worker is shutting down.
    #[error("the worker is shutting down")]
    Closing,
}

/// The registration was overtaken by a lapse of the lease or by another registration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the registration was overtaken")]
pub(crate) struct Overtaken;

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
    Running,
    /// It ended; its outcome is on the way to disk.
    Storing,
    /// It ended and the leader does not want it: once its outcome is on disk, it is forgotten.
    Discarded,
    /// The worker itself stops it because it shuts down: its end says nothing about the task.
    Abandoned,
}

impl Live {
    const fn has_process(self) -> bool {
        match self {
            Self::Running | Self::Abandoned => true,
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
                Some(Live::Running | Live::Abandoned) => {
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
    pub(crate) fn on_assigned(&mut self, attempt: AttemptRef) -> Assigned {
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
        self.live.insert(attempt, Live::Running);
        match settlement {
            // It must not run, and the leader must not wait for it either.
            Some(_) => {
                let outcome = AttemptOutcome::Signaled { signal: SIGKILL };
                Assigned::Ended(FinishedAttempt { attempt, outcome })
            }
            None => Assigned::Start,
        }
    }

    /// Asked to stop an attempt.
    pub(crate) fn on_cancelled(&mut self, attempt: AttemptRef) -> Cancelled {
        match self.live.get(&attempt) {
            Some(Live::Running) => Cancelled::Stop,
            Some(Live::Storing | Live::Discarded | Live::Abandoned) => Cancelled::Over,
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
    pub(crate) fn on_ended(&mut self, attempt: AttemptRef) -> bool {
        match self.live.get_mut(&attempt) {
            Some(live @ Live::Running) => {
                *live = Live::Storing;
                true
            }
            Some(Live::Abandoned) => {
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
            if self.unconfirmed.remove(&attempt).is_some() {
                self.settled.put(attempt, Settlement::Confirmed);
                effects.push(Effect::Forget(attempt));
            }
        }
        effects
    }

    /// The lease lapsed: the leader may give every running attempt to somebody else.
    pub(crate) fn on_lapsed(&mut self) -> Vec<Effect> {
        self.standing = Standing::Apart;
        let lost = self.live.extract_if(.., |_, live| live.has_process());
        let lost = lost.map(|(attempt, _)| attempt).collect::<BTreeSet<_>>();
        for attempt in &lost {
            self.settled.put(*attempt, Settlement::Stopped);
        }
        lost.into_iter().map(Effect::Kill).collect()
    }

    /// The worker shuts down: nothing more begins, and what runs is stopped. It stays in
    /// snapshots until it has ended, so that nobody runs the task meanwhile.
    pub(crate) fn on_closing(&mut self) -> Vec<Effect> {
        self.closing = Closing::Yes;
        let mut effects = Vec::new();
        for (attempt, live) in &mut self.live {
            if *live == Live::Running {
                *live = Live::Abandoned;
                effects.push(Effect::Stop(*attempt));
            }
        }
        effects
    }
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
