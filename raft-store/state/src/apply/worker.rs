//! The registry, and what a worker and the state agree on when it connects.

use std::collections::BTreeMap;

use super::Apply;
use crate::{
    AttemptOutcome, AttemptRef, AttemptVerdict, ConnectWorker, DisconnectWorkers, Epoch, Limits,
    LossReason, RegisterWorker, Rejection, Reply, Resume, Specs, Task, Worker, WorkerId,
    WorkerReason, WorkerStatus,
};

impl Apply<'_> {
    /// Registers a worker, which may be offline. For one that is registered it updates address
    /// and labels, and touches nothing else.
    pub(super) fn register_worker(&mut self, command: RegisterWorker) -> Result<Reply, Rejection> {
        let RegisterWorker { worker: id, address, labels } = command;
        let Some(known) = self.state.worker(&id).cloned() else {
            if self.state.workers().len() >= Limits::WORKERS_MAX {
                return Err(Rejection::limit("workers", Limits::WORKERS_MAX));
            }
            self.put_worker(Worker {
                id,
                address,
                labels,
                status: WorkerStatus::Inactive,
                reason: WorkerReason::Preregistered,
                epoch: Epoch(0),
                incarnation: None,
                sequence: 0,
                specs: None,
                registered_at: self.now,
                changed_at: self.now,
                index: self.index,
            });
            return Ok(Reply::Done);
        };
        let is_same = known.address == address && known.labels == labels;
        if !is_same {
            self.put_worker(Worker { address, labels, ..Worker::clone(&known) });
        }
        Ok(Reply::Done)
    }

    /// Takes a worker off the registry; what it runs is given to others.
    pub(super) fn unregister_worker(&mut self, id: &WorkerId) -> Result<Reply, Rejection> {
        self.worker(id)?;
        self.lose_attempts(id, LossReason::WorkerUnregistered);
        self.remove_worker(id);
        Ok(Reply::Done)
    }

    /// Reconciles what a worker says with the state, results first: a result that survived the
    /// worker's own restart still counts if its attempt was not given to another.
    pub(super) fn connect_worker(&mut self, command: ConnectWorker) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        let before = self.worker(&command.worker)?;
        let is_same_process = before.incarnation == Some(command.incarnation);
        if is_same_process && command.sequence < before.sequence {
            let (sequence, current) = (command.sequence, before.sequence);
            return Err(Rejection::LateRegistration { sequence, current });
        }
        let resumes = is_same_process && before.is_active();
        let epoch = if resumes { before.epoch } else { before.epoch.next() };

        let finished = command
            .finished
            .into_iter()
            .map(|finished| {
                self.finish_attempt(finished, |attempt, number| {
                    attempt.number == number && attempt.worker == command.worker
                })
            })
            .collect();
        let running = command
            .running
            .into_iter()
            .map(|reported| (reported, self.verdict(&before, is_same_process, reported)))
            .collect::<Vec<_>>();
        self.reconcile_attempts(&before, is_same_process, epoch, &running);

        let specs = self.acceptable_specs(&before, command.specs);
        let changed_at = if before.is_active() { before.changed_at } else { self.now };
        self.put_worker(Worker {
            address: command.address.or_else(|| before.address.clone()),
            status: WorkerStatus::Active,
            reason: WorkerReason::Registered,
            epoch,
            incarnation: Some(command.incarnation),
            sequence: command.sequence,
            specs: Some(specs),
            changed_at,
            ..Worker::clone(&before)
        });
        Ok(Reply::Connected(Resume { epoch, running, finished }))
    }

    fn verdict(
        &self,
        worker: &Worker,
        is_same_process: bool,
        reported: AttemptRef,
    ) -> AttemptVerdict {
        let is_current =
            is_same_process
                && self.state.task(reported.task).and_then(|task| task.live_attempt()).is_some_and(
                    |live| live.number == reported.attempt && live.worker == worker.id,
                );
        if is_current { AttemptVerdict::Keep } else { AttemptVerdict::Kill }
    }

    /// Goes through the attempts that the state has on the worker.
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
        let Some(load) = self.state.load(&worker.id) else { return };
        for id in load.attempts.clone() {
            let Some(mut task) = self.state.task(id).map(|task| Task::clone(task)) else {
                continue;
            };
            if !is_same_process {
                self.settle(task, AttemptOutcome::Lost(LossReason::WorkerRestarted));
                continue;
            }
            let Some(attempt) = task.attempts.last_mut() else { continue };
            let is_reported = kept.contains_key(&id);
            let was_started = attempt.started_at.is_some();
            if was_started && !is_reported {
                self.settle(task, AttemptOutcome::Lost(LossReason::UnknownToWorker));
                continue;
            }
            let changes_epoch = attempt.epoch != epoch;
            attempt.epoch = epoch;
            if is_reported && !was_started {
                self.put_started(task);
            } else if changes_epoch {
                // It runs on, or the dispatcher has yet to deliver it.
                self.put_task(task);
            }
        }
    }

    /// What a worker has must cover what runs on it: a running process that suddenly reports less
    /// keeps its earlier figures.
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

    /// Marks workers as inactive. Their attempts stay theirs until the lease ends.
    pub(super) fn disconnect_workers(
        &mut self,
        command: &DisconnectWorkers,
    ) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        for (id, epoch) in &command.workers {
            let Some(worker) = self.state.worker(id).cloned() else { continue };
            if worker.is_active() && worker.epoch == *epoch {
                self.put_worker(Worker {
                    status: WorkerStatus::Inactive,
                    reason: WorkerReason::Disconnected(command.reason),
                    changed_at: self.now,
                    ..Worker::clone(&worker)
                });
            }
        }
        Ok(Reply::Done)
    }
}
