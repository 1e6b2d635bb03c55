//! The registry, and what a worker and the state agree on when it connects.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Apply;
use crate::{
    AttemptOutcome, AttemptRef, AttemptVerdict, ConnectWorker, Departed, DisconnectWorkers, Epoch,
    Limits, LossReason, RegisterWorker, Rejection, Reply, Resume, Scheduling, SchedulingOrder,
    Specs, Task, Term, Worker, WorkerEvent, WorkerEventKind, WorkerId, WorkerReason, WorkerStatus,
};

impl Apply<'_> {
    /// Registers a worker, which may be offline. For one that is registered it updates address
    /// and labels, and touches nothing else: without an address, the known one stays.
    pub(super) fn register_worker(&mut self, command: RegisterWorker) -> Result<Reply, Rejection> {
        let RegisterWorker { worker: id, address, labels } = command;
        let Some(known) = self.state.worker(&id).cloned() else {
            let worker = self.new_worker(id, address, labels)?;
            self.remove_departed(&worker.id);
            self.put_worker(worker);
            return Ok(Reply::Done);
        };
        let address = address.or_else(|| known.address.clone());
        let is_same = known.address == address && known.labels == labels;
        if !is_same {
            let worker = Worker { address, labels, ..Worker::clone(&known) };
            self.put_worker(self.noted(worker, WorkerEventKind::Updated));
        }
        Ok(Reply::Done)
    }

    fn new_worker(
        &self,
        id: WorkerId,
        address: Option<String>,
        labels: BTreeMap<String, String>,
    ) -> Result<Worker, Rejection> {
        if self.state.workers().len() >= Limits::WORKERS_MAX {
            return Err(Rejection::limit("workers", Limits::WORKERS_MAX));
        }
        let worker = Worker {
            id,
            address,
            labels,
            status: WorkerStatus::Inactive,
            scheduling: Scheduling::Open,
            reason: WorkerReason::Preregistered,
            epoch: Epoch(0),
            incarnation: None,
            sequence: 0,
            specs: None,
            registered_at: self.now,
            changed_at: self.now,
            history: Vec::new(),
            index: self.index,
        };
        Ok(self.noted(worker, WorkerEventKind::Registered))
    }

    /// The worker with one more line of history.
    fn noted(&self, mut worker: Worker, kind: WorkerEventKind) -> Worker {
        if worker.history.len() >= Limits::WORKER_EVENTS_KEPT_MAX {
            worker.history.remove(0);
        }
        worker.history.push(WorkerEvent { at: self.now, index: self.index, kind });
        worker
    }

    /// Changes some of the operator's labels.
    pub(super) fn label_worker(
        &mut self,
        id: &WorkerId,
        set: BTreeMap<String, String>,
        remove: &[String],
    ) -> Result<Reply, Rejection> {
        let known = self.worker(id)?;
        let mut labels = known.labels.clone();
        labels.retain(|label, _| !remove.contains(label));
        labels.extend(set);
        if labels != known.labels {
            let worker = Worker { labels, ..Worker::clone(&known) };
            self.put_worker(self.noted(worker, WorkerEventKind::Updated));
        }
        Ok(Reply::Done)
    }

    /// Opens or closes a worker to new tasks, or empties it.
    pub(super) fn set_scheduling(
        &mut self,
        id: &WorkerId,
        order: SchedulingOrder,
    ) -> Result<Reply, Rejection> {
        let known = self.worker(id)?;
        let (scheduling, kind) = match order {
            SchedulingOrder::Cordon => (Scheduling::Cordoned, WorkerEventKind::Cordoned),
            SchedulingOrder::Uncordon => (Scheduling::Open, WorkerEventKind::Uncordoned),
            SchedulingOrder::Drain { timeout } => {
                if timeout.is_some_and(|timeout| timeout > Limits::OPERATOR_TIMEOUT_MAX) {
                    return Err(Rejection::invalid("a drain takes at most ten years"));
                }
                let deadline = timeout.map(|timeout| self.now.after(timeout));
                (Scheduling::Draining { deadline }, WorkerEventKind::DrainStarted)
            }
        };
        // Whoever cordons a worker that is being drained does not mean to keep it full.
        let is_weaker = order == SchedulingOrder::Cordon && known.scheduling != Scheduling::Open;
        if scheduling != known.scheduling && !is_weaker {
            let worker = Worker { scheduling, ..Worker::clone(&known) };
            self.put_worker(self.noted(worker, kind));
        }
        Ok(Reply::Done)
    }

    /// The deadline of a drain has passed: what still runs there is told to stop.
    pub(super) fn end_drain(&mut self, id: &WorkerId) {
        let Some(known) = self.state.worker(id).cloned() else { return };
        self.stop_attempts(id);
        let worker = Worker { scheduling: Scheduling::Emptying, ..Worker::clone(&known) };
        self.put_worker(self.noted(worker, WorkerEventKind::DrainDeadlinePassed));
    }

    /// Takes a worker off the registry; what it runs is given to others. One that was connected
    /// once may still run: it is to be told.
    pub(super) fn unregister_worker(&mut self, id: &WorkerId) -> Result<Reply, Rejection> {
        let known = self.worker(id)?;
        self.lose_attempts(id, LossReason::WorkerUnregistered);
        self.remove_worker(id);
        if let (Some(address), Some(_)) = (&known.address, known.incarnation) {
            let (worker, address) = (id.clone(), address.clone());
            self.put_departed(Departed { worker, address, at: self.now });
        }
        Ok(Reply::Done)
    }

    /// Workers that were taken off the registry know it.
    pub(super) fn forget_departed(
        &mut self,
        term: Term,
        workers: &[WorkerId],
    ) -> Result<Reply, Rejection> {
        self.check_term(term)?;
        for worker in workers {
            self.remove_departed(worker);
        }
        Ok(Reply::Done)
    }

    /// The worker that connects: registered, or admitted by a token now.
    fn admitted(&mut self, command: &ConnectWorker) -> Result<Arc<Worker>, Rejection> {
        match (self.state.worker(&command.worker), &command.token) {
            (Some(known), _) => Ok(Arc::clone(known)),
            (None, Some(token)) => {
                self.check_token(token)?;
                let address = command.address.clone();
                self.new_worker(command.worker.clone(), address, BTreeMap::new()).map(Arc::new)
            }
            (None, None) => self.worker(&command.worker),
        }
    }

    /// Reconciles what a worker says with the state, results first: a result that survived the
    /// worker's own restart still counts if its attempt was not given to another.
    pub(super) fn connect_worker(&mut self, command: ConnectWorker) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        let before = self.admitted(&command)?;
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
            .map(|reported| (reported, self.verdict(&before, reported)))
            .collect::<Vec<_>>();
        self.reconcile_attempts(&before, is_same_process, epoch, &running);

        let specs = self.acceptable_specs(&before, command.specs);
        let changed_at = if before.is_active() { before.changed_at } else { self.now };
        let address = command.address.or_else(|| before.address.clone());
        let event = match (before.is_active(), resumes) {
            (false, _) => Some(WorkerEventKind::Connected(epoch)),
            (true, false) => Some(WorkerEventKind::Replaced(epoch)),
            (true, true) if address != before.address => Some(WorkerEventKind::Updated),
            (true, true) => None,
        };
        let after = Worker {
            address,
            status: WorkerStatus::Active,
            reason: WorkerReason::Registered,
            epoch,
            incarnation: Some(command.incarnation),
            sequence: command.sequence,
            specs: Some(specs),
            changed_at,
            ..Worker::clone(&before)
        };
        self.remove_departed(&after.id);
        let after = match event {
            Some(kind) => self.noted(after, kind),
            None => after,
        };
        self.put_worker(after);
        Ok(Reply::Connected(Resume { epoch, running, finished }))
    }

    /// A new process of a worker runs nothing of the old one, but what it names it has results of.
    fn verdict(&self, worker: &Worker, reported: AttemptRef) -> AttemptVerdict {
        let live = self.state.task(reported.task).and_then(|task| task.live_attempt());
        let is_current =
            live.is_some_and(|live| live.number == reported.attempt && live.worker == worker.id);
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
            let is_reported = kept.contains_key(&id);
            if !is_same_process && !is_reported {
                self.settle(task, AttemptOutcome::Lost(LossReason::WorkerRestarted));
                continue;
            }
            let Some(attempt) = task.attempts.last_mut() else { continue };
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
                let worker = Worker {
                    status: WorkerStatus::Inactive,
                    reason: WorkerReason::Disconnected(command.reason),
                    changed_at: self.now,
                    ..Worker::clone(&worker)
                };
                let event = WorkerEventKind::Disconnected(command.reason);
                self.put_worker(self.noted(worker, event));
            }
        }
        Ok(Reply::Done)
    }
}
