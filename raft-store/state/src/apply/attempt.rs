//! Applies commands about attempts: they are started, finished, lost.

use super::Apply;
use crate::{
    Ahead, Attempt, AttemptNumber, AttemptOutcome, AttemptRef, AttemptReport, FinishAttempts,
    FinishVerdict, FinishedAttempt, LossReason, OnDisconnect, Rejection, Reply, RequeueAttempts,
    RequeueScope, StartAttempts, StopReason, Task, TaskId, TaskReason, TaskState, WorkerId,
};

impl Apply<'_> {
    /// Records that attempts are running. Skips an attempt that has ended or belongs to another
    /// worker: a confirmation may arrive after the result.
    pub(super) fn start_attempts(&mut self, command: &StartAttempts) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        for started in &command.attempts {
            let Some(task) = self.state.task(started.task) else { continue };
            let is_current = task.live_attempt().is_some_and(|attempt| {
                attempt.is_owned_by(started.attempt, &command.worker, command.epoch)
                    && attempt.started_at.is_none()
            });
            if is_current && self.has_room_to_start(task) {
                let task = Task::clone(task);
                self.put_started(task);
            }
        }
        Ok(Reply::Done)
    }

    /// Marks the live attempt as started. A task that is being cancelled keeps that state.
    pub(super) fn put_started(&mut self, mut task: Task) {
        task.note_start(self.now);
        task.ahead = None;
        let Some(attempt) = task.last_attempt() else { return };
        let worker = attempt.worker.clone();
        let started = AttemptRef { task: task.id, attempt: attempt.number };
        if task.state == TaskState::Assigned {
            task.state = TaskState::Running;
        }
        self.put_task(task);
        self.confirm_trial(&worker, started);
    }

    /// Accepts results only from the registration that owns the attempt, so that a worker that was
    /// declared lost cannot finish a task that another worker has now.
    pub(super) fn finish_attempts(&mut self, command: FinishAttempts) -> Result<Reply, Rejection> {
        let FinishAttempts { worker, epoch, attempts } = command;
        // A worker repeats under its next registration what it has said under a past one.
        let is_current = self.state.worker(&worker).is_some_and(|known| known.epoch == epoch);
        let verdicts = attempts
            .into_iter()
            .map(|finished| {
                let is_owned =
                    |attempt: &Attempt, number| attempt.is_owned_by(number, &worker, epoch);
                match self.finish_attempt(finished, is_owned) {
                    Ok(()) => FinishVerdict::Accepted,
                    Err(stale) if is_current => self.keep_result(&worker, epoch, stale),
                    Err(_) => FinishVerdict::Stale,
                }
            })
            .collect();
        Ok(Reply::Finished(verdicts))
    }

    /// Ends an attempt, or gives back its result if the worker does not own it.
    pub(super) fn finish_attempt(
        &mut self,
        finished: FinishedAttempt,
        is_owned: impl Fn(&Attempt, AttemptNumber) -> bool,
    ) -> Result<(), FinishedAttempt> {
        let AttemptRef { task, attempt: number } = finished.attempt;
        let Some(task) = self.state.task(task) else { return Err(finished) };
        if !task.live_attempt().is_some_and(|attempt| is_owned(attempt, number)) {
            return Err(finished);
        }
        let task = Task::clone(task);
        self.end_attempt(task, finished.outcome, finished.report);
        Ok(())
    }

    /// Requeues the tasks of silent workers.
    pub(super) fn requeue_attempts(
        &mut self,
        command: &RequeueAttempts,
    ) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        let mut count = 0_u32;
        for (id, epoch) in &command.workers {
            let is_still_lost = self
                .state
                .worker(id)
                .is_some_and(|worker| !worker.is_active() && worker.epoch == *epoch);
            if !is_still_lost {
                continue;
            }
            for task in self.attempts_in(id, command.scope) {
                if count >= command.attempts_max {
                    return Ok(Reply::Requeued { count, more: true });
                }
                self.lose_attempt(task, command.reason);
                count = count.saturating_add(1);
            }
        }
        Ok(Reply::Requeued { count, more: false })
    }

    fn attempts_in(&self, worker: &WorkerId, scope: RequeueScope) -> Vec<TaskId> {
        let Some(load) = self.state.load(worker) else { return Vec::new() };
        let tasks = load.attempts.iter().filter_map(|id| self.state.task(*id));
        let in_scope = tasks.filter(|task| match scope {
            RequeueScope::All => true,
            RequeueScope::OnDisconnect => task.spec.on_disconnect == OnDisconnect::Requeue,
        });
        in_scope.map(|task| task.id).collect()
    }

    /// Ends every live attempt on a worker as lost.
    pub(super) fn lose_attempts(&mut self, worker: &WorkerId, reason: LossReason) {
        for task in self.attempts_in(worker, RequeueScope::All) {
            self.lose_attempt(task, reason);
        }
    }

    fn lose_attempt(&mut self, task: TaskId, reason: LossReason) {
        if let Some(task) = self.state.task(task).map(|task| Task::clone(task)) {
            self.end_attempt(task, AttemptOutcome::Lost(reason), None);
        }
    }

    /// Stops all attempts on a worker whose drain deadline has passed. An attempt that is being
    /// stopped already keeps its reason.
    pub(super) fn stop_attempts(&mut self, worker: &WorkerId) {
        for id in self.attempts_in(worker, RequeueScope::All) {
            let Some(mut task) = self.state.task(id).map(|task| Task::clone(task)) else {
                continue;
            };
            if let Some(attempt) = task.attempts.last_mut()
                && attempt.stop.is_none()
            {
                attempt.stop = Some(StopReason::Drained);
                self.put_task(task);
            }
        }
    }

    /// Ends the live attempt and decides the next state of its task.
    pub(super) fn end_attempt(
        &mut self,
        mut task: Task,
        outcome: AttemptOutcome,
        report: Option<Box<AttemptReport>>,
    ) {
        let is_new_there = is_new_there(&task);
        // The result may arrive before the confirmation of the start.
        match outcome {
            AttemptOutcome::Exited { .. } | AttemptOutcome::Signaled { .. } => {
                task.note_start(self.now);
            }
            // It was begun, but the task has not started.
            AttemptOutcome::StartFailed { .. } => task.note_attempt_begun(self.now),
            AttemptOutcome::WorkerUnfit { .. } | AttemptOutcome::Lost(_) => {}
        }
        let Some(attempt) = task.attempts.last_mut() else { return };
        assert!(attempt.outcome.is_none(), "an attempt ends once");
        let stop = attempt.stop;
        // An attempt that was not given ahead may have found its devices in use by one that still ends.
        let is_back_for_nothing = outcome == AttemptOutcome::Lost(LossReason::NotStarted);
        let outcome = if is_back_for_nothing && self.meta.level < Ahead::LEVEL {
            AttemptOutcome::Lost(LossReason::UnknownToWorker)
        } else {
            outcome
        };
        let (outcome, end) = judged(outcome, stop, is_new_there);
        attempt.finished_at = Some(self.now);
        attempt.outcome = Some(outcome);
        // Below the level there is no encoding of it, and its leader leaves it out.
        let report = report.filter(|_| self.meta.level >= AttemptReport::LEVEL);
        if let Some(AttemptReport { usage, result }) = report.map(|report| *report) {
            attempt.usage = usage.map(Box::new);
            // A task that goes on has none: see where it is written.
            task.set_result(result);
        }
        self.judge_start(&task);

        match (stop, end) {
            // Cancelled even if the process exited with 0: it was told to stop half way.
            (Some(StopReason::Cancelled), _) => self.end(task, TaskState::Cancelled),
            (Some(StopReason::RunTimeout), _) => self.fail(task),
            (Some(StopReason::Deadline), _) => {
                task.reason = Some(TaskReason::Deadline);
                self.end(task, TaskState::Failed);
            }
            (Some(StopReason::Drained) | None, End::Success) => {
                self.end(task, TaskState::Completed);
            }
            (Some(StopReason::Drained) | None, End::Failure) if is_final(&task) => {
                task.failures = task.failures.saturating_add(1);
                task.reason = Some(TaskReason::FinalExitCode);
                self.end(task, TaskState::Failed);
            }
            (Some(StopReason::Drained) | None, End::Failure) => self.fail(task),
            (Some(StopReason::Drained) | None, End::Loss { reason, counts }) => {
                self.lose(task, reason, counts);
            }
        }
    }

    pub(super) fn end(&mut self, task: Task, state: TaskState) {
        self.put_task(Task { state, finished_at: Some(self.now), ..task });
    }

    /// Counts a failure of the task itself. The task waits for its backoff and is tried again,
    /// until it has used up its attempts.
    fn fail(&mut self, mut task: Task) {
        task.failures = task.failures.saturating_add(1);
        if task.failures >= task.spec.max_attempts {
            task.reason = Some(TaskReason::AttemptsExhausted);
            return self.end(task, TaskState::Failed);
        }
        let until = self.now.after(task.backoff(self.limits()));
        self.put_task(Task {
            state: TaskState::Scheduled { until },
            reason: Some(TaskReason::RetryBackoff),
            ..task
        });
    }

    /// Requeues a task whose worker was lost. A loss burns none of the task's attempts, but a task
    /// under which worker after worker is lost may be the cause. That one worker is lost again and again
    /// says little about it, for longer.
    fn lose(&mut self, mut task: Task, reason: Option<TaskReason>, counts: bool) {
        if counts {
            task.losses = task.losses.saturating_add(1);
        }
        if task.has_lost_too_many(self.meta.level) {
            task.reason = Some(TaskReason::LossesExhausted);
            return self.end(task, TaskState::Failed);
        }
        self.put_task(Task { state: TaskState::Queued, reason, ..task });
    }
}

