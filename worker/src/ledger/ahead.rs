//! Attempts that wait at this worker for room, and the room that there is.
//!
//! A leader gives them ahead to a worker that starts one short attempt after another: the next one
//! begins as soon as one ends, and not after a round trip through the leader. They begin in the order
//! in which they came. One that has waited for too long is given back, because another worker may have
//! room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use cluster_state::{AttemptRef, Limits, LossReason, Resources};
use tokio::time::Instant;

use super::live::Live;
use super::{Closing, Effect, Ledger};

/// Time for which an attempt waits at most: several times what it is expected to.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// Time of which the number of starts is the number of attempts to have waiting: some round trips
/// through the leader.
const SUPPLY: Duration = Duration::from_millis(100);
/// Time for which results gather while the next attempts are here: a fraction of [`SUPPLY`], so that
/// they do not run out. Each time that results are stored and reported costs the worker a sync and every
/// master an entry of the log, however many results there are.
const GATHER: Duration = Duration::from_millis(20);
/// Number of starts within [`SUPPLY`] from which results gather: as many as a report then holds on average.
const GATHER_STARTS_MIN: u32 = 10;
/// Time after which the start of an attempt is told to the leader, unless the attempt has ended:
/// the end of a short one says enough.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(50);
/// Time after which it is told again: the leader may not know yet that there is room for it.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(1);

/// The room of this worker, and the attempts that wait for some.
#[derive(Debug)]
pub(super) struct Ahead {
    total: Resources,
    used: Resources,
    occupied: BTreeMap<AttemptRef, Resources>,
    /// Attempts of which nobody has said what they occupy: beside them there is no room.
    unknown: BTreeSet<AttemptRef>,
    queue: VecDeque<Waiting>,
    /// The latest starts, oldest first.
    starts: VecDeque<Instant>,
    /// Attempts that have waited, or might have, and run now.
    begun: BTreeSet<AttemptRef>,
    /// Those of them of which the leader is to be told, with the time at which to do so.
    unannounced: BTreeMap<AttemptRef, Instant>,
}

#[derive(Debug)]
struct Waiting {
    attempt: AttemptRef,
    wanted: Resources,
    until: Instant,
}

