//! Explains why a task waits. Costs O(workers), so a list of tasks asks once for each class.

use std::fmt;

use cluster_state::{
    Class, Hold, QueueName, Scheduling, State, Task, TaskId, TaskReason, TaskState, Timestamp,
    Trouble, Worker, WorkerId,
};
use proto::convert;

/// Tasks ahead that are counted: beyond that the exact number says nothing.
const AHEAD_COUNTED_MAX: usize = 1_000;
/// Tasks that are named of those that one waits for.
const DEPENDENCIES_NAMED_MAX: usize = 5;

/// Reason why a task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PendingReason {
    /// It waits for the end of its backoff.
    Backoff(Timestamp),
    /// It waits for its start time.
    StartTime(Timestamp),
    /// It waits for other tasks.
    Dependencies {
        /// Number of those that are live.
        live: u32,
        /// Some of them.
        first: Vec<TaskId>,
    },
    /// Its worker cannot be called.
    Untold {
        worker: WorkerId,
        /// The reason, and its beginning.
        trouble: Trouble,
    },
    /// Its worker does not carry out its orders.
    Refused {
        worker: WorkerId,
        /// The reason, and its beginning.
        trouble: Trouble,
    },
    /// It waits at its worker for others to end.
    Ahead { worker: WorkerId },
    /// Its queue starts no task now, or not this one.
    Held { queue: QueueName, hold: Hold },
    /// The registry is empty.
    NoWorkers,
    /// None of the workers that may run it is connected.
    NoneActive(usize),
    /// All connected workers that may run it are cordoned or draining.
    NoneOpen(usize),
    /// All open workers cannot be called or cannot start programs.
    NoneHealthy(usize),
    /// No worker's labels satisfy its constraints, or the one it names is not registered.
    NoneAllowed,
    /// It asks for more than the total of any worker that may run it.
    NoneLargeEnough,
    /// Another one with its concurrency key is more important, and has no place yet.
    BehindKey(TaskId),
    /// All workers that could take it are busy.
    AllBusy {
        /// Workers that could take it if they were empty.
        workers: usize,
        /// Tasks of its class that wait before it, counted up to one more than a thousand.
        ahead: usize,
    },
}

impl PendingReason {
    /// Returns the reason why `task` waits at a time on the log's clock; nothing if it does not.
    #[must_use]
    pub(crate) fn of(state: &State, task: &Task, now: Timestamp) -> Option<Self> {
        match task.state {
            TaskState::Blocked => return Some(Self::blocked(state, task)),
            TaskState::Scheduled { until } if task.reason == Some(TaskReason::StartTime) => {
                return Some(Self::StartTime(until));
            }
            TaskState::Scheduled { until } => return Some(Self::Backoff(until)),
            TaskState::Queued => {}
            TaskState::Assigned | TaskState::Cancelling => return Self::untold(state, task),
            TaskState::Running
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Aborted => return None,
        }

        let class = &task.spec.class;
        if let Some(hold) = state.hold(class, now) {
            return Some(Self::Held { queue: class.queue.clone(), hold });
        }
        let counts = Counts::of(state, class);
        Some(match counts {
            Counts { registered: 0, .. } => Self::NoWorkers,
            Counts { allowed: 0, .. } => Self::NoneAllowed,
            Counts { active: 0, allowed, .. } => Self::NoneActive(allowed),
            Counts { open: 0, active, .. } => Self::NoneOpen(active),
            Counts { healthy: 0, open, .. } => Self::NoneHealthy(open),
            Counts { large_enough: 0, .. } => Self::NoneLargeEnough,
            Counts { large_enough, .. } => {
                if let Some(next) = next_with_key(state, class) {
                    return Some(Self::BehindKey(next));
                }
                let queue = state.class_queue(class);
                let ahead = queue.map_or(0, |queue| queue.position(task, AHEAD_COUNTED_MAX + 1));
                Self::AllBusy { workers: large_enough, ahead }
            }
        })
    }
}

impl PendingReason {
    /// Returns the reason as it is for every waiting task of the class: without the number of those that
    /// wait before one.
    #[must_use]
    pub(crate) fn of_class(&self) -> String {
        match self {
            Self::AllBusy { workers, .. } => format!("all {workers} workers that fit are busy"),
            Self::Backoff(_)
            | Self::StartTime(_)
            | Self::Dependencies { .. }
            | Self::Untold { .. }
            | Self::Refused { .. }
            | Self::Ahead { .. }
            | Self::Held { .. }
            | Self::BehindKey(_)
            | Self::NoWorkers
            | Self::NoneActive(_)
            | Self::NoneOpen(_)
            | Self::NoneHealthy(_)
            | Self::NoneAllowed
            | Self::NoneLargeEnough => self.to_string(),
        }
    }