/// Consequence of an attempt's outcome for its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    /// A failure of the task itself.
    Failure,
    /// A loss that is not the task's fault, unless it recurs on worker after worker.
    Loss {
        /// Reason why the task waits again, if it is worth telling.
        reason: Option<TaskReason>,
        counts: bool,
    },
}

impl End {
    fn loss(reason: LossReason) -> Self {
        let is_told = reason != LossReason::NotStarted;
        let told = is_told.then_some(TaskReason::WorkerLost);
        Self::Loss { reason: told, counts: reason.counts() }
    }
}

/// Returns an attempt's outcome as it goes on record, and its consequence. `is_new_there` says that the
/// task has not found the worker unfit before.
fn judged(
    outcome: AttemptOutcome,
    stop: Option<StopReason>,
    is_new_there: bool,
) -> (AttemptOutcome, End) {
    match outcome {
        AttemptOutcome::Exited { code: 0 } => (outcome, End::Success),
        // An attempt that a drain stopped has not failed.
        AttemptOutcome::Exited { .. } | AttemptOutcome::Signaled { .. }
            if stop == Some(StopReason::Drained) =>
        {
            let reason = LossReason::WorkerDrained;
            (AttemptOutcome::Lost(reason), End::loss(reason))
        }
        AttemptOutcome::Exited { .. }
        | AttemptOutcome::Signaled { .. }
        | AttemptOutcome::StartFailed { .. } => (outcome, End::Failure),
        // An unfit worker may be given the task several times, but counts once.
        AttemptOutcome::WorkerUnfit { .. } => {
            (outcome, End::Loss { reason: Some(TaskReason::WorkerUnfit), counts: is_new_there })
        }
        // The drain stopped the attempt before the worker had heard of it.
        AttemptOutcome::Lost(LossReason::UnknownToWorker) if stop == Some(StopReason::Drained) => {
            let reason = LossReason::WorkerDrained;
            (AttemptOutcome::Lost(reason), End::loss(reason))
        }
        AttemptOutcome::Lost(reason) => (outcome, End::loss(reason)),
    }
}

/// Returns whether the task asks not to be tried again after an end such as that of its last attempt.
fn is_final(task: &Task) -> bool {
    let outcome = task.last_attempt().and_then(|attempt| attempt.outcome.as_ref());
    let code = outcome.and_then(AttemptOutcome::exit_code);
    task.spec.timing.as_ref().is_some_and(|timing| timing.retry.is_final(code))
}

/// Returns whether the task has not found its current worker unfit before.
fn is_new_there(task: &Task) -> bool {
    let Some((last, earlier)) = task.attempts.split_last() else { return true };
    let unfit = |attempt: &Attempt| {
        attempt.worker == last.worker
            && matches!(attempt.outcome, Some(AttemptOutcome::WorkerUnfit { .. }))
    };
    !earlier.iter().any(unfit)
}
