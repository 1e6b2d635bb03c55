//! Decides which inactive worker to contact next, and how long to back off between contacts. Pure:
//! time and randomness come in as arguments.
//!
//! A worker is resting, in line, or under contact, and never two of these, so at most one contact
//! is in flight per worker. The cost of a step depends on what is due, not on what is known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{Backoff, Timestamp, WorkerId};
use tokio::time::Instant;

use super::backoff::rest;
use super::contact::ContactResult;

/// Number of contacts that may be so new that they do not count as slow.
const YOUNG_MAX: usize = 32;

/// Age from which a contact counts as slow. A worker that runs answers within some milliseconds, so
/// a fleet that runs is contacted over a few connections at a time, and only workers that do not
/// answer take up more. Each open connection costs the leader some 50 KiB, which it keeps.
const SLOW_AFTER: Duration = Duration::from_millis(50);

/// An inactive worker with a known address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InactiveWorker {
    /// Time at which it became inactive.
    pub(super) since: Timestamp,
    pub(super) address: String,
    /// Time between two contacts.
    pub(super) interval: Duration,
}

/// Reason why a worker is contacted, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trigger {
    /// A new leader announces itself to a worker that was active under the old one.
    Announcement,
    /// An operator has asked for it and waits.
    Request,
    /// The worker is inactive and its rest is over.
    Round,
}

/// The contacts of a round that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// Number of workers.
    pub(super) workers: usize,
    /// True if one of them has not been contacted since it became inactive.
    pub(super) is_new: bool,
}

/// A batch of contacts that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completed {
    /// A round, or the contacts of a request, with the time that they took.
    Round(Duration),
    /// The announcements of a new leader.
    Announcements { took: Duration, reached: usize, failed: usize },
}

/// Number of a batch: of contacts that began together.
type BatchId = u64;

#[derive(Debug)]
struct Batch {
    trigger: Trigger,
    began_at: Instant,
    left: usize,
    reached: usize,
    failed: usize,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Resting { due: Instant },
    InLine { trigger: Trigger, place: u64, batch: BatchId },
    UnderWay { batch: BatchId, since: Instant },
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// Nothing for a worker that is contacted once and then forgotten.
    inactive: Option<InactiveWorker>,
    /// Consecutive failures.
    failures: u32,
    /// True if it was contacted since it became inactive.
    was_contacted: bool,
    /// Trouble that was last reported to operators.
    reported: Option<ContactResult>,
}

impl Entry {
    const fn new(stage: Stage, inactive: Option<InactiveWorker>) -> Self {
        Self { stage, inactive, failures: 0, was_contacted: false, reported: None }
    }
}

/// The workers to contact.
#[derive(Debug)]
pub(super) struct ContactSchedule {
    backoff: Backoff,
    parallel_max: usize,
    entries: BTreeMap<WorkerId, Entry>,
    /// Workers that rest, by the end of the rest.
    due: BTreeSet<(Instant, WorkerId)>,
    /// Workers that wait for an open contact to end.
    line: BTreeSet<(Trigger, u64, WorkerId)>,
    /// Open contacts by their beginning.
    under_way: BTreeSet<(Instant, WorkerId)>,
    next_place: u64,
    batches: BTreeMap<BatchId, Batch>,
    next_batch: BatchId,
}

impl ContactSchedule {
    /// Returns an empty schedule that allows `parallel_max` concurrent contacts.
    #[must_use]
    pub(super) const fn new(backoff: Backoff, parallel_max: usize) -> Self {
        Self {
            backoff,
            parallel_max,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            line: BTreeSet::new(),
            under_way: BTreeSet::new(),
            next_place: 0,
            batches: BTreeMap::new(),
            next_batch: 0,
        }
    }

    /// Goes by another backoff and another number of concurrent contacts from now on.
    pub(super) const fn set_bounds(&mut self, backoff: Backoff, parallel_max: usize) {
        self.backoff = backoff;
        self.parallel_max = parallel_max;
    }