    fn blocked(state: &State, task: &Task) -> Self {
        let live = task.dependencies().iter().map(|dependency| dependency.task);
        let live = live.filter(|id| state.task(*id).is_some());
        Self::Dependencies {
            first: live.take(DEPENDENCIES_NAMED_MAX).collect(),
            live: state.live_dependencies(task.id).unwrap_or(0),
        }
    }

    /// Returns the reason why a placed task does not run.
    fn untold(state: &State, task: &Task) -> Option<Self> {
        let attempt = task.live_attempt()?;
        let worker = state.worker(&attempt.worker)?.id.clone();
        match state.worker(&attempt.worker)?.health.unreachable.clone() {
            Some(trouble) => Some(Self::Untold { worker, trouble }),
            None => {
                (task.ahead.is_some() && attempt.stop.is_none()).then_some(Self::Ahead { worker })
            }
        }
    }
}

/// Returns the task of another class that starts before those of this one, for they share a concurrency key.
fn next_with_key(state: &State, class: &Class) -> Option<TaskId> {
    let next = state.next_with_key_of(class)?;
    (*state.task(next)?.spec.class != *class).then_some(next)
}

/// Numbers of workers that pass each test, of those that passed the one before.
#[derive(Default)]
struct Counts {
    registered: usize,
    allowed: usize,
    active: usize,
    open: usize,
    healthy: usize,
    large_enough: usize,
}

impl Counts {
    fn of(state: &State, class: &Class) -> Self {
        let mut counts = Self { registered: state.workers().len(), ..Self::default() };
        match &class.worker {
            Some(only) => state.worker(only).into_iter().for_each(|one| counts.add(class, one)),
            None => state.workers().for_each(|worker| counts.add(class, worker)),
        }
        counts
    }

    fn add(&mut self, class: &Class, worker: &Worker) {
        let is_large_enough =
            || worker.specs.as_ref().is_some_and(|specs| specs.total.holds(&class.resources));
        let allowed = class.allows(worker);
        let active = allowed && worker.is_active();
        let open = active && worker.scheduling == Scheduling::Open;
        let healthy = open && worker.health.is_good();
        self.allowed += usize::from(allowed);
        self.active += usize::from(active);
        self.open += usize::from(open);
        self.healthy += usize::from(healthy);
        self.large_enough += usize::from(healthy && is_large_enough());
    }
}

impl fmt::Display for PendingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backoff(_) => f.write_str("waiting for retry_backoff after a failed attempt"),
            Self::StartTime(until) => {
                write!(f, "waiting for its start time, {}", convert::rfc3339(*until))
            }
            Self::Dependencies { live: 0, .. } => {
                f.write_str("the tasks that it waited for are over: it goes on in a moment")
            }
            Self::Dependencies { live, first } => {
                let names = first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let named = u32::try_from(first.len()).unwrap_or(u32::MAX);
                match live.saturating_sub(named) {
                    0 => write!(f, "waiting for {names}"),
                    more => write!(f, "waiting for {live} tasks: {names} and {more} more"),
                }
            }
            Self::Untold { worker, trouble: Trouble { detail, since } } => {
                let since = convert::rfc3339(*since);
                write!(f, "{worker} cannot be told: {detail}, since {since}")
            }
            Self::Refused { worker, trouble: Trouble { detail, since } } => {
                let since = convert::rfc3339(*since);
                write!(f, "{worker} does not carry out its orders: {detail}, since {since}")
            }
            Self::Ahead { worker } => {
                write!(f, "it is next on {worker}, whose tasks follow one another at once")
            }
            Self::Held { queue, hold: Hold::Rate { rate, until } } => write!(
                f,
                "its queue {queue} has started {} tasks in {} s, its rate; the next may start at {}",
                rate.starts,
                rate.per.as_secs(),
                convert::rfc3339(*until)
            ),
            Self::Held { queue, hold } => write!(f, "its queue {queue} {hold}"),
            Self::BehindKey(next) => {
                write!(f, "{next} with the same concurrency_key is next, and has no place yet")
            }
            Self::NoWorkers => f.write_str("no worker is registered"),
            Self::NoneActive(allowed) => {
                write!(f, "none of the {allowed} workers that may run it is active")
            }
            Self::NoneOpen(active) => {
                write!(f, "all {active} active workers that may run it are cordoned or draining")
            }
            Self::NoneHealthy(open) => {
                write!(f, "all {open} active workers that may run it are unreachable or unfit")
            }
            Self::NoneAllowed => {
                f.write_str("no registered worker satisfies its constraints or its worker_id")
            }
            Self::NoneLargeEnough => {
                f.write_str("it asks for more resources than any worker that may run it has")
            }
            Self::AllBusy { workers, ahead } if *ahead > AHEAD_COUNTED_MAX => write!(
                f,
                "all {workers} workers that fit are busy; more than {AHEAD_COUNTED_MAX} like it \
                 wait before it"
            ),
            Self::AllBusy { workers, ahead } => {
                write!(f, "all {workers} workers that fit are busy; {ahead} like it wait before it")
            }
        }
    }
}
