//! Which queued task goes to which worker. Pure: the scheduler proposes what comes out.

mod pending;

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{
    Assignment, Candidates, Class, ClassQueue, LogIndex, Moment, Plan, Preference, Rank, Since,
    State, TaskId, WorkerId,
};

pub(crate) use self::pending::PendingReason;

/// How workers are preferred for a task that several could take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The emptiest first, so that the loss of one worker costs least.
    #[default]
    Spread,
    /// The fullest first, so that large tasks find whole workers.
    Binpack,
}

/// What one pass may cost: while it reads the state, nothing is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How many tasks are placed.
    pub(crate) placements: usize,
    /// After how many looks at workers no further task is begun. One task costs some looks; at the
    /// very most, where only constraints rule workers out, as many as there are workers.
    pub(crate) looks: usize,
}

/// Decides on placements, one pass after the other, and remembers what did not fit.
///
/// A **round** is one look at every class for which something may have changed since the round
/// before, in as many passes as it takes: a pass that has cost too much ends early with what it has
/// placed, and the next one goes on behind it. So no class waits behind others that cannot be
/// placed, however much it costs to find that out.
#[derive(Debug, Default)]
pub(crate) struct Placer {
    /// What waited then was looked at.
    settled: Since,
    under_way: Option<UnderWay>,
}

/// A round that is not over.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    began_at: Moment,
    /// Everything before was looked at.
    from: Rank,
}

impl Placer {
    /// Decides on placements in the state as it is `at` an entry of the log, the most important
    /// tasks first.
    ///
    /// Costs what has changed, plus what it places; neither what waits nor what works.
    #[must_use]
    pub(crate) fn pass(
        &mut self,
        state: &State,
        at: LogIndex,
        strategy: Strategy,
        bounds: Bounds,
    ) -> Vec<Assignment> {
        let UnderWay { began_at, from } =
            self.under_way.unwrap_or(UnderWay { began_at: state.moment(at), from: Rank::FIRST });
        let mut plan = state.plan();
        let mut line = Line::new(state, self.settled, from);
        let looks_max = line.looks().saturating_add(bounds.looks);
        let mut choice = Choice { state, preference: strategy.into(), in_vain: BTreeSet::new() };
        let mut placements = Vec::new();
        // One class at least, or a round would never end.
        let mut has_tried = false;
        while let Some(mut waiting) = line.next() {
            loop {
                let looks = plan.looks().saturating_add(line.looks());
                if placements.len() >= bounds.placements || (has_tried && looks >= looks_max) {
                    self.under_way = Some(UnderWay { began_at, from: waiting.rank });
                    return placements;
                }
                has_tried = true;
                let Some(worker) = choice.place(&mut plan, &waiting) else { break };
                placements.push(Assignment { task: waiting.task, worker });
                let Some(next) = waiting.next(state) else { break };
                if line.peek().is_some_and(|other| other < next.rank) {
                    line.put_back(next);
                    break;
                }
                waiting = next;
            }
        }
        self.settled = Since::Then(began_at);
        self.under_way = None;
        placements
    }

    /// Whether the last pass left out nothing for its cost.
    #[must_use]
    pub(crate) const fn is_over(&self) -> bool {
        self.under_way.is_none()
    }

    /// What was decided did not come to pass: everything is looked at again.
    pub(crate) fn on_refused(&mut self) {
        *self = Self::default();
    }
}

/// What a pass is to place, the most important first.
struct Line<'a> {
    state: &'a State,
    candidates: Candidates<'a>,
    /// Classes of which tasks were placed, at their next ones.
    begun: BTreeMap<Rank, Waiting<'a>>,
}

impl<'a> Line<'a> {
    fn new(state: &'a State, since: Since, from: Rank) -> Self {
        Self { state, candidates: state.candidates(since, from), begun: BTreeMap::new() }
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

    const fn looks(&self) -> usize {
        self.candidates.looks()
    }
}

/// A waiting task, and the class behind it.
struct Waiting<'a> {
    class: &'a Class,
    queue: &'a ClassQueue,
    task: TaskId,
    rank: Rank,
    /// Whether it is kept from some workers, so that nobody stands behind it.
    is_apart: bool,
}

impl Waiting<'_> {
    /// The task after it.
    fn next(&self, state: &State) -> Option<Self> {
        if self.is_apart {
            return None;
        }
        let task = state.task(self.queue.after(self.task)?)?;
        Some(Self { task: task.id, rank: Rank::of(task), ..*self })
    }
}

/// Finds workers for tasks.
struct Choice<'a> {
    state: &'a State,
    preference: Preference,
    /// Workers that tasks of a class left out in vain: the next one that leaves out the same waits
    /// as well.
    in_vain: BTreeSet<(&'a Class, Vec<WorkerId>)>,
}

impl<'a> Choice<'a> {
    /// A worker for a task. One that failed to start is kept from the workers where it did while
    /// another could take it, be it later: they may be to blame.
    fn place(&mut self, plan: &mut Plan<'_>, waiting: &Waiting<'a>) -> Option<WorkerId> {
        let class = waiting.class;
        if !waiting.is_apart {
            return plan.place(class, self.preference);
        }
        let shunned = self.state.task(waiting.task)?.failed_to_start_on();
        let shunned = (class, shunned);
        if self.in_vain.contains(&shunned) {
            return None;
        }
        if let Some(worker) = plan.place_beside(class, self.preference, &shunned.1) {
            return Some(worker);
        }
        if plan.could_take_beside(class, &shunned.1) {
            self.in_vain.insert(shunned);
            return None;
        }
        plan.place(class, self.preference)
    }
}

impl From<Strategy> for Preference {
    fn from(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Spread => Self::Emptiest,
            Strategy::Binpack => Self::Fullest,
        }
    }
}

#[cfg(test)]
mod tests;
