//! Which queued task goes to which worker. Pure: the scheduler proposes what comes out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Arc;

use cluster_state::{
    Assignment, Class, ClassQueue, Resources, State, Task, TaskId, TaskState, Timestamp, Worker,
    WorkerId,
};

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

/// Decides on at most `most` placements, the most important tasks first.
///
/// Costs what there are classes and workers, plus what it places; not what waits.
#[must_use]
pub fn place(state: &State, strategy: Strategy, most: usize) -> Vec<Assignment> {
    let mut placements = Vec::new();
    let mut candidates = Candidates::of(state);
    for (class, queue) in by_importance(state) {
        let room = most.saturating_sub(placements.len());
        if room == 0 || candidates.by_worker.is_empty() {
            break;
        }
        candidates.place(class, queue.tasks().take(room), strategy, &mut placements);
    }
    placements
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

/// The workers that may be given tasks, with what they have left.
struct Candidates<'a> {
    by_worker: BTreeMap<&'a WorkerId, Candidate<'a>>,
}

struct Candidate<'a> {
    worker: &'a Worker,
    total: Resources,
    free: Resources,
}

impl<'a> Candidates<'a> {
    fn of(state: &'a State) -> Self {
        let by_worker = state
            .workers()
            .filter(|worker| worker.is_active())
            .map(|worker| {
                let total = worker.total();
                let free = match state.load(&worker.id) {
                    Some(load) => total.saturating_sub(&load.allocated),
                    None => total.clone(),
                };
                (&worker.id, Candidate { worker, total, free })
            })
            .collect();
        Self { by_worker }
    }

    fn place(
        &mut self,
        class: &Class,
        tasks: impl Iterator<Item = TaskId>,
        strategy: Strategy,
        placements: &mut Vec<Assignment>,
    ) {
        let mut fitting = self
            .by_worker
            .iter()
            .filter(|(_, candidate)| candidate.takes(class))
            .map(|(id, candidate)| (rank(strategy, candidate), Reverse(*id)))
            .collect::<BinaryHeap<_>>();

        for task in tasks {
            let Some((_, Reverse(id))) = fitting.pop() else { return };
            let Some(candidate) = self.by_worker.get_mut(id) else { continue };
            candidate.free = candidate.free.saturating_sub(&class.resources);
            if candidate.free.covers(&class.resources).is_ok() {
                fitting.push((rank(strategy, candidate), Reverse(id)));
            }
            placements.push(Assignment { task, worker: id.clone() });
        }
    }
}

impl Candidate<'_> {
    fn takes(&self, class: &Class) -> bool {
        allows(class, self.worker) && self.free.covers(&class.resources).is_ok()
    }

    /// Parts per million in use of the resource that is scarcest here.
    fn dominant_share(&self) -> u64 {
        let share = |total: u64, free: u64| {
            let used = u128::from(total.saturating_sub(free));
            (used * 1_000_000).checked_div(u128::from(total)).unwrap_or(0)
        };
        let shares = [
            share(self.total.cpu_milli, self.free.cpu_milli),
            share(self.total.memory_mib, self.free.memory_mib),
            share(self.total.storage_mib, self.free.storage_mib),
            share(self.total.gpu, self.free.gpu),
        ];
        shares.into_iter().max().and_then(|share| u64::try_from(share).ok()).unwrap_or(0)
    }
}

/// The greatest rank is preferred.
fn rank(strategy: Strategy, candidate: &Candidate<'_>) -> u64 {
    let share = candidate.dominant_share();
    match strategy {
        Strategy::Spread => u64::MAX - share,
        Strategy::Binpack => share,
    }
}

fn allows(class: &Class, worker: &Worker) -> bool {
    if class.worker.as_ref().is_some_and(|only| *only != worker.id) {
        return false;
    }
    if class.constraints.is_empty() {
        return true;
    }
    let labels = worker.effective_labels();
    class.constraints.iter().all(|constraint| constraint.is_met_by(&labels))
}

/// Why a task waits, in the words of whoever has to do something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PendingReason {
    /// It waits for a point in time.
    Backoff(Timestamp),
    /// The registry is empty.
    NoWorkers,
    /// None of the workers that may run it is connected.
    NoneActive(usize),
    /// No worker's labels satisfy its constraints, or the one it names is not registered.
    NoneAllowed,
    /// It asks for more than any allowed worker has in total.
    NoneLargeEnough,
    /// All that could take it are busy.
    AllBusy {
        /// How many could take it if they were empty.
        workers: usize,
        /// How many tasks of its class wait before it.
        ahead: usize,
    },
}

impl PendingReason {
    /// Why `task` waits, or nothing when it does not.
    #[must_use]
    pub fn of(state: &State, task: &Task) -> Option<Self> {
        match task.state {
            TaskState::Scheduled { until } => return Some(Self::Backoff(until)),
            TaskState::Queued => {}
            TaskState::Assigned
            | TaskState::Running
            | TaskState::Cancelling
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled => return None,
        }
        let class = &task.spec.class;
        if state.workers().len() == 0 {
            return Some(Self::NoWorkers);
        }
        let allowed = state.workers().filter(|worker| allows(class, worker)).collect::<Vec<_>>();
        if allowed.is_empty() {
            return Some(Self::NoneAllowed);
        }
        let active = allowed.iter().filter(|worker| worker.is_active()).collect::<Vec<_>>();
        if active.is_empty() {
            return Some(Self::NoneActive(allowed.len()));
        }
        let large_enough =
            active.iter().filter(|worker| worker.total().covers(&class.resources).is_ok()).count();
        if large_enough == 0 {
            return Some(Self::NoneLargeEnough);
        }
        let ahead = state
            .queue()
            .find(|(queued, _)| *queued == class)
            .map_or(0, |(_, queue)| queue.position(task.id));
        Some(Self::AllBusy { workers: large_enough, ahead })
    }
}

impl fmt::Display for PendingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backoff(_) => f.write_str("waiting for retry_backoff after a failed attempt"),
            Self::NoWorkers => f.write_str("no worker is registered"),
            Self::NoneActive(allowed) => {
                write!(f, "none of the {allowed} workers that may run it is active")
            }
            Self::NoneAllowed => {
                f.write_str("no registered worker satisfies its constraints or its worker_id")
            }
            Self::NoneLargeEnough => {
                f.write_str("it asks for more resources than any worker that may run it has")
            }
            Self::AllBusy { workers, ahead } => {
                write!(f, "all {workers} workers that fit are busy; {ahead} like it wait before it")
            }
        }
    }
}

#[cfg(test)]
mod tests;
