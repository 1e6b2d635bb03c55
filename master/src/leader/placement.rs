//! Places queued tasks on workers. Pure: the scheduler proposes the placements.

mod ahead;
mod explanation;
mod pending;
mod reservation;

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{
    Assignment, Candidates, Class, ClassQueue, LogIndex, Moment, Plan, Preference, Rank, Since,
    State, Strategy, TaskId, WorkerId,
};

pub(crate) use self::ahead::Wish;
pub(crate) use self::explanation::{Explanation, Obstacle, Obstructed};
pub(crate) use self::pending::PendingReason;
use self::reservation::{Reservation, Reservations};

/// Bounds of one pass: while it reads the state, nothing is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Number of placements.
    pub(crate) placements: usize,
    /// Number of probed workers after which no further task is begun. One task takes a few probes;
    /// at most, where only constraints rule workers out, as many as there are workers.
    pub(crate) probes: usize,
}

/// Decides on placements, pass by pass, and remembers which classes did not fit.
///
/// A **round** considers every class for which something may have changed since the round before,
/// in as many passes as needed: a pass that reaches its bounds ends early with its placements, and
/// the next one goes on from there. So no class waits behind others that cannot be placed, however
/// much it costs to find that out.
#[derive(Debug, Default)]
pub(crate) struct Placer {
    /// Moment up to which changes were considered.
    settled: Since,
    under_way: Option<UnderWay>,
    reservations: Reservations,
    /// True if room that was kept from others may be theirs now, although it has not grown.
    has_released: bool,
}

/// A round that is not over.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    began_at: Moment,
    /// Rank up to which classes were considered.
    from: Rank,
}

impl Placer {
    /// Decides on placements in the state `at` an entry of the log, the most important tasks first.
    ///
    /// Costs O(changed classes + placements): independent of queue length and fleet size. A pass that places
    /// something also looks at a bounded number of classes that it has overtaken.
    #[must_use]
    pub(crate) fn pass(
        &mut self,
        state: &State,
        at: LogIndex,
        strategy: Strategy,
        bounds: Bounds,
    ) -> Vec<Assignment> {
        self.has_released |= self.reservations.review(state);
        if self.has_released && self.under_way.is_none() {
            self.settled = Since::Unknown;
            self.has_released = false;
        }
        let UnderWay { began_at, from } =
            self.under_way.unwrap_or(UnderWay { began_at: state.moment(at), from: Rank::FIRST });

        let mut plan = state.plan();
        let reserved = self.reservations.keep_in(state, &mut plan);
        let mut line = Line::new(state, self.settled, from);
        let probes_max = line.probes().saturating_add(bounds.probes);
        let mut choice = Choice {
            state,
            preference: preference(strategy),
            reserved,
            without_room: BTreeSet::new(),
        };

        let mut placed = Placed::default();
        let stopped_at =
            fill((&mut line, &mut choice), &mut plan, (bounds, probes_max), &mut placed);

        let Placed { assignments, last } = placed;
        if let Some(last) = last {
            let tasks = assignments.iter().map(|one| one.task).collect();
            let moment = (last, began_at.index());
            self.has_released |= self.reservations.protect(state, &mut plan, moment, &tasks);
        }
        self.under_way = stopped_at.map(|from| UnderWay { began_at, from });
        if stopped_at.is_none() {
            self.settled = Since::Then(began_at);
        }
        assignments
    }

    /// Decides on tasks that wait at their workers for others to end.
    #[must_use]
    pub(crate) fn ahead(
        &mut self,
        state: &State,
        at: LogIndex,
        wishes: &[Wish],
    ) -> Vec<Assignment> {
        self.has_released |= self.reservations.review(state);
        let (assignments, last) = ahead::ahead(state, wishes, &self.reservations);
        if let Some(last) = last {
            let tasks = assignments.iter().map(|one| one.task).collect();
            let mut plan = state.plan();
            self.reservations.keep_in(state, &mut plan);
            self.has_released |= self.reservations.protect(state, &mut plan, (last, at), &tasks);
        }
        assignments
    }

    /// Returns the number of workers that are reserved for tasks.
    pub(crate) fn reserved(&self) -> usize {
        self.reservations.len()
    }

    /// Tells whether the last pass has ended its round.
    #[must_use]
    pub(crate) const fn is_over(&self) -> bool {
        self.under_way.is_none() && !self.has_released
    }

    /// Handles placements that were not committed as decided: the next round considers every class.
    pub(crate) fn on_refused(&mut self) {
        let reservations = std::mem::take(&mut self.reservations);
        *self = Self { reservations, ..Self::default() };
    }
}

/// Placements of one pass.
#[derive(Default)]
struct Placed {
    assignments: Vec<Assignment>,
    /// Rank of the least important of the tasks.
    last: Option<Rank>,
}

