//! Keeps tasks from workers that cannot be called or cannot start programs, until they can again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Apply;
use crate::{
    Attempt, AttemptOutcome, AttemptRef, ChangeHealth, Health, HealthFinding, Probation, Rejection,
    Reply, Suspension, SuspensionCause, Task, TaskId, Trouble, Worker, WorkerEventKind, WorkerId,
};

impl Apply<'_> {
    /// Records findings about the health of workers. Skips a worker that has registered again
    /// since.
    pub(super) fn change_health(&mut self, command: ChangeHealth) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        for change in command.changes {
            let Some(worker) = self.state.worker(&change.worker).map(Arc::clone) else { continue };
            if worker.is_active() && worker.epoch == change.epoch {
                let health = self.with_finding(worker.health.clone(), change.finding);
                self.put_health(&worker, health);
            }
        }
        Ok(Reply::Done)
    }

    fn with_finding(&self, mut health: Health, finding: HealthFinding) -> Health {
        match finding {
            HealthFinding::Unreachable { detail } => {
                health.unreachable = Some(self.trouble(health.unreachable.as_ref(), detail));
            }
            HealthFinding::Reachable => health.unreachable = None,
            HealthFinding::Unfit { detail } => {
                health.reported = Some(self.trouble(health.reported.as_ref(), detail));
            }
            HealthFinding::Fit => health.reported = None,
        }
        health
    }

    /// Returns the trouble with its newest reason and the time at which it began.
    fn trouble(&self, known: Option<&Trouble>, detail: String) -> Trouble {
        Trouble { detail, since: known.map_or(self.now, |known| known.since) }
    }

    /// Returns the health of a worker that registers, given its own report.
    pub(super) fn health_at_registration(
        &self,
        before: &Worker,
        is_same_process: bool,
        moves: bool,
        unfit: Option<String>,
    ) -> Health {
        let known = before.health.clone();
        let is_new = !is_same_process || !before.is_active();
        Health {
            // Another process, or another address, may well be reachable.
            unreachable: known.unreachable.filter(|_| !is_new && !moves),
            reported: unfit.map(|detail| self.trouble(known.reported.as_ref(), detail)),
            suspension: known.suspension.filter(|_| is_same_process),
            failed_starts: if is_same_process { known.failed_starts } else { Vec::new() },
        }
    }

    /// Writes a worker's health, and an event into its history if its reachability or fitness
    /// turned.
    pub(super) fn put_health(&mut self, worker: &Worker, health: Health) {
        if health != worker.health {
            let noted = self.with_health(Worker::clone(worker), health);
            self.put_worker(noted);
        }
    }

    /// Returns the worker with this health, and with an event in its history if its reachability or
    /// fitness turned.
    pub(super) fn with_health(&self, mut worker: Worker, health: Health) -> Worker {
        let before = std::mem::replace(&mut worker.health, health);
        let detail = |trouble: Option<&Trouble>| trouble.map(|trouble| trouble.detail.clone());
        let reach =
            (detail(before.unreachable.as_ref()), detail(worker.health.unreachable.as_ref()));
        let fitness = (detail(before.unfit()), detail(worker.health.unfit()));
        let mut events = Vec::new();
        match reach {
            (None, Some(detail)) => events.push(WorkerEventKind::Unreachable(detail)),
            (Some(_), None) => events.push(WorkerEventKind::Reachable),
            (None, None) | (Some(_), Some(_)) => {}
        }
        match fitness {
            (None, Some(detail)) => events.push(WorkerEventKind::Unfit(detail)),
            (Some(_), None) => events.push(WorkerEventKind::Fit),
            (None, None) | (Some(_), Some(_)) => {}
        }
        events.into_iter().fold(worker, |worker, event| self.noted(worker, event))
    }

    /// Judges, by the end of an attempt, the fitness of its worker and of the workers on which the
    /// task failed to start before. The outcome is already in the last attempt of `task`.
    pub(super) fn judge_start(&mut self, task: &Task) {
        let Some(last) = task.last_attempt() else { return };
        let Some(outcome) = &last.outcome else { return };
        let attempt = AttemptRef { task: task.id, attempt: last.number };
        let elsewhere = failed_elsewhere(task, last);

        match outcome {
            // An attempt that was stopped may never have started its program.
            AttemptOutcome::Exited { .. } | AttemptOutcome::Signaled { .. }
                if last.stop.is_none() =>
            {
                self.change(&last.worker, |health, _| {
                    health.failed_starts.clear();
                    health.suspension = None;
                });
                for (worker, detail) in elsewhere {
                    self.count_failed_start(&worker, task.id, &detail);
                }
            }
            AttemptOutcome::StartFailed { detail } if elsewhere.is_empty() => {
                self.count_failed_start(&last.worker, task.id, detail);
                self.end_trial(&last.worker, attempt, Some(detail));
            }
            AttemptOutcome::StartFailed { .. } => {
                // The task starts nowhere, which says nothing about any worker.
                for (worker, _) in elsewhere {
                    self.acquit(&worker, task.id);
                }
                self.end_trial(&last.worker, attempt, None);
            }
            AttemptOutcome::WorkerUnfit { detail } => {
                if self.state.worker(&last.worker).is_some_and(|one| one.health.tries(attempt)) {
                    self.end_trial(&last.worker, attempt, Some(detail));
                } else {
                    self.suspend(&last.worker, SuspensionCause::MachineFault, detail);
                }
            }
            AttemptOutcome::Exited { .. }
            | AttemptOutcome::Signaled { .. }
            | AttemptOutcome::Lost(_) => self.end_trial(&last.worker, attempt, None),
        }
    }

    fn count_failed_start(&mut self, worker: &WorkerId, task: TaskId, detail: &str) {
        let most = self.limits().failed_starts_max;
        self.change(worker, |health, _| {
            let is_known = health.failed_starts.contains(&task);
            if !is_known && health.failed_starts.len() < most {
                health.failed_starts.push(task);
            }
        });
        let failed = self.state.worker(worker).map_or(0, |one| one.health.failed_starts.len());
        // Without another worker that takes tasks there is nothing to compare with.
        let has_other = self.state.takes_tasks_beside(worker);
        if failed >= most && has_other {
            self.suspend(worker, SuspensionCause::FailedStarts, detail);
        }
    }

    /// Withdraws a task's failed start as evidence against a worker.
    fn acquit(&mut self, worker: &WorkerId, task: TaskId) {
        self.change(worker, |health, _| {
            let Some(place) = health.failed_starts.iter().position(|failed| *failed == task) else {
                return;
            };
            health.failed_starts.remove(place);
            let by_starts = |one: &Suspension| one.cause == SuspensionCause::FailedStarts;
            if health.suspension.as_ref().is_some_and(by_starts) {
                health.suspension = None;
            }
        });
    }

    /// Suspends a worker, unless it is suspended already.
    fn suspend(&mut self, worker: &WorkerId, cause: SuspensionCause, detail: &str) {
        let limits = self.limits();
        self.change(worker, |health, now| {
            if health.suspension.is_none() {
                let trouble = Trouble { detail: detail.to_owned(), since: now };
                let probation =
                    Probation::Resting { until: now.after(Suspension::rest(1, limits)) };
                health.suspension = Some(Suspension { trouble, cause, count: 1, probation });
            }
        });
    }

    /// Ends the trial of a suspended worker with this attempt. The worker rests for longer if the
    /// attempt failed, and is tried again if the attempt showed nothing.
    fn end_trial(&mut self, worker: &WorkerId, attempt: AttemptRef, failed: Option<&str>) {
        let limits = self.limits();
        self.change(worker, |health, now| {
            if !health.tries(attempt) {
                return;
            }
            let Some(suspension) = &mut health.suspension else { return };
            suspension.probation = Probation::Open;
            if let Some(detail) = failed {
                suspension.trouble.detail = detail.to_owned();
                suspension.count = suspension.count.saturating_add(1);
                let until = now.after(Suspension::rest(suspension.count, limits));
                suspension.probation = Probation::Resting { until };
            }
        });
    }

    /// Begins the trial of a suspended worker with this attempt.
    pub(super) fn begin_trial(&mut self, worker: &WorkerId, attempt: AttemptRef) {
        self.change(worker, |health, _| {
            if let Some(suspension) = &mut health.suspension {
                suspension.probation = Probation::Trying { attempt, until: None };
            }
        });
    }

    /// Sets the end of a trial when the worker confirms its attempt: a program that does not start
    /// is reported within moments.
    pub(super) fn confirm_trial(&mut self, worker: &WorkerId, attempt: AttemptRef) {
        let trial = self.limits().trial_min;
        self.change(worker, |health, now| {
            if health.tries(attempt)
                && let Some(suspension) = &mut health.suspension
            {
                let until = Some(now.after(trial));
                suspension.probation = Probation::Trying { attempt, until };
            }
        });
    }

    /// Moves a due suspension to its next phase: the worker has rested, or its trial has passed.
    pub(super) fn fire_health_timer(&mut self, worker: &WorkerId) {
        self.change(worker, |health, now| {
            if health.timer().is_none_or(|at| at > now) {
                return;
            }
            let Some(suspension) = &mut health.suspension else { return };
            match suspension.probation {
                Probation::Resting { .. } => suspension.probation = Probation::Open,
                Probation::Open => {}
                Probation::Trying { .. } => {
                    health.suspension = None;
                    health.failed_starts.clear();
                }
            }
        });
    }

    fn change(&mut self, worker: &WorkerId, change: impl FnOnce(&mut Health, crate::Timestamp)) {
        let Some(worker) = self.state.worker(worker).map(Arc::clone) else { return };
        let mut health = worker.health.clone();
        change(&mut health, self.now);
        self.put_health(&worker, health);
    }
}

/// Returns the other workers on which the task failed to start, each with the reason.
fn failed_elsewhere(task: &Task, last: &Attempt) -> Vec<(WorkerId, String)> {
    let mut seen = BTreeSet::from([&last.worker]);
    let failed = task.attempts.iter().filter_map(|attempt| match &attempt.outcome {
        Some(AttemptOutcome::StartFailed { detail }) => Some((&attempt.worker, detail)),
        Some(
            AttemptOutcome::Exited { .. }
            | AttemptOutcome::Signaled { .. }
            | AttemptOutcome::WorkerUnfit { .. }
            | AttemptOutcome::Lost(_),
        )
        | None => None,
    });
    let new = failed.filter(|(worker, _)| seen.insert(*worker));
    new.map(|(worker, detail)| (worker.clone(), detail.clone())).collect()
}
