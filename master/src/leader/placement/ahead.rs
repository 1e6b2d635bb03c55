//! Gives queued tasks to workers ahead of the room for them, so that short tasks follow one another
//! without a round trip between two of them.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{
    Assignment, Class, Epoch, QueueName, Rank, Resources, Scheduling, State, TaskId, Worker,
    WorkerId,
};

use super::line::{Line, Waiting};
use super::reservation::Reservations;

/// Most placements of one pass: see the scheduler's bounds.
const PLACEMENTS_MAX: usize = 2_000;
/// Most queues and tasks that one pass looks at, for all workers together: nothing is applied meanwhile.
const LOOKS_MAX: usize = 20_000;

/// A worker's wish for attempts that wait there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) worker: WorkerId,
    /// The registration under which it has the wish.
    pub(crate) epoch: Epoch,
    /// Number of attempts that may wait.
    pub(crate) most: usize,
    /// Resources of attempts that ended there a moment ago: only what can take the place of one of them
    /// begins as soon.
    pub(crate) places: Vec<Resources>,
}

/// Tasks that one pass has given away.
#[derive(Default)]
struct Given<'a> {
    /// The next task of each class with such tasks; none where there is no other.
    next: BTreeMap<&'a Class, Option<Waiting<'a>>>,
    /// Those that stand for themselves alone.
    apart: BTreeSet<TaskId>,
    /// Rank of the least important of them, in each queue.
    last: BTreeMap<QueueName, Rank>,
}

impl<'a> Given<'a> {
    /// Returns the task itself, or the next of its class, that is not given away.
    fn not_yet(&self, found: Waiting<'a>) -> Option<Waiting<'a>> {
        if found.is_apart {
            return Some(found).filter(|found| !self.apart.contains(&found.task));
        }
        self.next.get(found.class).copied().unwrap_or(Some(found))
    }

    fn note(&mut self, given: &Waiting<'a>, next: Option<Waiting<'a>>) {
        let queue = given.class.queue.clone();
        let last = self.last.entry(queue).or_insert(given.rank);
        *last = (*last).max(given.rank);
        if given.is_apart {
            self.apart.insert(given.task);
        } else {
            self.next.insert(given.class, next);
        }
    }
}

/// Decides on tasks to wait at the workers that wish for some. The caller has seen that no waiting task can
/// be placed. Returns the rank of the least important of them in each queue, too.
///
/// A worker that is reserved gets nothing less important than the task for which it is.
///
/// Costs O(wishes + placements), and for each wish a look at each queue in use, and at each class that could
/// run on the worker if it were empty and has no place there. The bound on all looks ends it: the wishes that
/// are left over get nothing.
#[must_use]
pub(super) fn ahead<'a>(
    state: &'a State,
    wishes: &'a [Wish],
    reservations: &Reservations,
) -> (Vec<Assignment>, BTreeMap<QueueName, Rank>) {
    let mut placements = Vec::new();
    let (mut given, mut looks) = (Given::default(), LOOKS_MAX);
    if state.oldest_waiting().is_none() {
        return (placements, given.last);
    }
    for wish in wishes {
        let left = PLACEMENTS_MAX.saturating_sub(placements.len());
        if left == 0 || looks == 0 {
            break;
        }
        let worker = state.worker(&wish.worker).filter(|worker| may_wait(worker, wish));
        let Some(worker) = worker else { continue };
        let there = state.load(&wish.worker).map_or(0, |load| load.ahead.len());
        // Not one by one: each command costs a round trip of its own.
        if there > wish.most / 2 {
            continue;
        }
        let most = wish.most.saturating_sub(there).min(left);
        let up_to = reservations.of(state, &wish.worker);
        let found = (&**worker, wish.places.as_slice(), up_to);
        let tasks = fill(state, found, most, &mut given, &mut looks);
        let placed = tasks.into_iter().map(|task| Assignment { task, worker: wish.worker.clone() });
        placements.extend(placed);
    }
    (placements, given.last)
}

fn may_wait(worker: &Worker, wish: &Wish) -> bool {
    worker.takes_tasks()
        && worker.epoch == wish.epoch
        && worker.scheduling == Scheduling::Open
        && !worker.health.is_on_probation()
}

/// Chooses up to that many tasks for one worker, the most important first, up to a rank if there is one.
fn fill<'a>(
    state: &'a State,
    (worker, places, reserved): (&'a Worker, &[Resources], Option<(&'a QueueName, Rank)>),
    most: usize,
    given: &mut Given<'a>,
    looks: &mut usize,
) -> Vec<TaskId> {
    let mut tasks = Vec::with_capacity(most);
    let (only, up_to) = reserved.unzip();
    let mut line = Line::of_worker(state, worker, only);
    *looks = looks.saturating_sub(line.visited());
    while tasks.len() < most
        && *looks > 0
        && let Some(found) = line.next()
        && up_to.is_none_or(|rank| found.rank <= rank)
    {
        *looks -= 1;
        let has_place = places.iter().any(|place| place.holds(&found.class.resources));
        // One with a concurrency key may start only when the one before it has ended.
        if !has_place
            || found.class.concurrency_key.is_some()
            || !found.class.allows(worker)
            || is_kept_from(state, &found, worker)
        {
            continue;
        }
        let Some(waiting) = given.not_yet(found) else { continue };
        if !line.is_first_of_queue(&waiting) {
            line.put_back(waiting);
            continue;
        }
        if up_to.is_some_and(|rank| waiting.rank > rank) {
            break;
        }

        tasks.push(waiting.task);
        line.on_placed(&waiting);
        let next = waiting.next(state);
        given.note(&waiting, next);
        if let Some(next) = next {
            line.put_back(next);
        }
    }
    tasks
}

/// Returns whether the task has failed to start on the worker before.
fn is_kept_from(state: &State, waiting: &Waiting<'_>, worker: &Worker) -> bool {
    waiting.is_apart
        && state
            .task(waiting.task)
            .is_some_and(|task| task.failed_to_start_on().contains(&worker.id))
}
