//! Applies commands that place attempts on workers, at once or ahead of the room for them.

use super::Apply;
use super::queue::Starts;
use crate::{
    Ahead, AssignAhead, AssignTasks, Assignment, Attempt, AttemptNumber, AttemptRef, HoldAttempts,
    Rejection, Reply, Resources, Scheduling, Task, TaskState, Worker, WorkerLoad,
};

impl Apply<'_> {
    /// Assigns queued tasks to workers. Each assignment is accepted or rejected on its own, because
    /// the state may have changed since the leader read it.
    pub(super) fn assign_tasks(&mut self, command: &AssignTasks) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        Ok(self.assign(&command.assignments, None))
    }

    /// Gives queued tasks to workers that have no room for them yet.
    pub(super) fn assign_ahead(&mut self, command: &AssignAhead) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        Ok(self.assign(&command.assignments, Some(Ahead::Untold)))
    }

    fn assign(&mut self, assignments: &[Assignment], ahead: Option<Ahead>) -> Reply {
        let mut starts = Starts::default();
        let assignments = assignments.iter();
        let verdicts = assignments.map(|one| self.assign_task(one, ahead, &mut starts)).collect();
        self.record_starts(starts);
        Reply::Assigned(verdicts)
    }

    /// Records that attempts wait at their worker. Skips those that have ended or begun since.
    pub(super) fn hold_attempts(&mut self, command: &HoldAttempts) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        for held in &command.attempts {
            let Some(task) = self.state.task(held.task) else { continue };
            let is_current = task.live_attempt().is_some_and(|attempt| {
                attempt.is_owned_by(held.attempt, &command.worker, command.epoch)
            });
            if is_current && task.ahead == Some(Ahead::Untold) {
                let task = Task { ahead: Some(Ahead::Told), ..Task::clone(task) };
                self.put_task(task);
            }
        }
        Ok(Reply::Done)
    }

    fn assign_task(
        &mut self,
        assignment: &Assignment,
        ahead: Option<Ahead>,
        starts: &mut Starts,
    ) -> Result<AttemptNumber, Rejection> {
        let task = self.live_task(assignment.task)?;
        if task.state != TaskState::Queued {
            return Err(Rejection::NotQueued { task: task.id, state: task.state });
        }
        // The tick that ends it is on its way: the leader before may have been away for long.
        if task.due(self.now).is_some() {
            return Err(Rejection::invalid(&format!("it is too late to start task {}", task.id)));
        }
        self.check_hold(&task.spec.class, starts)?;
        let worker = self.worker(&assignment.worker)?;
        self.check_worker(&task, &worker)?;
        match ahead {
            // Others wait there for the room that attempts leave.
            None => {
                check_free(&task, &worker, self.state.load(&worker.id).map(WorkerLoad::claimed))?;
            }
            Some(_) => self.check_queue(&task, &worker)?,
        }

        self.count_start(&task.spec.class, starts);
        let number = self.meta.generation.next_attempt(&task);
        let mut attempts = task.attempts.clone();
        if attempts.len() >= self.limits().attempts_kept_max {
            attempts.remove(0);
        }
        attempts.push(Attempt {
            number,
            worker: worker.id.clone(),
            epoch: worker.epoch,
            assigned_at: self.now,
            started_at: None,
            finished_at: None,
            stop: None,
            outcome: None,
            usage: None,
        });
        self.put_task(Task {
            state: TaskState::Assigned,
            reason: None,
            attempts,
            ahead,
            ..Task::clone(&task)
        });
        self.begin_trial(&worker.id, AttemptRef { task: task.id, attempt: number });
        Ok(number)
    }

    fn check_worker(&self, task: &Task, worker: &Worker) -> Result<(), Rejection> {
        let class = &task.spec.class;
        let name = || worker.id.as_str().into();
        if !worker.is_active() {
            return Err(Rejection::InactiveWorker { worker: name() });
        }
        if worker.scheduling != Scheduling::Open {
            return Err(Rejection::ClosedWorker { worker: name() });
        }
        if !worker.takes_tasks() {
            return Err(Rejection::UnhealthyWorker { worker: name() });
        }
        if !class.allows(worker) {
            return Err(Rejection::ConstraintViolated { task: task.id, worker: name() });
        }
        Ok(())
    }

    /// Checks that the worker could run the task when it is empty, and that not too many wait there.
    fn check_queue(&self, task: &Task, worker: &Worker) -> Result<(), Rejection> {
        let name = || worker.id.as_str().into();
        if worker.health.is_on_probation() {
            return Err(Rejection::UnhealthyWorker { worker: name() });
        }
        let wanted = &task.spec.class.resources;
        worker
            .total()
            .covers(wanted)
            .map_err(|shortage| Rejection::Oversubscribed { worker: name(), shortage })?;

        let Some(load) = self.state.load(&worker.id) else { return Ok(()) };
        let most = self.limits().attempts_ahead_max;
        let fits = load.claimed().checked_add(wanted).is_some();
        if load.ahead.len() >= most || !fits {
            return Err(Rejection::limit("attempts that wait at a worker", most));
        }
        Ok(())
    }

    /// Returns whether what is allocated on its worker leaves room for the task, if it has waited
    /// there for some. Otherwise the worker has yet to report what ended before: it repeats its word.
    pub(super) fn has_room_to_start(&self, task: &Task) -> bool {
        let Some(attempt) = task.live_attempt().filter(|_| task.ahead.is_some()) else {
            return true;
        };
        let Some(worker) = self.state.worker(&attempt.worker) else { return false };
        let allocated = self.state.load(&worker.id).map(|load| load.allocated.clone());
        check_free(task, worker, allocated).is_ok()
    }
}

fn check_free(task: &Task, worker: &Worker, taken: Option<Resources>) -> Result<(), Rejection> {
    let free = worker.total().saturating_sub(&taken.unwrap_or_default());
    free.covers(&task.spec.class.resources).map_err(|shortage| Rejection::Oversubscribed {
        worker: worker.id.as_str().into(),
        shortage,
    })
}
