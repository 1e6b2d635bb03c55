//! The waiting tasks that a pass considers: next is the queue that has least of the fleet for its weight, and
//! in it the most important task.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{
    Candidates, Class, ClassQueue, Footprint, QueueName, QueueSettings, Rank, Since, State, TaskId,
    Timestamp, Worker,
};

/// The classes that a pass considers.
pub(super) struct Line<'a> {
    state: &'a State,
    queues: Vec<QueueLine<'a>>,
    /// Queues with a task that may be next: by their shares, then by the ranks of those tasks.
    order: BTreeSet<(u64, Rank, usize)>,
    /// The queue of the task that was returned last, which is not in the order meanwhile.
    taken: Option<usize>,
    probes: usize,
    /// Number of queues that were looked at.
    visited: usize,
}

/// The classes of one queue, the most important first.
struct QueueLine<'a> {
    name: &'a QueueName,
    candidates: Candidates<'a>,
    /// Classes with placed tasks, by their next task.
    begun: BTreeMap<Rank, Waiting<'a>>,
    /// Resources of its tasks, placed ones included.
    allocated: Footprint,
    weight: u32,
    share: u64,
    /// Number of tasks that may start yet.
    left: u64,
    /// Rank of the least important of those that were placed.
    last: Option<Rank>,
}

/// A waiting task and its class.
#[derive(Clone, Copy)]
pub(super) struct Waiting<'a> {
    pub(super) class: &'a Class,
    pub(super) queue: &'a ClassQueue,
    pub(super) task: TaskId,
    pub(super) rank: Rank,
    /// True if the task is kept from some workers, so that no other task follows it.
    pub(super) is_apart: bool,
    /// Place of its queue in the line.
    number: usize,
}

impl Waiting<'_> {
    /// Returns the next task of the class. Whether one with a concurrency key may start is known when the
    /// one before it has.
    pub(super) fn next(&self, state: &State) -> Option<Self> {
        if self.is_apart || self.class.concurrency_key.is_some() {
            return None;
        }
        let task = state.task(self.queue.after(state.task(self.task)?)?)?;
        Some(Self { task: task.id, rank: Rank::of(task), ..*self })
    }
}

/// Returns the share that a queue has of the fleet, measured by its weight.
pub(super) fn share_of(state: &State, queue: &QueueName) -> u64 {
    let allocated = state.queue_load(queue).allocated;
    weighed(allocated.share_of(state.fleet()), state.queue_settings(queue).weight)
}

fn weighed(share: u64, weight: u32) -> u64 {
    let parts = share.saturating_mul(QueueSettings::WEIGHT_MAX.into());
    parts.checked_div(weight.into()).unwrap_or(parts)
}

impl<'a> Line<'a> {
    /// Returns the classes that may fit although they did not at a moment, from a rank on. Queues for which
    /// there is neither, or which start nothing now, are left out.
    pub(super) fn new(
        state: &'a State,
        now: Timestamp,
        from: impl Fn(&QueueName) -> Option<(Since, Rank)>,
    ) -> Self {
        Self::over(state, state.queues_in_use(), |name| {
            let (since, from) = from(name)?;
            let left = state.starts_left(name, now).ok()?;
            Some((state.candidates(name, since, from)?, left))
        })
    }

    /// Returns the classes that a worker could run if it were empty, of one queue or of all those that may
    /// start any number of tasks. Looks at each of those that it may be of.
    pub(super) fn of_worker(
        state: &'a State,
        worker: &'a Worker,
        only: Option<&'a QueueName>,
    ) -> Self {
        let others = only.is_none().then(|| state.queues_in_use()).into_iter().flatten();
        Self::over(state, only.into_iter().chain(others), |name| {
            let QueueSettings { is_paused, max_running, rate, .. } = state.queue_settings(name);
            if is_paused || max_running.is_some() || rate.is_some() {
                return None;
            }
            Some((state.candidates_of(name, worker)?, u64::MAX))
        })
    }

