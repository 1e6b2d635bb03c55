//! Which workers cannot be called or cannot start programs, and how they come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Apply;
use crate::{
    Attempt, AttemptOutcome, AttemptRef, ChangeHealth, Health, HealthFinding, Limits, Probation,
    Rejection, Reply, Suspension, SuspensionCause, Task, TaskId, Trouble, Worker, WorkerEventKind,
    WorkerId,
};

impl Apply<'_> {
    /// Records what was found out about workers. One that has registered again since is left alone.
    pub(super) fn change_health(&mut self, command: ChangeHealth) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        for change in command.changes {
            let Some(worker) = self.state.worker(&change.worker).map(Arc::clone) else { continue };
            if worker.is_active() && worker.epoch == change.epoch {
                let health = self.found(worker.health.clone(), change.finding);
                self.put_health(&worker, health);
            }
        }
        Ok(Reply::Done)
    }

    fn found(&self, mut health: Health, finding: HealthFinding) -> Health {
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

    /// The trouble with its newest reason, since it began.
    fn trouble(&self, known: Option<&Trouble>, detail: String) -> Trouble {
        Trouble { detail, since: known.map_or(self.now, |known| known.since) }
    }

    /// The health of a worker that registers, given what it says of itself.
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
            // Another process, or one that listens elsewhere, may well be reached.
            unreachable: known.unreachable.filter(|_| !is_new && !moves),
            reported: unfit.map(|detail| self.trouble(known.reported.as_ref(), detail)),
            suspension: known.suspension.filter(|_| is_same_process),
            failed_starts: if is_same_process { known.failed_starts } else { Vec::new() },
        }
    }

    /// Writes a worker's health, with a line in its history where it turned.
    pub(super) fn put_health(&mut self, worker: &Worker, health: Health) {
        if health != worker.health {
            let noted = self.with_health(Worker::clone(worker), health);
            self.put_worker(noted);
        }
    }

    /// The worker with this health, and a line in its history where it turned.
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

    /// Draws from an attempt's end what it says about its worker, and about the workers on which
    /// the task failed to start before. `task` has the outcome as its last attempt's.
    pub(super) fn judge_start(&mut self, task: &Task) {
        let Some(last) = task.last_attempt() else { return };
        let Some(outcome) = &last.outcome else { return };
        let attempt = AttemptRef { task: task.id, attempt: last.number };
        let elsewhere = failed_elsewhere(task, last);
        match outcome {
            // One that was stopped may not have come to its turn.
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
                // It starts nowhere: that says nothing about any worker.
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
        self.change(worker, |health, _| {
            let is_known = health.failed_starts.contains(&task);
            if !is_known && health.failed_starts.len() < Limits::FAILED_STARTS_MAX {
                health.failed_starts.push(task);
            }
        });
        let failed = self.state.worker(worker).map_or(0, |one| one.health.failed_starts.len());
        // Without another one to start programs there is nothing to compare with.
        let has_other = self.state.takes_tasks_beside(worker);
        if failed >= Limits::FAILED_STARTS_MAX && has_other {
            self.suspend(worker, SuspensionCause::FailedStarts, detail);
        }
    }

    /// Takes back what a task's failed start was held against a worker.
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

    /// Suspends a worker that is not suspended.
    fn suspend(&mut self, worker: &WorkerId, cause: SuspensionCause, detail: &str) {
        self.change(worker, |health, now| {
            if health.suspension.is_none() {
                let trouble = Trouble { detail: detail.to_owned(), since: now };
                let probation = Probation::Resting { until: now.after(Suspension::rest(1)) };
                health.suspension = Some(Suspension { trouble, cause, count: 1, probation });
            }
        });
    }

    /// The attempt with which a suspended worker was tried has ended: it rests for longer, or is
    /// tried again where the attempt showed nothing.
    fn end_trial(&mut self, worker: &WorkerId, attempt: AttemptRef, failed: Option<&str>) {
        self.change(worker, |health, now| {
            if !health.tries(attempt) {
                return;
            }
            let Some(suspension) = &mut health.suspension else { return };
            suspension.probation = Probation::Open;
            if let Some(detail) = failed {
                suspension.trouble.detail = detail.to_owned();
                suspension.count = suspension.count.saturating_add(1);
                let until = now.after(Suspension::rest(suspension.count));
                suspension.probation = Probation::Resting { until };
            }
        });
    }

    /// A suspended worker is tried with this attempt.
    pub(super) fn begin_trial(&mut self, worker: &WorkerId, attempt: AttemptRef) {
        self.change(worker, |health, _| {
            if let Some(suspension) = &mut health.suspension {
                suspension.probation = Probation::Trying { attempt, until: None };
            }
        });
    }

    /// The worker has confirmed an attempt. Whether its program starts shows within moments.
    pub(super) fn confirm_trial(&mut self, worker: &WorkerId, attempt: AttemptRef) {
        self.change(worker, |health, now| {
            if health.tries(attempt)
                && let Some(suspension) = &mut health.suspension
            {
                let until = Some(now.after(Limits::TRIAL_MIN));
                suspension.probation = Probation::Trying { attempt, until };
            }
        });
    }

    /// A suspension goes on to its next phase: the worker has rested, or its trial has not failed.
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

/// The other workers on which the task failed to start, and why.
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