    /// Takes in the record of an inactive worker. It is due at once if it has not been contacted
    /// since it became inactive, or if its address has changed.
    pub(super) fn on_inactive(
        &mut self,
        worker: &WorkerId,
        inactive: InactiveWorker,
        now: Instant,
    ) {
        let Some(entry) = self.entries.get_mut(worker) else {
            let entry = Entry::new(Stage::Resting { due: now }, Some(inactive));
            self.entries.insert(worker.clone(), entry);
            self.due.insert((now, worker.clone()));
            return;
        };

        let is_unchanged = entry.inactive.as_ref().is_some_and(|before| {
            before.since == inactive.since && before.address == inactive.address
        });
        let latest = if is_unchanged { now + inactive.interval } else { now };
        if !is_unchanged {
            entry.failures = 0;
            entry.was_contacted = false;
        }

        entry.inactive = Some(inactive);
        if let Stage::Resting { due } = entry.stage
            && due > latest
        {
            entry.stage = Stage::Resting { due: latest };
            self.due.remove(&(due, worker.clone()));
            self.due.insert((latest, worker.clone()));
        }
    }

    /// Begins a round over the workers whose rest is over. Those that `is_wanted` rejects are
    /// forgotten: they are active by now, or unregistered.
    pub(super) fn begin_round(
        &mut self,
        now: Instant,
        mut is_wanted: impl FnMut(&WorkerId) -> bool,
    ) -> Option<Round> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now);
        let due = due.map(|(_, worker)| worker.clone()).collect::<Vec<_>>();
        let (wanted, unwanted): (Vec<_>, Vec<_>) = due.into_iter().partition(&mut is_wanted);
        for worker in unwanted {
            self.remove(&worker);
        }
        if wanted.is_empty() {
            return None;
        }
        let contacted = |worker| self.entries.get(worker).is_some_and(|entry| entry.was_contacted);
        let is_new = !wanted.iter().all(contacted);
        let workers = wanted.len();
        self.begin(wanted, Trigger::Round, now);
        Some(Round { workers, is_new })
    }

    /// Puts active workers in line for an announcement of the leader.
    pub(super) fn announce(&mut self, workers: Vec<WorkerId>, now: Instant) {
        let new = workers.into_iter().filter(|worker| !self.entries.contains_key(worker));
        let new = new.collect::<Vec<_>>();
        self.begin(new, Trigger::Announcement, now);
    }

    /// Puts workers in line before those whose rest is over, except those that are under contact.
    /// Whoever asks believes that something has changed, so backoffs start over with one interval.
    pub(super) fn request(&mut self, workers: Vec<WorkerId>, now: Instant) {
        let mut fresh = Vec::new();
        for worker in workers {
            let Some(entry) = self.entries.get_mut(&worker) else {
                fresh.push(worker);
                continue;
            };
            entry.failures = 0;
            match entry.stage {
                Stage::Resting { .. } => fresh.push(worker),
                Stage::InLine { trigger: Trigger::Round, place, batch } => {
                    self.line.remove(&(Trigger::Round, place, worker.clone()));
                    entry.stage = Stage::InLine { trigger: Trigger::Request, place, batch };
                    self.line.insert((Trigger::Request, place, worker));
                }
                Stage::InLine { .. } | Stage::UnderWay { .. } => {}
            }
        }
        self.begin(fresh, Trigger::Request, now);
    }

    /// Takes the next worker out of the line, if another contact may begin.
    pub(super) fn start_next(&mut self, now: Instant) -> Option<(WorkerId, Trigger)> {
        if self.under_way.len() >= self.parallel_max || self.next_start(now).is_some() {
            return None;
        }
        let (trigger, _, worker) = self.line.pop_first()?;
        let entry = self.entries.get_mut(&worker)?;
        if let Stage::InLine { batch, .. } = entry.stage {
            entry.stage = Stage::UnderWay { batch, since: now };
            entry.was_contacted = true;
            self.under_way.insert((now, worker.clone()));
        }
        Some((worker, trigger))
    }

    /// Returns the time from which another contact may begin, if that is only because of the age of
    /// the open ones.
    #[must_use]
    pub(super) fn next_start(&self, now: Instant) -> Option<Instant> {
        if self.line.is_empty() || self.under_way.len() >= self.parallel_max {
            return None;
        }
        let (oldest_young, _) = self.under_way.iter().rev().nth(YOUNG_MAX - 1)?;
        Some(*oldest_young + SLOW_AFTER).filter(|next| *next > now)
    }

    /// Notes trouble with a worker. Returns whether it differs from the trouble last reported.
    pub(super) fn is_news(&mut self, worker: &WorkerId, trouble: &ContactResult) -> bool {
        let Some(entry) = self.entries.get_mut(worker) else { return true };
        let is_news = !entry.reported.as_ref().is_some_and(|known| known.is_like(trouble));
        entry.reported = Some(trouble.clone());
        is_news
    }

    /// Notes that the worker is as expected: its next trouble is news.
    pub(super) fn on_no_trouble(&mut self, worker: &WorkerId) {
        if let Some(entry) = self.entries.get_mut(worker) {
            entry.reported = None;
        }
    }

    /// Handles the end of a contact, which has no result if it was withdrawn: the worker rests, or
    /// is forgotten unless it is known to be inactive. Returns the batch if this was its last
    /// contact.
    pub(super) fn on_ended(
        &mut self,
        worker: &WorkerId,
        result: Option<&ContactResult>,
        now: Instant,
        random: u32,
    ) -> Option<Completed> {
        let entry = self.entries.get_mut(worker)?;
        let Stage::UnderWay { batch, since } = entry.stage else { return None };
        self.under_way.remove(&(since, worker.clone()));

        entry.failures = match result {
            Some(result) if !result.is_reached() => entry.failures.saturating_add(1),
            Some(_) | None => 0,
        };

        match &entry.inactive {
            Some(inactive) => {
                let is_outdated = result.is_none() || !entry.was_contacted;
                let rest = rest(self.backoff, inactive.interval, entry.failures, random);
                let due = if is_outdated { now } else { now + rest };
                entry.stage = Stage::Resting { due };
                self.due.insert((due, worker.clone()));
            }
            None => {
                self.entries.remove(worker);
            }
        }
        self.leave_batch(batch, result, now)
    }

    /// Forgets a worker.
    pub(super) fn forget(&mut self, worker: &WorkerId, now: Instant) -> Option<Completed> {
        match self.remove(worker)? {
            Stage::Resting { .. } => None,
            Stage::InLine { batch, .. } | Stage::UnderWay { batch, .. } => {
                self.leave_batch(batch, None, now)
            }
        }
    }

    /// Returns the end of the first rest.
    #[must_use]
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Puts workers in line as one batch.
    fn begin(&mut self, workers: Vec<WorkerId>, trigger: Trigger, now: Instant) {
        if workers.is_empty() {
            return;
        }
        let batch = self.next_batch;
        self.next_batch = batch.wrapping_add(1);
        let left = workers.len();
        self.batches.insert(batch, Batch { trigger, began_at: now, left, reached: 0, failed: 0 });

        for worker in workers {
            let place = self.next_place;
            self.next_place = place.wrapping_add(1);
            let stage = Stage::InLine { trigger, place, batch };
            self.line.insert((trigger, place, worker.clone()));
            if let Some(entry) = self.entries.get_mut(&worker) {
                if let Stage::Resting { due } = entry.stage {
                    self.due.remove(&(due, worker));
                }
                entry.stage = stage;
            } else {
                self.entries.insert(worker, Entry::new(stage, None));
            }
        }
    }

    fn remove(&mut self, worker: &WorkerId) -> Option<Stage> {
        let Entry { stage, .. } = self.entries.remove(worker)?;
        match stage {
            Stage::Resting { due } => {
                self.due.remove(&(due, worker.clone()));
            }
            Stage::InLine { trigger, place, .. } => {
                self.line.remove(&(trigger, place, worker.clone()));
            }
            Stage::UnderWay { since, .. } => {
                self.under_way.remove(&(since, worker.clone()));
            }
        }
        Some(stage)
    }

    fn leave_batch(
        &mut self,
        id: BatchId,
        result: Option<&ContactResult>,
        now: Instant,
    ) -> Option<Completed> {
        let batch = self.batches.get_mut(&id)?;
        batch.left = batch.left.saturating_sub(1);
        match result {
            Some(result) if result.is_reached() => batch.reached = batch.reached.saturating_add(1),
            Some(_) => batch.failed = batch.failed.saturating_add(1),
            None => {}
        }
        if batch.left > 0 {
            return None;
        }

        let Batch { trigger, began_at, reached, failed, .. } = self.batches.remove(&id)?;
        let took = now.saturating_duration_since(began_at);
        match trigger {
            Trigger::Announcement => Some(Completed::Announcements { took, reached, failed }),
            Trigger::Request | Trigger::Round => Some(Completed::Round(took)),
        }
    }
}

#[cfg(test)]
mod tests;
