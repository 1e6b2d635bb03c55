//! Invariants of the state, which tests check after every command.

use crate::index::Index;
use crate::{
    Ahead, AttemptNumber, Course, LogIndex, SettingKey, Settings, Shortage, State, StopReason,
    Task, TaskId, TaskReason, TaskState, Timing, Worker, WorkerId,
};

/// An invariant that does not hold: a bug in `apply`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The indexes of live tasks contradict the tasks.
    #[error("the index differs from one built afresh from the tasks")]
    IndexOutOfStep,
    /// More is allocated on a worker than it has.
    #[error("worker {worker} is oversubscribed: {shortage}")]
    Oversubscribed {
        /// The worker.
        worker: WorkerId,
        /// The shortage.
        shortage: Shortage,
    },
    /// An attempt is live on a worker that is neither registered nor departed.
    #[error("attempts are live on worker {0}, which is neither registered nor departed")]
    UnknownWorker(WorkerId),
    /// A live attempt belongs to another registration than its worker's.
    #[error("attempt {attempt} of {task} belongs to a past registration of its worker")]
    PastEpoch {
        /// The task.
        task: TaskId,
        /// The number of the attempt.
        attempt: AttemptNumber,
    },
    /// A task's state contradicts its attempts.
    #[error("task {0} has a state that its attempts contradict")]
    StateContradictsAttempts(TaskId),
    /// Attempt numbers do not rise.
    #[error("task {0} has attempt numbers that do not rise")]
    NumbersDoNotRise(TaskId),
    /// A live task has used up its failures or its losses.
    #[error("task {0} should have failed")]
    Exhausted(TaskId),
    /// A live task's course contradicts its state, or what was asked of it.
    #[error("task {0} has a course that its state or its timing contradicts")]
    CourseContradictsState(TaskId),
    /// A task that has no attempt, or whose attempt has started, waits at a worker.
    #[error("task {0} waits at a worker for room, which its attempt contradicts")]
    AheadContradictsAttempt(TaskId),
    /// The idempotency keys and their order by age differ.
    #[error("the idempotency keys differ from those ordered by age")]
    KeysOutOfStep,
    /// The indexes of workers contradict their records.
    #[error("inactive, draining or departed workers differ from what the registry says")]
    WorkersOutOfStep,
    /// The free capacity of workers is not what their loads leave.
    #[error("the free capacity of workers differs from what their loads leave")]
    CapacityOutOfStep,
    /// A worker's history is not in order, or too long.
    #[error("the history of worker {0} does not rise, or is too long")]
    HistoryDoesNotRise(WorkerId),
    /// Leader records do not rise, or one is of a term that has not begun.
    #[error("the leader records do not rise up to the newest term")]
    LeadersDoNotRise,
    /// The bound on the memory of live tasks is not the cluster's setting, or the cluster has settings
    /// below their level.
    #[error("the settings contradict the bound on memory or the level")]
    SettingsOutOfStep,
    /// The indexes of orphaned results contradict their records, or there are too many of them.
    #[error("the orphaned results contradict their indexes, their counter or their bounds")]
    OrphansOutOfStep,
    /// The indexes of the trail contradict its records, its numbers do not rise, or it is too large.
    #[error("the trail contradicts its indexes, its numbers or its bounds")]
    TrailOutOfStep,
    /// The holders of certificates differ from those ordered by their ends, or there are too many.
    #[error("the holders of certificates contradict their order or their bounds")]
    HoldersOutOfStep,
    /// A job has passed more than there is, has ended too early, or there are too many.
    #[error("the jobs contradict their bounds")]
    JobsOutOfStep,
    /// The indexes of schedules contradict their records, or there are too many of them.
    #[error("the schedules contradict their indexes, their times or their bounds")]
    SchedulesOutOfStep,
    /// The index of dependencies contradicts the tasks, or an end is to be passed on to nobody.
    #[error("the index of dependencies contradicts the tasks")]
    DependenciesOutOfStep,
    /// There are too many queues, or one of them is out of bounds or used by nobody who may.
    #[error("the queues contradict their tasks or their bounds")]
    QueuesOutOfStep,
    /// A terminal task is still in memory, or an id was given that is still to come.
    #[error("task {0} should not be in memory")]
    NotLive(TaskId),
}

