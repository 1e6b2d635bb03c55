//! Applies commands about the cluster itself: terms, levels and timers.

use super::Apply;
use crate::{
    BeginTerm, LeaderRecord, RaiseLevel, Rejection, Reply, StopReason, Task, TaskState, Tick,
    WorkerId,
};

impl Apply<'_> {
    /// Begins a term. Every later command of an older term is refused, so a leader that wakes up
    /// late does no harm.
    pub(super) fn begin_term(&mut self, command: &BeginTerm) -> Result<Reply, Rejection> {
        let BeginTerm { term, leader, cluster, live_bytes_max } = *command;
        self.check_term(term)?;

        self.meta.term = term;
        self.meta.cluster.get_or_insert(cluster);
        self.meta.live_bytes_max = live_bytes_max;
        // A leader repeats its barrier when it does not know whether the first one was committed.
        let is_repeated = self.state.leaders().next_back().is_some_and(|last| last.term == term);
        if !is_repeated {
            self.put_leader(LeaderRecord { term, leader, since: self.now, index: self.index });
        }
        Ok(Reply::Done)
    }

    /// Raises the cluster's level. A repeated command changes nothing.
    pub(super) fn raise_level(&mut self, command: &RaiseLevel) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        self.meta.level = self.meta.level.max(command.level);
        Ok(Reply::Done)
    }

    /// Fires due timers and removes expired records, up to a bound.
    pub(super) fn tick(&mut self, tick: &Tick) -> Result<Reply, Rejection> {
        self.check_term(tick.term)?;

        let due = self.state.due_tasks(self.now, self.limits().timers_per_tick_max);
        for id in &due {
            if let Some(task) = self.state.task(*id).map(|task| Task::clone(task)) {
                self.fire_timer(task);
            }
        }
        let workers = self.state.due_workers(self.now);
        for worker in &workers {
            self.fire_worker_timers(worker);
        }
        let expired = self.expire_keys();
        for id in &tick.forget {
            let is_finished = *id < self.meta.next_task && self.state.task(*id).is_none();
            if is_finished {
                self.forget_task(*id);
            }
        }
        let more = self.state.next_timer().is_some_and(|at| at <= self.now);
        let fired = u32::try_from(due.len() + workers.len() + expired).unwrap_or(u32::MAX);
        Ok(Reply::Ticked { fired, more })
    }

    fn fire_timer(&mut self, mut task: Task) {
        match task.state {
            TaskState::Scheduled { .. } => {
                self.put_task(Task { state: TaskState::Queued, reason: None, ..task });
            }
            TaskState::Running => {
                if let Some(attempt) = task.attempts.last_mut() {
                    attempt.stop = Some(StopReason::RunTimeout);
                }
                self.put_task(task);
            }
            TaskState::Queued
            | TaskState::Assigned
            | TaskState::Cancelling
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled => {}
        }
    }

    fn fire_worker_timers(&mut self, id: &WorkerId) {
        let deadline = self.state.worker(id).and_then(|worker| worker.drain_deadline());
        if deadline.is_some_and(|at| at <= self.now) {
            self.end_drain(id);
        }
        self.fire_health_timer(id);
    }

    fn expire_keys(&mut self) -> usize {
        let mut expired = 0;
        while expired < self.limits().timers_per_tick_max {
            let Some((at, key)) = self.state.oldest_key().cloned() else { break };
            if at.after(self.limits().idempotency_retention) > self.now {
                break;
            }
            self.remove_key(&key);
            expired += 1;
        }
        expired
    }
}