impl Ahead {
    pub(super) fn new(total: Resources) -> Self {
        Self {
            total,
            used: Resources::default(),
            occupied: BTreeMap::new(),
            unknown: BTreeSet::new(),
            queue: VecDeque::new(),
            starts: VecDeque::new(),
            begun: BTreeSet::new(),
            unannounced: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn has_room(&self, wanted: &Resources) -> bool {
        let sum = self.used.checked_add(wanted);
        self.unknown.is_empty() && sum.is_some_and(|sum| self.total.holds(&sum))
    }

    /// Takes in that an attempt begins.
    pub(super) fn on_started(
        &mut self,
        attempt: AttemptRef,
        room: Option<Resources>,
        now: Instant,
    ) {
        let sum = room.as_ref().and_then(|room| self.used.checked_add(room));
        if let (Some(room), Some(sum)) = (room, sum) {
            self.used = sum;
            self.occupied.insert(attempt, room);
        } else {
            self.unknown.insert(attempt);
        }
        self.starts.push_back(now);
        if self.starts.len() > Limits::NEWEST.attempts_ahead_max {
            self.starts.pop_front();
        }
    }

    /// Takes in that nothing is left of an attempt.
    pub(super) fn on_ended(&mut self, attempt: AttemptRef) {
        self.unknown.remove(&attempt);
        self.unannounced.remove(&attempt);
        self.begun.remove(&attempt);
        if let Some(room) = self.occupied.remove(&attempt) {
            let rest = self.used.checked_sub(&room);
            assert!(rest.is_some(), "what {attempt:?} gives back was in use");
            self.used = rest.unwrap_or_default();
        }
    }

    fn on_begun(&mut self, attempt: AttemptRef, now: Instant) {
        self.begun.insert(attempt);
        self.unannounced.insert(attempt, now + ANNOUNCE_AFTER);
    }

    /// Removes an attempt that waits.
    pub(super) fn remove(&mut self, attempt: AttemptRef) {
        self.queue.retain(|waiting| waiting.attempt != attempt);
    }
}

impl Ledger {
    /// Decides about an attempt that was given ahead: returns whether it begins at once.
    pub(super) fn begins_at_once(
        &mut self,
        attempt: AttemptRef,
        wanted: &Resources,
        now: Instant,
    ) -> bool {
        if self.ahead.queue.is_empty() && self.ahead.has_room(wanted) {
            self.ahead.on_begun(attempt, now);
            return true;
        }
        let waiting = Waiting { attempt, wanted: wanted.clone(), until: now + WAIT_MAX };
        self.ahead.queue.push_back(waiting);
        false
    }

    /// Returns the attempts that begin now because there is room for them.
    pub(crate) fn next_starts(&mut self, now: Instant) -> Vec<AttemptRef> {
        let mut starts = Vec::new();
        if self.closing == Closing::Yes || self.is_spool_full() {
            return starts;
        }
        while let Some(next) = self.ahead.queue.pop_front() {
            if !self.ahead.has_room(&next.wanted) {
                self.ahead.queue.push_front(next);
                break;
            }
            let Some(live) = self.live.get_mut(&next.attempt) else { continue };
            let Live::Waiting(on_disconnect) = *live else { continue };
            *live = Live::Running(on_disconnect);
            self.ahead.on_started(next.attempt, Some(next.wanted), now);
            self.ahead.on_begun(next.attempt, now);
            starts.push(next.attempt);
        }
        starts
    }

    /// Gives back the attempts that have waited for too long.
    pub(crate) fn give_back(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(waiting) = self.ahead.queue.pop_front_if(|waiting| waiting.until <= now) {
            effects.extend(self.give_back_one(waiting.attempt, LossReason::NotStarted));
        }
        effects
    }

    /// Reports an attempt that waits as lost: it has not begun, and never will.
    pub(super) fn give_back_one(
        &mut self,
        attempt: AttemptRef,
        reason: LossReason,
    ) -> Option<Effect> {
        let was = self.live.remove(&attempt)?;
        assert!(matches!(was, Live::Waiting(_)), "what is given back has waited: {attempt:?}");
        self.ahead.remove(attempt);
        self.put_lost(attempt, reason);
        Some(Effect::Drop(attempt))
    }

    /// Returns the attempts that wait.
    pub(super) fn waiting(&self) -> Vec<AttemptRef> {
        self.ahead.queue.iter().map(|waiting| waiting.attempt).collect()
    }

    /// Returns the time at which the next attempt has waited for too long.
    pub(crate) fn next_give_back(&self) -> Option<Instant> {
        self.ahead.queue.front().map(|waiting| waiting.until)
    }

    /// Returns the number of attempts that this worker wants to have waiting.
    pub(crate) fn wants_ahead(&mut self, now: Instant) -> u32 {
        // They could not begin.
        if self.closing == Closing::Yes || self.is_spool_full() || !self.ahead.unknown.is_empty() {
            return 0;
        }
        let starts = &mut self.ahead.starts;
        while starts.pop_front_if(|start| *start + SUPPLY < now).is_some() {}
        u32::try_from(starts.len()).unwrap_or(u32::MAX)
    }

    /// Returns the time at which to store results, and then to report them, if some were stored at `last`
    /// before: at once, unless enough attempts wait here that nothing is late for it.
    pub(crate) fn stores_at(&mut self, last: Option<Instant>, now: Instant) -> Instant {
        let wanted = self.wants_ahead(now);
        let waiting = u32::try_from(self.ahead.len()).unwrap_or(u32::MAX);
        let is_supplied = wanted >= GATHER_STARTS_MIN && waiting >= wanted / 2;
        last.filter(|_| is_supplied).map_or(now, |last| last + GATHER)
    }

    /// Returns the attempts whose starts the leader should be told now, and notes that it is.
    pub(crate) fn starts_to_announce(&mut self, now: Instant) -> Vec<AttemptRef> {
        let due = self.ahead.unannounced.iter_mut().filter(|(_, at)| **at <= now);
        due.map(|(attempt, at)| {
            *at = now + ANNOUNCE_AGAIN;
            *attempt
        })
        .collect()
    }

    /// Returns the time at which the next start should be told.
    pub(crate) fn next_announcement(&self) -> Option<Instant> {
        self.ahead.unannounced.values().min().copied()
    }

    /// Has all starts told again, because the leader may go on from an older state than the one before.
    pub(crate) fn announce_again(&mut self, now: Instant) {
        let begun = self.ahead.begun.iter().map(|attempt| (*attempt, now + ANNOUNCE_AFTER));
        self.ahead.unannounced.extend(begun);
    }

    /// Takes in that starts are on record.
    pub(crate) fn on_announced(&mut self, started: &[AttemptRef]) {
        for attempt in started {
            self.ahead.unannounced.remove(attempt);
        }
    }
}

#[cfg(test)]
mod tests;