impl State {
    /// Checks that every invariant holds. Costs a walk over all of the state.
    ///
    /// # Errors
    ///
    /// Returns the first violation found.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        self.check_tasks()?;
        if !self.dependencies_are_in_step() {
            return Err(Violation::DependenciesOutOfStep);
        }

        for (id, load) in self.loads() {
            let worker = self.owner(id).ok_or_else(|| Violation::UnknownWorker(id.clone()))?;
            worker
                .total()
                .covers(&load.allocated)
                .map_err(|shortage| Violation::Oversubscribed { worker: id.clone(), shortage })?;
        }

        if !self.workers_are_in_step() {
            return Err(Violation::WorkersOutOfStep);
        }
        if !self.capacity_is_in_step() {
            return Err(Violation::CapacityOutOfStep);
        }

        for worker in self.workers() {
            let rises = worker.history.is_sorted_by_key(|event| (event.index, event.at));
            if !rises || worker.history.len() > self.limits().worker_events_kept_max {
                return Err(Violation::HistoryDoesNotRise(worker.id.clone()));
            }
        }

        if !self.keys_are_in_step() {
            return Err(Violation::KeysOutOfStep);
        }

        let terms = self.leaders().map(|record| record.term).collect::<Vec<_>>();
        let is_past_newest = terms.last().is_some_and(|last| *last > self.meta().term);
        if is_past_newest || !terms.is_sorted_by(|earlier, later| earlier < later) {
            return Err(Violation::LeadersDoNotRise);
        }
        if !self.holders_are_in_step() {
            return Err(Violation::HoldersOutOfStep);
        }
        if !self.jobs_are_in_step() {
            return Err(Violation::JobsOutOfStep);
        }
        if !self.settings_are_in_step() {
            return Err(Violation::SettingsOutOfStep);
        }
        let last = self.orphans().next_back().map_or(0, |orphan| orphan.id.0);
        if !self.orphans_are_in_step()
            || last > self.meta().orphans_found
            || self.orphans().len() > self.limits().orphans_kept_max
            || self.orphan_bytes() > self.limits().orphan_bytes_max
        {
            return Err(Violation::OrphansOutOfStep);
        }
        if !self.trail_is_in_step()
            || self.trail().len() > self.limits().audit_records_max
            || self.trail_bytes() > self.limits().audit_bytes_max
        {
            return Err(Violation::TrailOutOfStep);
        }
        if !self.schedules_are_in_step()
            || self.schedules().len() > self.limits().schedules_max
            || self.schedule_bytes() > self.limits().schedule_bytes_max
        {
            return Err(Violation::SchedulesOutOfStep);
        }
        if !self.queues_are_in_step() {
            return Err(Violation::QueuesOutOfStep);
        }
        Ok(())
    }

    /// Checks each live task, and that the index of them equals one that is built afresh.
    fn check_tasks(&self) -> Result<(), Violation> {
        let mut fresh = Index::default();
        for queue in self.queues() {
            fresh.queues_mut().set_key_bound(&queue.name, Some(&queue.settings));
        }
        for task in self.tasks_below(None) {
            self.check_task(task)?;
            fresh.replace(None, Some(task));
        }
        drop(fresh.update_backlog(self.tasks(), LogIndex(0)));
        if fresh != *self.index() {
            return Err(Violation::IndexOutOfStep);
        }
        Ok(())
    }

    fn settings_are_in_step(&self) -> bool {
        self.settings().is_none_or(|record| {
            self.meta().level >= Settings::LEVEL
                && self.meta().live_bytes_max == record.settings.limits.live_bytes
                && record.origins.len() == SettingKey::ALL.len()
        })
    }

    /// Returns the worker that owns the attempts under that name.
    fn owner(&self, id: &WorkerId) -> Option<&Worker> {
        let departed = || self.departed_worker(id).map(|departed| &*departed.worker);
        self.worker(id).map(|worker| &**worker).or_else(departed)
    }

    fn check_task(&self, task: &Task) -> Result<(), Violation> {
        if task.state.is_terminal() || task.id >= self.meta().next_task {
            return Err(Violation::NotLive(task.id));
        }
        if task.failures >= task.spec.max_attempts || task.has_lost_too_many(self.meta().level) {
            return Err(Violation::Exhausted(task.id));
        }

        let needs_attempt = match task.state {
            TaskState::Assigned | TaskState::Running | TaskState::Cancelling => true,
            TaskState::Blocked
            | TaskState::Scheduled { .. }
            | TaskState::Queued
            | TaskState::Completed
            | TaskState::Failed
            | TaskState::Cancelled
            | TaskState::Aborted => false,
        };
        let live = task.attempts.iter().filter(|attempt| attempt.outcome.is_none()).count();
        let is_cancelled =
            task.live_attempt().is_some_and(|attempt| attempt.stop == Some(StopReason::Cancelled));
        if task.live_attempt().is_some() != needs_attempt
            || live > 1
            || (task.state == TaskState::Cancelling) != is_cancelled
        {
            return Err(Violation::StateContradictsAttempts(task.id));
        }

        let rises = task.attempts.windows(2).all(|pair| match pair {
            [first, second] => first.number < second.number,
            _ => true,
        });
        if !rises || task.attempts.len() > self.limits().attempts_kept_max {
            return Err(Violation::NumbersDoNotRise(task.id));
        }

        let may_wait = task.live_attempt().is_some_and(|attempt| attempt.started_at.is_none())
            && self.meta().level >= Ahead::LEVEL;
        if task.ahead.is_some() && !may_wait {
            return Err(Violation::AheadContradictsAttempt(task.id));
        }
        if !self.course_fits(task) {
            return Err(Violation::CourseContradictsState(task.id));
        }

        let Some(attempt) = task.live_attempt() else { return Ok(()) };
        let worker = self
            .owner(&attempt.worker)
            .ok_or_else(|| Violation::UnknownWorker(attempt.worker.clone()))?;
        if worker.epoch != attempt.epoch {
            return Err(Violation::PastEpoch { task: task.id, attempt: attempt.number });
        }
        Ok(())
    }

    /// Returns whether what is known of the task's course fits its state, and what was asked of it.
    fn course_fits(&self, task: &Task) -> bool {
        let timing = task.spec.timing.as_deref();
        let course = task.course.as_deref().cloned().unwrap_or_default();
        let asks = |asked: Option<bool>| asked.unwrap_or(false);
        let is_known = task.course.is_none() || course != Course::default();
        let is_timed = timing.is_none_or(|timing| *timing != Timing::default());
        let has_level = self.meta().level >= Timing::LEVEL
            || (timing.is_none() && task.course.is_none() && self.meta().last_retry.0 == 0);

        let may_be_late = asks(timing.map(|timing| timing.queue_timeout.is_some()));
        let must_end = asks(timing.map(|timing| timing.deadline.is_some()));
        let is_awaited = course.start_by.is_some();
        let is_late = task.live_attempt().is_some_and(|attempt| {
            attempt.stop == Some(StopReason::Deadline)
                && course.end_by.is_none_or(|end| end > self.meta().now)
        });
        let is_blocked = task.state == TaskState::Blocked;
        let depends = !task.dependencies().is_empty();
        let waits_rightly = if is_blocked {
            depends && course.queued_at.is_none()
        } else {
            depends == course.was_released
        };
        let waits_for_start = task.reason == Some(TaskReason::StartTime);
        let is_scheduled = matches!(task.state, TaskState::Scheduled { .. });
        is_known
            && is_timed
            && has_level
            && !is_late
            && waits_rightly
            && must_end == course.end_by.is_some()
            && (may_be_late || !is_awaited)
            && !(is_awaited && task.state == TaskState::Running)
            && !(waits_for_start && (is_awaited || course.queued_at.is_some() || !is_scheduled))
    }
}
