//! Reserves workers for tasks that less important ones have overtaken, so that a large task is not
//! starved by small ones.
//!
//! A reserved worker is given nothing that could delay its task: only what fits beside the task and
//! everything that runs there, what ends by its `run_timeout` before the task could begin, and what is more
//! important. So the worker empties, and the task begins when its attempts have ended, at the latest.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{
    Class, Hold, LogIndex, Plan, QueueName, Rank, State, Task, TaskId, TaskState, Timestamp,
    WorkerId,
};

use super::line::{Waiting, share_of};

/// Reservations at once. Each may keep a part of a worker idle, and costs each pass a look.
const RESERVATIONS_MAX: usize = 32;
/// Waiting classes that one pass looks at to find those that were overtaken.
const LOOKS_MAX: usize = 128;
/// Time from the decision to the start of an attempt, within which it is not yet running out.
const START_MARGIN: Duration = Duration::from_secs(10);

/// Time for which a reservation waits for the next start that the rate of its queue allows.
const RATE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Workers that are reserved, each for one task.
///
/// They are the leader's own memory: the next one makes its own. Nothing is reserved in the state, so
/// whatever becomes of a worker or a task, a reservation can neither leak nor block what the state allows.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    by_worker: BTreeMap<WorkerId, TaskId>,
}

/// Placements of a pass, which others may have waited for longer.
pub(super) struct Overtaking {
    /// Rank of the least important task that was placed, of each queue with any.
    pub(super) placed: BTreeMap<QueueName, Rank>,
    /// The tasks that were placed.
    pub(super) tasks: BTreeSet<TaskId>,
    /// Position in the log up to which arrivals were considered.
    pub(super) arrived: LogIndex,
    pub(super) now: Timestamp,
}

impl Overtaking {
    /// Returns the queues with overtaken tasks, each with the rank before which they are; all of them where
    /// there is none, because a queue was served that has more of the fleet for its weight.
    fn queues<'a>(&self, state: &'a State) -> Vec<(&'a QueueName, Option<Rank>)> {
        let shares = self.placed.keys().map(|queue| (share_of(state, queue), queue));
        let Some((most, largest)) = shares.max() else { return Vec::new() };
        let mut queues = Vec::new();
        for queue in state.queues_in_use() {
            let share = share_of(state, queue);
            let is_passed_over = share < most && queue != largest;
            let last = self.placed.get(queue).copied();
            let is_overtaken = is_passed_over || last.is_some();
            if is_overtaken && state.starts_left(queue, self.now).is_ok() {
                queues.push((share, queue, last.filter(|_| !is_passed_over)));
            }
        }
        queues.sort_unstable();
        queues.into_iter().map(|(_, queue, last)| (queue, last)).collect()
    }
}

/// A reservation in a pass.
pub(super) struct Reservation<'a> {
    worker: WorkerId,
    task: &'a Task,
    rank: Rank,
    /// Time from which the task fits there, however long the attempts there last; none where one of
    /// them may last for ever.
    due: OnceCell<Option<Timestamp>>,
    /// True if something more important was placed there, of which `due` does not know.
    is_deferred: Cell<bool>,
}

impl Reservation<'_> {
    fn due(&self, state: &State, now: Timestamp) -> Option<Timestamp> {
        *self.due.get_or_init(|| due(state, &self.worker, &self.task.spec.class, now))
    }
}

impl Reservations {
    /// Returns the queue and the rank of the task for which a worker is reserved.
    pub(super) fn of<'a>(
        &self,
        state: &'a State,
        worker: &WorkerId,
    ) -> Option<(&'a QueueName, Rank)> {
        let task = state.task(*self.by_worker.get(worker)?)?;
        Some((&task.spec.class.queue, Rank::of(task)))
    }

    /// Returns the reserved workers, each with the task for which it is.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkerId, TaskId)> {
        self.by_worker.iter().map(|(worker, task)| (worker, *task))
    }

    /// Returns the number of reserved workers.
    pub(crate) fn len(&self) -> usize {
        self.by_worker.len()
    }

    /// Drops reservations of tasks that do not wait any more or are held back for long, and of workers that
    /// cannot run them now. Returns whether there were any: others may have their room.
    pub(super) fn review(&mut self, state: &State, now: Timestamp) -> bool {
        let before = self.by_worker.len();
        if before == 0 {
            return false;
        }
        let plan = state.plan();
        self.by_worker.retain(|worker, task| {
            let task = state.task(*task).filter(|task| task.state == TaskState::Queued);
            task.is_some_and(|task| {
                may_start_soon(state, &task.spec.class, now)
                    && plan.is_suited(worker, &task.spec.class, &task.failed_to_start_on())
            })
        });
        self.by_worker.len() < before
    }

    /// Keeps what is reserved from others in a plan.
    pub(super) fn keep_in<'a>(
        &self,
        state: &'a State,
        plan: &mut Plan<'_>,
    ) -> Vec<Reservation<'a>> {
        let mut kept = Vec::with_capacity(self.by_worker.len());
        for (worker, task) in &self.by_worker {
            let Some(task) = state.task(*task) else { continue };
            plan.reserve(worker, &task.spec.class);
            let (worker, rank) = (worker.clone(), Rank::of(task));
            let (due, is_deferred) = (OnceCell::new(), Cell::new(false));
            kept.push(Reservation { worker, task, rank, due, is_deferred });
        }
        kept
    }

    /// Reserves workers for waiting tasks that were overtaken by what a pass has placed. Moves reservations
    /// to workers that are closer to having the room. Returns whether any has moved.
    pub(super) fn protect(
        &mut self,
        state: &State,
        plan: &mut Plan<'_>,
        overtaking: &Overtaking,
    ) -> bool {
        let mut has_moved = false;
        let queues = overtaking.queues(state);
        let overtaken = queues.into_iter().flat_map(|(queue, last)| {
            let heads = state.heads(queue);
            heads.take_while(move |head| last.is_none_or(|last| head.rank() < last))
        });
        let overtaken = overtaken.take(LOOKS_MAX);
        for head in overtaken.filter(|head| head.arrived() <= overtaking.arrived) {
            if overtaking.tasks.contains(&head.task()) {
                continue;
            }
            let Some(task) = state.task(head.task()) else { continue };
            let class = &task.spec.class;
            let known = self.by_worker.iter().find(|(_, reserved)| **reserved == task.id);
            let known = known.map(|(worker, _)| worker.clone());
            if known.is_none() && self.by_worker.len() >= RESERVATIONS_MAX {
                break;
            }
            let Some(found) = plan.emptiest_suited(class, &task.failed_to_start_on()) else {
                continue;
            };
            if let Some(known) = known {
                if !is_closer((state, overtaking.now), plan, (&found, &known), class) {
                    continue;
                }
                self.by_worker.remove(&known);
                has_moved = true;
            }
            plan.reserve(&found, class);
            self.by_worker.insert(found, task.id);
        }
        has_moved
    }
}

