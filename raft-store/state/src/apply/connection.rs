//! Reconciles a worker with the state when it connects, and marks it inactive when it falls silent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Apply;
use crate::{
    AddressSource, Ahead, Attempt, AttemptNumber, AttemptOutcome, AttemptRef, AttemptVerdict,
    ConnectWorker, DisconnectWorkers, Epoch, FinishVerdict, LeaseTimes, LossReason, OrphanEnd,
    Rejection, Reply, Resume, Specs, Task, Timestamp, WhatChanged, Worker, WorkerEventKind,
    WorkerId, WorkerReason, WorkerStatus,
};

impl Apply<'_> {
    /// Returns the worker that connects: it is registered, or its token admits it now.
    fn admitted(&mut self, command: &ConnectWorker) -> Result<Arc<Worker>, Rejection> {
        match (self.state.worker(&command.worker), &command.token) {
            (Some(known), _) => Ok(Arc::clone(known)),
            // An operator's unregistration outweighs a token until the worker's attempts have
            // ended.
            (None, Some(token)) if self.state.departed_worker(&command.worker).is_none() => {
                self.check_token(token)?;
                let (address, source) = (command.address.clone(), command.address_source);
                self.new_worker(command.worker.clone(), address, source).map(Arc::new)
            }
            (None, Some(_) | None) => self.worker(&command.worker),
        }
    }

    /// Reconciles a worker's report with the state, results first: a result that survived the
    /// worker's own restart still counts if its attempt was not given to another worker.
    pub(super) fn connect_worker(&mut self, command: ConnectWorker) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        let before = self.admitted(&command)?;
        self.state.check_claim(&before, &command.process)?;
        let incarnation = before.process.map(|process| process.incarnation);
        let is_same_process = incarnation == Some(command.process.incarnation);
        let is_same_data = before.process.is_some_and(|one| one.data == command.process.data);
        // Orders to an unreachable worker may still arrive. With a new epoch, the worker refuses
        // them.
        let is_fenced = before.health.unreachable.is_some();
        let resumes = is_same_process && before.is_active() && !is_fenced;
        let epoch = if resumes { before.epoch } else { before.epoch.next() };

        let finished = command
            .finished
            .into_iter()
            .map(|finished| {
                let is_owned = |attempt: &Attempt, number: AttemptNumber| {
                    attempt.number == number && attempt.worker == command.worker
                };
                match self.finish_attempt(finished, is_owned) {
                    Ok(()) => FinishVerdict::Accepted,
                    Err(stale) => self.keep_result(&command.worker, epoch, stale),
                }
            })
            .collect();
        let running = command
            .running
            .into_iter()
            .map(|reported| (reported, self.verdict(&before, reported)))
            .collect::<Vec<_>>();
        self.keep_stopped(&command.worker, epoch, &running);
        self.reconcile_attempts(&before, is_same_process, epoch, &running);

        // The results may have changed the worker's health.
        let before = self.state.worker(&command.worker).map_or(before, Arc::clone);
        let specs = self.acceptable_specs(&before, command.specs);
        let changed_at = if before.is_active() { before.changed_at } else { self.now };
        let (address, address_source) =
            reachable_at(&before, command.address, command.address_source);
        let event = match (before.is_active(), resumes) {
            (false, _) => Some(WorkerEventKind::Connected(epoch)),
            (true, false) if !is_same_process => Some(WorkerEventKind::Replaced(epoch)),
            (true, _) if address != before.address => {
                Some(WorkerEventKind::Updated(WhatChanged::Address))
            }
            (true, _) => None,
        };
        let moves = address != before.address;
        let health = self.health_at_registration(&before, is_same_process, moves, command.unfit);
        let after = Worker {
            address,
            address_source,
            status: WorkerStatus::Active,
            reason: WorkerReason::Registered,
            epoch,
            process: Some(command.process),
            granted: Some(command.granted),
            granted_until: self.granted_until(&before, is_same_process, command.granted),
            // A rival that is let in is a rival no longer.
            rival: before.rival.clone().filter(|_| is_same_data),
            specs: Some(specs),
            changed_at,
            last_heard: None,
            ..Worker::clone(&before)
        };
        let after = match event {
            Some(kind) => self.noted(after, kind),
            None => after,
        };
        let after = self.with_health(after, health);
        self.put_worker(after);
        Ok(Reply::Connected(Resume { epoch, running, finished }))
    }

    /// Returns the time until which an earlier, longer grant may hold: a process that is granted
    /// less than before may not know it yet.
    fn granted_until(
        &self,
        before: &Worker,
        is_same_process: bool,
        granted: LeaseTimes,
    ) -> Option<Timestamp> {
        if !is_same_process {
            return None;
        }
        let earlier = before.granted.filter(|earlier| earlier.outlast(&granted));
        let until = earlier.map(|earlier| self.now.after(earlier.requeue_after()));
        before.granted_until.max(until)
    }

    /// Returns the verdict on an attempt that the worker reports. A new process runs nothing of the
    /// old one, but has the results of the attempts that it names.
    fn verdict(&self, worker: &Worker, reported: AttemptRef) -> AttemptVerdict {
        let live = self.state.task(reported.task).and_then(|task| task.live_attempt());
        let is_current =
            live.is_some_and(|live| live.number == reported.attempt && live.worker == worker.id);
        if is_current { AttemptVerdict::Keep } else { AttemptVerdict::Kill }
    }

    /// Keeps for an operator what the worker runs, is told to stop, and the restored state has lost.
    fn keep_stopped(
        &mut self,
        worker: &WorkerId,
        epoch: Epoch,
        running: &[(AttemptRef, AttemptVerdict)],
    ) {
        for (attempt, verdict) in running {
            match verdict {
                AttemptVerdict::Keep => {}
                AttemptVerdict::Kill => {
                    self.keep_orphan(worker, epoch, *attempt, OrphanEnd::Stopped);
                }
            }
        }
    }

    /// Reconciles the attempts that the state has on the worker with those that the worker
    /// reported.
    fn reconcile_attempts(
        &mut self,
        worker: &Worker,
        is_same_process: bool,
        epoch: Epoch,
        running: &[(AttemptRef, AttemptVerdict)],
    ) {
        let kept = running
            .iter()
            .filter(|(_, verdict)| *verdict == AttemptVerdict::Keep)
            .map(|(kept, _)| (kept.task, kept.attempt))
            .collect::<BTreeMap<_, _>>();
        let is_fenced = worker.health.unreachable.is_some();

        let Some(load) = self.state.load(&worker.id) else { return };
        for id in load.attempts.clone() {
            let Some(mut task) = self.state.task(id).map(|task| Task::clone(task)) else {
                continue;
            };

            let is_reported = kept.contains_key(&id);
            if !is_same_process && !is_reported {
                self.end_attempt(task, AttemptOutcome::Lost(LossReason::WorkerRestarted), None);
                continue;
            }

            let Some(attempt) = task.attempts.last_mut() else { continue };
            // One that waited for room may have begun and ended since it was told.
            let was_started = attempt.started_at.is_some() || task.ahead == Some(Ahead::Told);
            if !is_reported && (was_started || is_fenced) {
                let reason = if was_started {
                    LossReason::UnknownToWorker
                } else {
                    LossReason::WorkerUnreachable
                };
                self.end_attempt(task, AttemptOutcome::Lost(reason), None);
                continue;
            }

            let changes_epoch = attempt.epoch != epoch;
            attempt.epoch = epoch;
            let is_news = is_reported && task.ahead == Some(Ahead::Untold);
            if is_news {
                task.ahead = Some(Ahead::Told);
            }
            if is_reported && !was_started && task.ahead.is_none() {
                self.put_started(task);
            } else if changes_epoch || is_news {
                // The attempt runs on, or the dispatcher has yet to deliver it.
                self.put_task(task);
            }
        }
    }

    /// Returns the reported specs, or the earlier ones if the reported total does not cover the
    /// worker's attempts.
    fn acceptable_specs(&self, before: &Worker, specs: Specs) -> Specs {
        let is_covered = self
            .state
            .load(&before.id)
            .is_none_or(|load| specs.total.covers(&load.allocated).is_ok());
        match &before.specs {
            Some(earlier) if !is_covered => earlier.clone(),
            _ => specs,
        }
    }

    /// Marks workers as inactive. They keep their attempts until their leases end.
    pub(super) fn disconnect_workers(
        &mut self,
        command: &DisconnectWorkers,
    ) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        for (id, epoch) in &command.workers {
            let Some(worker) = self.state.worker(id).cloned() else { continue };
            if worker.is_active() && worker.epoch == *epoch {
                let worker = Worker {
                    status: WorkerStatus::Inactive,
                    reason: WorkerReason::Disconnected(command.reason),
                    changed_at: self.now,
                    last_heard: command.last_heard.get(id).map(|at| self.now.min(*at)),
                    ..Worker::clone(&worker)
                };
                let event = WorkerEventKind::Disconnected(command.reason);
                self.put_worker(self.noted(worker, event));
            }
        }
        Ok(Reply::Done)
    }
}

/// Returns the address of a worker that connects, and the source of that address.
fn reachable_at(
    before: &Worker,
    address: Option<String>,
    source: AddressSource,
) -> (Option<String>, AddressSource) {
    let is_told_by_operator =
        before.address.is_some() && before.address_source == AddressSource::Operator;
    match (address, source) {
        (Some(_), AddressSource::Detected) | (None, _) if is_told_by_operator => {
            (before.address.clone(), before.address_source)
        }
        (Some(address), source) => (Some(address), source),
        (None, _) => (before.address.clone(), before.address_source),
    }
}
