//! Which queued task goes to which worker. Pure: the scheduler proposes what comes out.

mod pending;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_state::{
    Assignment, Class, ClassQueue, Plan, Preference, State, TaskId, Timestamp, WorkerId,
};

pub use self::pending::PendingReason;

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

/// Waiting so long counts as much as one point of priority, so that nothing starves behind a
/// steady stream of more important tasks: the gap of 100 is made up in under two hours.
const AGEING_STEP_MILLIS: u64 = 60_000;

/// What one pass may cost: while it reads the state, nothing is applied.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many tasks are placed.
    pub placements: usize,
    /// After how many looks at workers no further task is begun. One task costs some looks; at the
    /// very most, where only constraints rule workers out, as many as there are workers.
    pub looks: usize,
}

/// One look at every class that waits, in as many passes as it takes.
///
/// A pass that has cost too much ends early with what it has placed, and the next one passes over
/// the classes for which there was no room left. So no class waits behind others that cannot be
/// placed, however much it costs to find that out.
#[derive(Debug, Default)]
pub struct Round {
    in_vain: BTreeSet<Arc<Class>>,
    is_over: bool,
}

impl Round {
    /// Decides on placements, the most important tasks first.
    ///
    /// Costs what there are classes, plus what it places; neither what waits nor what works.
    #[must_use]
    pub fn pass(&mut self, state: &State, strategy: Strategy, bounds: Bounds) -> Vec<Assignment> {
        let mut placements = Vec::new();
        let mut done = Vec::new();
        let mut plan = state.plan();
        let mut classes = by_importance(state);
        classes.retain(|(class, _)| !self.in_vain.contains(*class));
        'queue: for (class, queue) in classes {
            let mut choice = Choice::new(class, strategy.into());
            for task in queue.tasks() {
                if placements.len() >= bounds.placements {
                    break 'queue;
                }
                if plan.looks() >= bounds.looks {
                    self.in_vain.extend(done);
                    self.is_over = false;
                    return placements;
                }
                match choice.place(state, &mut plan, task) {
                    Ok(worker) => placements.push(Assignment { task, worker }),
                    Err(NoPlace::ForIt) => {}
                    Err(NoPlace::ForAny) => break,
                }
            }
            done.push(Arc::clone(class));
        }
        self.in_vain.clear();
        self.is_over = true;
        placements
    }

    /// Whether the last pass left out nothing for its cost.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }
}

/// Places the tasks of one class.
struct Choice<'a> {
    class: &'a Class,
    preference: Preference,
    /// Workers that were left out in vain: the next task that leaves out the same waits as well.
    in_vain: BTreeSet<Vec<WorkerId>>,
}

/// For whom there is no place.
enum NoPlace {
    /// The task; the next of its class may be placed.
    ForIt,
    /// The class.
    ForAny,
}

impl<'a> Choice<'a> {
    const fn new(class: &'a Class, preference: Preference) -> Self {
        Self { class, preference, in_vain: BTreeSet::new() }
    }

    /// A worker for a task. One that failed to start is kept from the workers where it did while
    /// another could take it, be it later: they may be to blame.
    fn place(
        &mut self,
        state: &State,
        plan: &mut Plan<'_>,
        task: TaskId,
    ) -> Result<WorkerId, NoPlace> {
        let shunned = state.task(task).map(|task| task.failed_to_start_on()).unwrap_or_default();
        if shunned.is_empty() {
            return plan.place(self.class, self.preference).ok_or(NoPlace::ForAny);
        }
        if self.in_vain.contains(&shunned) {
            return Err(NoPlace::ForIt);
        }
        if let Some(worker) = plan.place_beside(self.class, self.preference, &shunned) {
            return Ok(worker);
        }
        if plan.could_take_beside(self.class, &shunned) {
            self.in_vain.insert(shunned);
            return Err(NoPlace::ForIt);
        }
        plan.place(self.class, self.preference).ok_or(NoPlace::ForAny)
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

fn by_importance(state: &State) -> Vec<(&Arc<Class>, &ClassQueue)> {
    let now = state.meta().now;
    let mut classes = state.queue().collect::<Vec<_>>();
    classes.sort_by_key(|(class, queue)| {
        let head = queue.tasks().next();
        let waits_since = head.and_then(|id| state.task(id)).map_or(now, |task| task.submitted_at);
        (Reverse(importance(class, waits_since, now)), head)
    });
    classes
}

fn importance(class: &Class, waits_since: Timestamp, now: Timestamp) -> u64 {
    let waited = u64::try_from(now.since(waits_since).as_millis()).unwrap_or(u64::MAX);
    u64::from(class.priority).saturating_add(waited / AGEING_STEP_MILLIS)
}

#[cfg(test)]
mod tests;