/// Returns whether tasks of a class may start now or soon, as far as their queue lets them.
///
/// A large task may need longer for its room than small ones of its queue for their starts: it would never
/// begin if each of them cost it its worker.
fn may_start_soon(state: &State, class: &Class, now: Timestamp) -> bool {
    if state.key_hold(class).is_some() {
        return false;
    }
    match state.starts_left(&class.queue, now) {
        Ok(_) | Err(Hold::MaxRunning { .. }) => true,
        Err(Hold::Rate { until, .. }) => until.since(now) <= RATE_WAIT_MAX,
        Err(Hold::Paused | Hold::Key { .. }) => false,
    }
}

/// Returns whether a worker is closer to having room for a task than the one that is reserved for it.
///
/// The lack of a reserved worker never grows while no end of its attempts is known, and the time by which
/// they end never rises otherwise. A move makes one of them smaller and the other no greater, so
/// moves come to an end and delay nothing for ever.
fn is_closer(
    (state, now): (&State, Timestamp),
    plan: &Plan<'_>,
    (found, known): (&WorkerId, &WorkerId),
    class: &Class,
) -> bool {
    // The ends of what was just placed are not known yet.
    if !plan.is_untouched(found) || plan.lack(found, class) >= plan.lack(known, class) {
        return false;
    }
    match (due(state, found, class, now), due(state, known, class, now)) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(found), Some(known)) => found <= known,
    }
}

/// Finds a reserved worker that may be used for a waiting task all the same.
pub(super) fn place(
    (state, now): (&State, Timestamp),
    plan: &mut Plan<'_>,
    reservations: &[Reservation<'_>],
    waiting: &Waiting<'_>,
) -> Option<WorkerId> {
    if reservations.is_empty() {
        return None;
    }
    let task = state.task(waiting.task)?;
    let shunned = task.failed_to_start_on();
    let ends_by = task.spec.run_timeout.map(|run| now.after(run).after(START_MARGIN));
    let comes_before = |one: &Reservation<'_>| {
        one.task.spec.class.queue == waiting.class.queue && waiting.rank <= one.rank
    };
    // Its own comes first.
    let (own, others) = (
        reservations.iter().filter(|one| one.rank == waiting.rank),
        reservations.iter().filter(|one| one.rank != waiting.rank),
    );
    let mut suited = own.chain(others).filter(|one| !shunned.contains(&one.worker));
    let found = suited.find(|one| {
        let ends_in_time = || {
            let due = ends_by.filter(|_| !one.is_deferred.get()).and_then(|_| one.due(state, now));
            ends_by.zip(due).is_some_and(|(end, due)| end <= due)
        };
        (comes_before(one) || ends_in_time()) && plan.place_on_reserved(waiting.class, &one.worker)
    })?;
    if comes_before(found) {
        found.is_deferred.set(true);
    }
    Some(found.worker.clone())
}

/// Returns the time by which a worker has room for a task of a class, if all its attempts last as long as
/// they may; none where that may be for ever.
fn due(state: &State, worker: &WorkerId, class: &Class, now: Timestamp) -> Option<Timestamp> {
    let mut free = state.free_on(worker)?.clone();
    if free.holds(&class.resources) {
        return Some(now);
    }
    let attempts = state.load(worker).into_iter().flat_map(|load| &load.attempts);
    let ends = attempts.filter_map(|id| {
        let task = state.task(*id)?;
        let attempt = task.live_attempt()?;
        // One that is over time ends at any moment.
        let start = attempt.started_at.unwrap_or(attempt.assigned_at);
        Some((start.after(task.spec.run_timeout?).max(now), task))
    });
    let mut ends = ends.collect::<Vec<_>>();
    ends.sort_by_key(|(end, task)| (*end, task.id));
    ends.into_iter().find_map(|(end, task)| {
        free = free.checked_add(&task.spec.class.resources)?;
        free.holds(&class.resources).then_some(end)
    })
}