/// Places the tasks of a line until it is over or a bound is reached. Returns the rank with which the next
/// pass begins, if there is a rest.
fn fill<'a>(
    (line, choice): (&mut Line<'a>, &mut Choice<'a>),
    plan: &mut Plan<'_>,
    (bounds, probes_max): (Bounds, usize),
    placed: &mut Placed,
) -> Option<Rank> {
    // One class at least, or a round might never end.
    let mut has_tried = false;
    while let Some(mut waiting) = line.next() {
        loop {
            let probes = plan.probes().saturating_add(line.probes());
            let is_full = placed.assignments.len() >= bounds.placements;
            if is_full || (has_tried && probes >= probes_max) {
                return Some(waiting.rank);
            }

            has_tried = true;
            let Some(worker) = choice.place(plan, &waiting) else { break };
            placed.assignments.push(Assignment { task: waiting.task, worker });
            placed.last = placed.last.max(Some(waiting.rank));
            let Some(next) = waiting.next(line.state) else { break };
            if line.peek().is_some_and(|other| other < next.rank) {
                line.put_back(next);
                break;
            }
            waiting = next;
        }
    }
    None
}

/// The classes that a pass considers, the most important first.
struct Line<'a> {
    state: &'a State,
    candidates: Candidates<'a>,
    /// Classes with placed tasks, by their next task.
    begun: BTreeMap<Rank, Waiting<'a>>,
}

impl<'a> Line<'a> {
    fn new(state: &'a State, since: Since, from: Rank) -> Self {
        Self::over(state, state.candidates(since, from))
    }

    const fn over(state: &'a State, candidates: Candidates<'a>) -> Self {
        Self { state, candidates, begun: BTreeMap::new() }
    }

    fn peek(&self) -> Option<Rank> {
        let begun = self.begun.first_key_value().map(|(rank, _)| *rank);
        [begun, self.candidates.peek()].into_iter().flatten().min()
    }

    fn next(&mut self) -> Option<Waiting<'a>> {
        let rank = self.peek()?;
        if let Some(begun) = self.begun.remove(&rank) {
            return Some(begun);
        }
        let head = self.candidates.next()?;
        let queue = self.state.class_queue(head.class())?;
        let (class, task, is_apart) = (head.class(), head.task(), head.is_apart());
        Some(Waiting { class, queue, task, rank, is_apart })
    }

    fn put_back(&mut self, waiting: Waiting<'a>) {
        self.begun.insert(waiting.rank, waiting);
    }

    const fn probes(&self) -> usize {
        self.candidates.probes()
    }
}

/// A waiting task and its class.
#[derive(Clone, Copy)]
struct Waiting<'a> {
    class: &'a Class,
    queue: &'a ClassQueue,
    task: TaskId,
    rank: Rank,
    /// True if the task is kept from some workers, so that no other task follows it.
    is_apart: bool,
}

impl Waiting<'_> {
    /// Returns the next task of the class.
    fn next(&self, state: &State) -> Option<Self> {
        if self.is_apart {
            return None;
        }
        let task = state.task(self.queue.after(state.task(self.task)?)?)?;
        Some(Self { task: task.id, rank: Rank::of(task), ..*self })
    }
}

/// Finds workers for tasks.
struct Choice<'a> {
    state: &'a State,
    preference: Preference,
    reserved: Vec<Reservation<'a>>,
    /// Classes with workers that were avoided without finding another one: the next task that
    /// avoids the same workers waits as well.
    without_room: BTreeSet<(&'a Class, Vec<WorkerId>)>,
}

impl<'a> Choice<'a> {
    /// Chooses a worker for a task: one that is reserved where it may use that.
    fn place(&mut self, plan: &mut Plan<'_>, waiting: &Waiting<'a>) -> Option<WorkerId> {
        self.place_beside_reserved(plan, waiting)
            .or_else(|| reservation::place(self.state, plan, &self.reserved, waiting))
    }

    /// Chooses a worker for a task. A task that has failed to start is kept from the workers where
    /// it did while another one could take it, now or later: the workers may be to blame.
    fn place_beside_reserved(
        &mut self,
        plan: &mut Plan<'_>,
        waiting: &Waiting<'a>,
    ) -> Option<WorkerId> {
        let class = waiting.class;
        if !waiting.is_apart {
            return plan.place(class, self.preference);
        }
        let shunned = self.state.task(waiting.task)?.failed_to_start_on();
        let shunned = (class, shunned);
        if self.without_room.contains(&shunned) {
            return None;
        }
        if let Some(worker) = plan.place_beside(class, self.preference, &shunned.1) {
            return Some(worker);
        }
        if plan.could_take_beside(class, &shunned.1) {
            self.without_room.insert(shunned);
            return None;
        }
        plan.place(class, self.preference)
    }
}

const fn preference(strategy: Strategy) -> Preference {
    match strategy {
        Strategy::Spread => Preference::Emptiest,
        Strategy::Binpack => Preference::Fullest,
    }
}

#[cfg(test)]
mod tests;
