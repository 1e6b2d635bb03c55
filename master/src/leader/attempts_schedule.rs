//! Which worker is gone to next, and how long each rests after an attempt. Pure: time and
//! randomness come in as arguments.
//!
//! A worker is resting, in line, or gone to; never two of these, so no two attempts at one worker
//! are ever under way. Every step costs what is due and not what is known.

mod backoff;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{Timestamp, WorkerId};
use tokio::time::Instant;

pub(crate) use self::backoff::Backoff;

/// What is known of an inactive worker that can be gone to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// When it became inactive.
    pub(crate) since: Timestamp,
    /// Where it is gone to.
    pub(crate) address: String,
    /// Its rest between two attempts.
    pub(crate) interval: Duration,
}

/// What is wrong with a worker that is there. Holds no words of ours: they vary with what fails
/// first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It accepts connections and does not answer.
    Silent,
    /// It refuses, with these words of its own.
    Refused(String),
    /// It obeys a newer leader.
    NewerTerm,
    /// It knows its leader and has not registered.
    NotRegistered,
}

/// Why a worker is gone to. What comes first here is gone to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Occasion {
    /// A new leader makes itself known to a worker that was active under the old one.
    Announcement,
    /// Somebody has asked for it and waits.
    Demand,
    /// It is inactive and its rest is over.
    Round,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The worker knows its leader.
    Reached,
    /// It does not, or does not want to.
    Failed,
    /// The attempt was given up because what it was based on has changed.
    Withdrawn,
}

/// A round that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Round {
    /// How many workers it goes to.
    pub(crate) workers: usize,
    /// Whether it goes to one that has not been gone to since it became inactive.
    pub(crate) is_new: bool,
}

/// A set of attempts that was begun together has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completed {
    /// A round, which took so long.
    Round(Duration),
    /// The announcements of a new leader.
    Announcements {
        /// How long they took.
        took: Duration,
        /// Workers that were told.
        reached: usize,
        /// Workers that were not.
        failed: usize,
    },
}

/// Which attempts were begun together.
type BatchId = u64;

#[derive(Debug)]
struct Batch {
    occasion: Occasion,
    began_at: Instant,
    left: usize,
    reached: usize,
    failed: usize,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Resting { due: Instant },
    InLine { occasion: Occasion, place: u64, batch: BatchId },
    UnderWay { batch: BatchId },
}

#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// Nothing for a worker that is gone to once and then forgotten.
    sighting: Option<Sighting>,
    failures: u32,
    was_tried: bool,
    trouble: Option<Trouble>,
}

impl Entry {
    const fn new(stage: Stage, sighting: Option<Sighting>) -> Self {
        Self { stage, sighting, failures: 0, was_tried: false, trouble: None }
    }
}

/// The workers that are, or are to be, gone to.
#[derive(Debug)]
pub(crate) struct AttemptsSchedule {
    backoff: Backoff,
    parallel_max: usize,
    entries: BTreeMap<WorkerId, Entry>,
    /// Who rests, the first to be due first.
    due: BTreeSet<(Instant, WorkerId)>,
    /// Who waits for one of the attempts under way to end.
    line: BTreeSet<(Occasion, u64, WorkerId)>,
    under_way: usize,
    next_place: u64,
    batches: BTreeMap<BatchId, Batch>,
    next_batch: BatchId,
}

impl AttemptsSchedule {
    /// An empty schedule, with at most so many attempts under way at once.
    #[must_use]
    pub(crate) const fn new(backoff: Backoff, parallel_max: usize) -> Self {
        Self {
            backoff,
            parallel_max,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            line: BTreeSet::new(),
            under_way: 0,
            next_place: 0,
            batches: BTreeMap::new(),
            next_batch: 0,
        }
    }

    /// Takes in what is now known of an inactive worker. It is due at once when it has not been
    /// gone to since it became inactive, or when it is to be found elsewhere.
    pub(crate) fn on_inactive(&mut self, worker: &WorkerId, sighting: Sighting, now: Instant) {
        let Some(entry) = self.entries.get_mut(worker) else {
            let entry = Entry::new(Stage::Resting { due: now }, Some(sighting));
            self.entries.insert(worker.clone(), entry);
            self.due.insert((now, worker.clone()));
            return;
        };
        let is_as_before = entry.sighting.as_ref().is_some_and(|before| {
            before.since == sighting.since && before.address == sighting.address
        });
        let latest = if is_as_before { now + sighting.interval } else { now };
        if !is_as_before {
            entry.failures = 0;
            entry.was_tried = false;
        }
        entry.sighting = Some(sighting);
        if let Stage::Resting { due } = entry.stage
            && due > latest
        {
            entry.stage = Stage::Resting { due: latest };
            self.due.remove(&(due, worker.clone()));
            self.due.insert((latest, worker.clone()));
        }
    }

    /// Begins a round over the workers whose rest is over. Those that `is_wanted` does not want are
    /// forgotten: they are active by now, or unregistered.
    pub(crate) fn begin_round(
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
        let tried = |worker| self.entries.get(worker).is_some_and(|entry| entry.was_tried);
        let is_new = !wanted.iter().all(tried);
        let workers = wanted.len();
        self.begin(wanted, Occasion::Round, now);
        Some(Round { workers, is_new })
    }

    /// Puts workers that are active in line, to be told who leads.
    pub(crate) fn announce(&mut self, workers: Vec<WorkerId>, now: Instant) {
        let new = workers.into_iter().filter(|worker| !self.entries.contains_key(worker));
        let new = new.collect::<Vec<_>>();
        self.begin(new, Occasion::Announcement, now);
    }

