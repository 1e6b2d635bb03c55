//! Attempts that are placed on workers, and the orders that follow from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::capacity::Taken;
use crate::{Resources, Task, TaskId, WorkerId};

/// Loads of the workers that have attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Loads {
    by_worker: BTreeMap<WorkerId, WorkerLoad>,
    to_tell: BTreeSet<WorkerId>,
}

/// Attempts that are placed on one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Sum of the resources of its live attempts, without those that wait there for room.
    pub allocated: Resources,
    /// Sum of the resources of the attempts that wait there for room.
    pub wanted: Resources,
    /// Tasks whose attempts wait there for room.
    pub ahead: BTreeSet<TaskId>,
    /// Tasks with a live attempt on it.
    pub attempts: BTreeSet<TaskId>,
    /// Tasks whose start it has not confirmed.
    pub unconfirmed: BTreeSet<TaskId>,
    /// Tasks that it must stop.
    pub stopping: BTreeSet<TaskId>,
}

/// Placement of a task, with the orders for its worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement<'a> {
    worker: &'a WorkerId,
    task: TaskId,
    resources: &'a Resources,
    is_ahead: bool,
    is_unconfirmed: bool,
    must_stop: bool,
}

impl<'a> Placement<'a> {
    pub(super) fn of(task: &'a Task) -> Option<Self> {
        let attempt = task.live_attempt()?;
        Some(Self {
            worker: &attempt.worker,
            task: task.id,
            resources: &task.spec.class.resources,
            is_ahead: task.ahead.is_some(),
            is_unconfirmed: task.is_unconfirmed(),
            must_stop: task.must_stop(),
        })
    }
}

impl Loads {
    pub(super) fn get(&self, id: &WorkerId) -> Option<&WorkerLoad> {
        self.by_worker.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&WorkerId, &WorkerLoad)> {
        self.by_worker.iter()
    }

    pub(super) fn to_tell(&self) -> impl Iterator<Item = &WorkerId> {
        self.to_tell.iter()
    }

    /// Updates the loads for one task.
    pub(super) fn replace(&mut self, before: Option<Placement<'_>>, after: Option<Placement<'_>>) {
        // Most changes of an attempt leave it where it is.
        if let (Some(before), Some(after)) = (before, after)
            && before.worker == after.worker
            && before.resources == after.resources
            && before.is_ahead == after.is_ahead
        {
            if let Some(load) = self.by_worker.get_mut(after.worker) {
                load.put_orders(after);
            }
            self.note_orders(after.worker);
            return;
        }
        if let Some(before) = before {
            self.leave(before);
        }
        if let Some(after) = after {
            self.enter(after);
        }
    }

    fn enter(&mut self, placement: Placement<'_>) {
        let Placement { worker, task, resources, is_ahead, .. } = placement;
        if !self.by_worker.contains_key(worker) {
            self.by_worker.insert(worker.clone(), WorkerLoad::default());
        }
        let Some(load) = self.by_worker.get_mut(worker) else { return };
        load.attempts.insert(task);
        put(&mut load.ahead, task, is_ahead);
        // The commands that place attempts check the sums first.
        let account = load.account(is_ahead);
        let sum = account.checked_add(resources);
        assert!(sum.is_some(), "what is allocated on {worker} fits its type");
        *account = sum.unwrap_or_default();
        load.put_orders(placement);
        self.note_orders(worker);
    }

    fn leave(&mut self, placement: Placement<'_>) {
        let Placement { worker, task, resources, is_ahead, .. } = placement;
        let Some(load) = self.by_worker.get_mut(worker) else { return };
        load.attempts.remove(&task);
        load.ahead.remove(&task);
        let account = load.account(is_ahead);
        let rest = account.checked_sub(resources);
        assert!(rest.is_some(), "what {task} gives back was allocated on {worker}");
        *account = rest.unwrap_or_default();
        load.put_orders(Placement { is_unconfirmed: false, must_stop: false, ..placement });
        if load.attempts.is_empty() {
            self.by_worker.remove(worker);
        }
        self.note_orders(worker);
    }

    /// Updates whether there are orders for the worker.
    fn note_orders(&mut self, worker: &WorkerId) {
        let has_some = self.by_worker.get(worker).is_some_and(WorkerLoad::has_work_to_tell);
        if !has_some {
            self.to_tell.remove(worker);
        } else if !self.to_tell.contains(worker) {
            self.to_tell.insert(worker.clone());
        }
    }
}

impl WorkerLoad {
    fn has_work_to_tell(&self) -> bool {
        !self.unconfirmed.is_empty() || !self.stopping.is_empty()
    }

    /// Returns the sum of the resources of such attempts.
    const fn account(&mut self, is_ahead: bool) -> &mut Resources {
        if is_ahead { &mut self.wanted } else { &mut self.allocated }
    }

    /// Returns what its attempts take, those that wait for room included.
    pub(crate) const fn taken(&self) -> Taken<'_> {
        Taken { allocated: Some(&self.allocated), wanted: Some(&self.wanted) }
    }

    /// Returns the room that other tasks cannot have: what is allocated, and what waits for room.
    #[must_use]
    pub(crate) fn claimed(&self) -> Resources {
        if self.ahead.is_empty() {
            return self.allocated.clone();
        }
        // The command that let the last of them wait has checked the sum.
        self.allocated.checked_add(&self.wanted).unwrap_or_default()
    }

    fn put_orders(&mut self, placement: Placement<'_>) {
        put(&mut self.unconfirmed, placement.task, placement.is_unconfirmed);
        put(&mut self.stopping, placement.task, placement.must_stop);
    }
}

fn put(tasks: &mut BTreeSet<TaskId>, task: TaskId, is_in: bool) {
    if is_in {
        tasks.insert(task);
    } else {
        tasks.remove(&task);
    }
}
