//! Places queued tasks on workers. Pure: the scheduler proposes the placements.

mod ahead;
mod explanation;
mod line;
mod pending;
mod reservation;

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{
    Assignment, Class, LogIndex, Moment, Plan, Preference, QueueName, Rank, Since, State, Strategy,
    Timestamp, WorkerId,
};

pub(crate) use self::ahead::Wish;
pub(crate) use self::explanation::{Explanation, Obstacle, Obstructed};
use self::line::{Line, Waiting};
pub(crate) use self::pending::PendingReason;
use self::reservation::{Overtaking, Reservation, Reservations};

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
    /// Queues that were held back then: all their classes are considered when they may start again.
    held: BTreeSet<QueueName>,
    under_way: Option<UnderWay>,
    reservations: Reservations,
    /// True if room that was kept from others may be theirs now, although it has not grown.
    has_released: bool,
    /// True if a queue that was held back at some time of the last round may start tasks since.
    has_opened: bool,
}

/// A round that is not over.
#[derive(Debug)]
struct UnderWay {
    began_at: Moment,
    /// Queues with classes that were not considered, each with the rank from which on.
    from: BTreeMap<QueueName, Rank>,
    /// Queues that were held back.
    held: BTreeSet<QueueName>,
}

impl Placer {
    /// Decides on placements in the state `at` an entry of the log and `now`, a time on the log's clock: first
    /// in the queue that has least of the fleet for its weight, and there the most important tasks.
    ///
    /// Costs O(queues + changed classes + placements): independent of queue length and fleet size. A pass
    /// that places something also looks at a bounded number of classes that it has overtaken.
    #[must_use]
    pub(crate) fn pass(
        &mut self,
        state: &State,
        (at, now): (LogIndex, Timestamp),
        strategy: Strategy,
        bounds: Bounds,
    ) -> Vec<Assignment> {
        self.has_released |= self.reservations.review(state, now);
        if self.has_released && self.under_way.is_none() {
            self.settled = Since::Unknown;
            self.has_released = false;
        }
        let under_way = self.under_way.take();
        let began_at = under_way.as_ref().map_or_else(|| state.moment(at), |one| one.began_at);

        let mut plan = state.plan();
        let reserved = self.reservations.keep_in(state, &mut plan);
        let mut line = Line::new(state, now, |queue| {
            let from = match &under_way {
                Some(under_way) => *under_way.from.get(queue)?,
                None => Rank::FIRST,
            };
            let is_known = !self.held.contains(queue);
            Some((if is_known { self.settled } else { Since::Unknown }, from))
        });
        let probes_max = line.probes().saturating_add(bounds.probes);
        let mut choice = Choice {
            state,
            now,
            preference: preference(strategy),
            reserved,
            without_room: BTreeSet::new(),
        };

        let mut assignments = Vec::new();
        let rest =
            fill((&mut line, &mut choice), &mut plan, (bounds, probes_max), &mut assignments);

        let tasks = assignments.iter().map(|one| one.task).collect();
        let overtaking =
            Overtaking { placed: line.placed(), tasks, arrived: began_at.index(), now };
        self.has_released |= self.reservations.protect(state, &mut plan, &overtaking);

        let is_held = |queue: &&QueueName| state.starts_left(queue, now).is_err();
        let mut held = under_way.map(|one| one.held).unwrap_or_default();
        // No change of the state tells of a start that a rate allows again between two passes.
        self.has_opened = rest.is_none() && held.iter().any(|queue| !is_held(&queue));
        held.extend(state.queues_in_use().filter(is_held).chain(line.exhausted()).cloned());
        match rest {
            Some(from) => self.under_way = Some(UnderWay { began_at, from, held }),
            None => (self.settled, self.held) = (Since::Then(began_at), held),
        }
        assignments
    }

    /// Decides on tasks that wait at their workers for others to end.
    #[must_use]
    pub(crate) fn ahead(
        &mut self,
        state: &State,
        (at, now): (LogIndex, Timestamp),
        wishes: &[Wish],
    ) -> Vec<Assignment> {
        self.has_released |= self.reservations.review(state, now);
        let (assignments, placed) = ahead::ahead(state, wishes, &self.reservations);
        if !assignments.is_empty() {
            let tasks = assignments.iter().map(|one| one.task).collect();
            let mut plan = state.plan();
            self.reservations.keep_in(state, &mut plan);
            let overtaking = Overtaking { placed, tasks, arrived: at, now };
            self.has_released |= self.reservations.protect(state, &mut plan, &overtaking);
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
        self.under_way.is_none() && !self.has_released && !self.has_opened
    }

    /// Handles placements that were not committed as decided: the next round considers every class.
    pub(crate) fn on_refused(&mut self) {
        let reservations = std::mem::take(&mut self.reservations);
        *self = Self { reservations, ..Self::default() };
    }
}

/// Places the tasks of a line until it is over or a bound is reached. Returns the ranks with which the
/// next pass begins, if there is a rest.
fn fill<'a>(
    (line, choice): (&mut Line<'a>, &mut Choice<'a>),
    plan: &mut Plan<'_>,
    (bounds, probes_max): (Bounds, usize),
    assignments: &mut Vec<Assignment>,
) -> Option<BTreeMap<QueueName, Rank>> {
    // One class at least, or a round might never end.
    let mut has_tried = false;
    while let Some(mut waiting) = line.next() {
        loop {
            let probes = plan.probes().saturating_add(line.probes());
            let is_full = assignments.len() >= bounds.placements;
            if is_full || (has_tried && probes >= probes_max) {
                return Some(line.rest(&waiting));
            }

            has_tried = true;
            let Some(worker) = choice.place(plan, &waiting) else { break };
            assignments.push(Assignment { task: waiting.task, worker });
            line.on_placed(&waiting);
            let Some(next) = waiting.next(choice.state) else { break };
            if !line.is_next(&next) {
                line.put_back(next);
                break;
            }
            waiting = next;
        }
    }
    None
}

/// Finds workers for tasks.
struct Choice<'a> {
    state: &'a State,
    now: Timestamp,
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
            .or_else(|| reservation::place((self.state, self.now), plan, &self.reserved, waiting))
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