    /// Puts workers in line before those whose rest is over. One that is gone to at this moment
    /// is not gone to again. Whoever asks believes that something has changed, so rests begin
    /// anew with one interval.
    pub(crate) fn demand(&mut self, workers: Vec<WorkerId>, now: Instant) {
        let mut fresh = Vec::new();
        for worker in workers {
            let Some(entry) = self.entries.get_mut(&worker) else {
                fresh.push(worker);
                continue;
            };
            entry.failures = 0;
            match entry.stage {
                Stage::Resting { .. } => fresh.push(worker),
                Stage::InLine { occasion: Occasion::Round, place, batch } => {
                    self.line.remove(&(Occasion::Round, place, worker.clone()));
                    entry.stage = Stage::InLine { occasion: Occasion::Demand, place, batch };
                    self.line.insert((Occasion::Demand, place, worker));
                }
                Stage::InLine { .. } | Stage::UnderWay { .. } => {}
            }
        }
        self.begin(fresh, Occasion::Demand, now);
    }

    /// Takes the next worker out of the line, if another attempt may be under way.
    pub(crate) fn start_next(&mut self) -> Option<(WorkerId, Occasion)> {
        if self.under_way >= self.parallel_max {
            return None;
        }
        let (occasion, _, worker) = self.line.pop_first()?;
        let entry = self.entries.get_mut(&worker)?;
        if let Stage::InLine { batch, .. } = entry.stage {
            entry.stage = Stage::UnderWay { batch };
            entry.was_tried = true;
            self.under_way = self.under_way.saturating_add(1);
        }
        Some((worker, occasion))
    }

    /// Notes what is wrong with a worker that is there. Whether it is news.
    pub(crate) fn on_trouble(&mut self, worker: &WorkerId, trouble: Trouble) -> bool {
        let Some(entry) = self.entries.get_mut(worker) else { return true };
        let is_news = entry.trouble.as_ref() != Some(&trouble);
        entry.trouble = Some(trouble);
        is_news
    }

    /// The worker is as it is expected to be: whatever is wrong with it next is news.
    pub(crate) fn on_no_trouble(&mut self, worker: &WorkerId) {
        if let Some(entry) = self.entries.get_mut(worker) {
            entry.trouble = None;
        }
    }

    /// An attempt has ended: the worker rests, or is forgotten when it is not known to be inactive.
    /// Says so when nothing is left of what was begun with it.
    pub(crate) fn on_ended(
        &mut self,
        worker: &WorkerId,
        ended: Ended,
        now: Instant,
        random: u32,
    ) -> Option<Completed> {
        let entry = self.entries.get_mut(worker)?;
        let Stage::UnderWay { batch } = entry.stage else { return None };
        self.under_way = self.under_way.saturating_sub(1);
        entry.failures = match ended {
            Ended::Failed => entry.failures.saturating_add(1),
            Ended::Reached | Ended::Withdrawn => 0,
        };
        match &entry.sighting {
            Some(sighting) => {
                let is_other = ended == Ended::Withdrawn || !entry.was_tried;
                let rest = self.backoff.rest(sighting.interval, entry.failures, random);
                let due = if is_other { now } else { now + rest };
                entry.stage = Stage::Resting { due };
                self.due.insert((due, worker.clone()));
            }
            None => {
                self.entries.remove(worker);
            }
        }
        self.leave_batch(batch, ended, now)
    }

    /// Forgets a worker that is not gone to at this moment.
    pub(crate) fn forget(&mut self, worker: &WorkerId, now: Instant) -> Option<Completed> {
        match self.remove(worker)? {
            Stage::Resting { .. } => None,
            Stage::InLine { batch, .. } | Stage::UnderWay { batch } => {
                self.leave_batch(batch, Ended::Withdrawn, now)
            }
        }
    }

    /// When the first rest is over.
    #[must_use]
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    fn begin(&mut self, workers: Vec<WorkerId>, occasion: Occasion, now: Instant) {
        if workers.is_empty() {
            return;
        }
        let batch = self.next_batch;
        self.next_batch = batch.wrapping_add(1);
        let left = workers.len();
        self.batches.insert(batch, Batch { occasion, began_at: now, left, reached: 0, failed: 0 });
        for worker in workers {
            let place = self.next_place;
            self.next_place = place.wrapping_add(1);
            let stage = Stage::InLine { occasion, place, batch };
            self.line.insert((occasion, place, worker.clone()));
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
            Stage::InLine { occasion, place, .. } => {
                self.line.remove(&(occasion, place, worker.clone()));
            }
            Stage::UnderWay { .. } => self.under_way = self.under_way.saturating_sub(1),
        }
        Some(stage)
    }

    fn leave_batch(&mut self, id: BatchId, ended: Ended, now: Instant) -> Option<Completed> {
        let batch = self.batches.get_mut(&id)?;
        batch.left = batch.left.saturating_sub(1);
        match ended {
            Ended::Reached => batch.reached = batch.reached.saturating_add(1),
            Ended::Failed => batch.failed = batch.failed.saturating_add(1),
            Ended::Withdrawn => {}
        }
        if batch.left > 0 {
            return None;
        }
        let Batch { occasion, began_at, reached, failed, .. } = self.batches.remove(&id)?;
        let took = now.saturating_duration_since(began_at);
        match occasion {
            Occasion::Announcement => Some(Completed::Announcements { took, reached, failed }),
            Occasion::Demand | Occasion::Round => Some(Completed::Round(took)),
        }
    }
}

#[cfg(test)]
mod tests;