    fn over(
        state: &'a State,
        names: impl Iterator<Item = &'a QueueName>,
        of_queue: impl Fn(&QueueName) -> Option<(Candidates<'a>, u64)>,
    ) -> Self {
        let order = BTreeSet::new();
        let mut line =
            Self { state, queues: Vec::new(), order, taken: None, probes: 0, visited: 0 };
        for name in names {
            line.visited += 1;
            let Some((candidates, left)) = of_queue(name) else { continue };
            if candidates.peek().is_none() {
                continue;
            }
            line.probes += candidates.probes();
            line.queues.push(QueueLine {
                name,
                candidates,
                begun: BTreeMap::new(),
                allocated: state.queue_load(name).allocated,
                weight: state.queue_settings(name).weight,
                share: share_of(state, name),
                left,
                last: None,
            });
            line.enter(line.queues.len() - 1);
        }
        line
    }

    /// Puts a queue where it belongs in the order, if a task of it may be next.
    fn enter(&mut self, number: usize) {
        let Some(queue) = self.queues.get(number).filter(|queue| queue.left > 0) else { return };
        if let Some(rank) = queue.peek() {
            self.order.insert((queue.share, rank, number));
        }
    }

    /// Returns the task that is next.
    pub(super) fn next(&mut self) -> Option<Waiting<'a>> {
        if let Some(taken) = self.taken.take() {
            self.enter(taken);
        }
        let (_, rank, number) = self.order.pop_first()?;
        self.taken = Some(number);
        let queue = self.queues.get_mut(number)?;
        if let Some(begun) = queue.begun.remove(&rank) {
            return Some(begun);
        }
        let before = queue.candidates.probes();
        let head = queue.candidates.next()?;
        self.probes += queue.candidates.probes().saturating_sub(before);
        let queue = self.state.class_queue(head.class())?;
        let (class, task, is_apart) = (head.class(), head.task(), head.is_apart());
        Some(Waiting { class, queue, task, rank, is_apart, number })
    }

    /// Has a task wait for its turn.
    pub(super) fn put_back(&mut self, waiting: Waiting<'a>) {
        if let Some(queue) = self.queues.get_mut(waiting.number) {
            queue.begun.insert(waiting.rank, waiting);
        }
    }

    /// Returns whether a task of the queue that is taken would be next.
    pub(super) fn is_next(&self, waiting: &Waiting<'_>) -> bool {
        let Some(queue) = self.queues.get(waiting.number).filter(|queue| queue.left > 0) else {
            return false;
        };
        let is_first_of_others = self
            .order
            .first()
            .is_none_or(|other| (queue.share, waiting.rank, waiting.number) < *other);
        is_first_of_others && self.is_first_of_queue(waiting)
    }

    /// Returns whether no other task of its queue is more important.
    pub(super) fn is_first_of_queue(&self, waiting: &Waiting<'_>) -> bool {
        let queue = self.queues.get(waiting.number);
        queue.is_some_and(|queue| queue.peek().is_none_or(|other| waiting.rank < other))
    }

    /// Counts a task as started.
    pub(super) fn on_placed(&mut self, waiting: &Waiting<'_>) {
        let Some(queue) = self.queues.get_mut(waiting.number) else { return };
        queue.left = queue.left.saturating_sub(1);
        queue.last = queue.last.max(Some(waiting.rank));
        queue.allocated.add(&waiting.class.resources);
        queue.share = weighed(queue.allocated.share_of(self.state.fleet()), queue.weight);
    }

    /// Returns the number of classes and branches probed so far.
    pub(super) const fn probes(&self) -> usize {
        self.probes
    }

    /// Returns the number of queues that were looked at.
    pub(super) const fn visited(&self) -> usize {
        self.visited
    }

    /// Returns the rank of the least important task that was placed, of each queue with any.
    pub(super) fn placed(&self) -> BTreeMap<QueueName, Rank> {
        let placed = self.queues.iter().filter_map(|queue| Some((queue.name.clone(), queue.last?)));
        placed.collect()
    }

    /// Returns the queues that have started as many tasks as they may, while others of them wait.
    pub(super) fn exhausted(&self) -> impl Iterator<Item = &QueueName> {
        let exhausted = self.queues.iter().filter(|queue| queue.left == 0);
        exhausted.filter(|queue| queue.peek().is_some()).map(|queue| queue.name)
    }

    /// Returns the ranks from which a later pass goes on if this one ends before a task.
    pub(super) fn rest(&self, waiting: &Waiting<'_>) -> BTreeMap<QueueName, Rank> {
        let ranks = self.queues.iter().enumerate().filter_map(|(number, queue)| {
            let waiting = Some(waiting.rank).filter(|_| waiting.number == number);
            let rank = waiting.into_iter().chain(queue.peek()).min()?;
            Some((queue.name.clone(), rank))
        });
        ranks.collect()
    }
}

impl QueueLine<'_> {
    fn peek(&self) -> Option<Rank> {
        let begun = self.begun.first_key_value().map(|(rank, _)| *rank);
        [begun, self.candidates.peek()].into_iter().flatten().min()
    }
}
