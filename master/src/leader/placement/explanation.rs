//! Explains, worker by worker, why a task waits. Costs O(workers).

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster_state::{Constraint, Resources, Scheduling, Shortage, State, Task, Worker, WorkerId};

/// Names of workers that are given as examples.
const EXAMPLES_MAX: usize = 5;

/// The workers that do not take a waiting task, by the obstacles between.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// Number of registered workers.
    pub(crate) workers: usize,
    /// Number of those that have room for it now.
    pub(crate) fitting: usize,
    /// The others, those with the most frequent obstacle first.
    pub(crate) obstructed: Vec<Obstructed>,
}

/// Workers that one obstacle keeps from a task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Obstructed {
    pub(crate) obstacle: Obstacle,
    pub(crate) workers: usize,
    /// Names of some of them.
    pub(crate) examples: Vec<WorkerId>,
    /// The resources that are short, each with the most that one of these workers has.
    pub(crate) shortages: Vec<Shortage>,
}

/// The first obstacle between a task and a worker, in the order in which they are looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    /// It names another worker.
    OtherWorker,
    /// The worker's labels do not meet this constraint.
    Constraint(Constraint),
    Inactive,
    Cordoned,
    Draining,
    Unreachable,
    Unfit,
    /// Even when it is empty, the worker has too little of these kinds of resources.
    TooSmall(Vec<Arc<str>>),
    /// Its program did not start there.
    FailedStart,
    /// The worker has too little of these kinds left.
    Busy(Vec<Arc<str>>),
}

#[derive(Default)]
struct Group {
    workers: usize,
    examples: Vec<WorkerId>,
    shortages: BTreeMap<Arc<str>, Shortage>,
}

impl Explanation {
    /// Looks at every worker with the eyes of a waiting task.
    pub(crate) fn of(state: &State, task: &Task) -> Self {
        let shunned = task.failed_to_start_on();
        let mut groups = BTreeMap::<Obstacle, Group>::new();
        let mut explanation = Self { workers: state.workers().len(), ..Self::default() };
        for worker in state.workers() {
            let Some((obstacle, shortages)) = obstacle(state, task, &shunned, worker) else {
                explanation.fitting += 1;
                continue;
            };
            let group = groups.entry(obstacle).or_default();
            group.workers += 1;
            if group.examples.len() < EXAMPLES_MAX {
                group.examples.push(worker.id.clone());
            }
            for shortage in shortages {
                let known = group.shortages.entry(Arc::clone(&shortage.kind));
                let known = known.or_insert_with(|| shortage.clone());
                known.available = known.available.max(shortage.available);
            }
        }

        let obstructed = groups.into_iter().map(|(obstacle, group)| {
            let Group { workers, examples, shortages } = group;
            Obstructed { obstacle, workers, examples, shortages: shortages.into_values().collect() }
        });
        explanation.obstructed = obstructed.collect();
        explanation.obstructed.sort_by_key(|one| std::cmp::Reverse(one.workers));
        explanation
    }
}

fn obstacle(
    state: &State,
    task: &Task,
    shunned: &[WorkerId],
    worker: &Worker,
) -> Option<(Obstacle, Vec<Shortage>)> {
    let class = &task.spec.class;
    let plain = |obstacle| Some((obstacle, Vec::new()));
    if !class.names(worker) {
        return plain(Obstacle::OtherWorker);
    }
    if let Some(constraint) = class.violated_by(worker) {
        return plain(Obstacle::Constraint(constraint.clone()));
    }
    if !worker.is_active() {
        return plain(Obstacle::Inactive);
    }
    match worker.scheduling {
        Scheduling::Open => {}
        Scheduling::Cordoned => return plain(Obstacle::Cordoned),
        Scheduling::Draining { .. } | Scheduling::Emptying => return plain(Obstacle::Draining),
    }
    if worker.health.unreachable.is_some() {
        return plain(Obstacle::Unreachable);
    }
    // A worker on probation may be given one task.
    let free = state.free_on(&worker.id);
    if !worker.health.is_good() && free.is_none() {
        return plain(Obstacle::Unfit);
    }

    let total = worker.specs.as_ref().map_or_else(Resources::default, |specs| specs.total.clone());
    let short = total.shortages(&class.resources).collect::<Vec<_>>();
    if !short.is_empty() {
        return Some((Obstacle::TooSmall(kinds(&short)), short));
    }
    if shunned.contains(&worker.id) {
        return plain(Obstacle::FailedStart);
    }
    let short = free.map(|free| free.shortages(&class.resources).collect::<Vec<_>>());
    let short = short.unwrap_or_default();
    (!short.is_empty()).then(|| (Obstacle::Busy(kinds(&short)), short))
}

fn kinds(short: &[Shortage]) -> Vec<Arc<str>> {
    short.iter().map(|shortage| Arc::clone(&shortage.kind)).collect()
}
