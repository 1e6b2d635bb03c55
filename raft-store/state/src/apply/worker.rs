//! Applies commands about the registry: workers are added, changed and removed.

use std::collections::BTreeMap;

use super::Apply;
use crate::{
    AddressSource, Departed, ForgetDeparted, Health, LabelWorker, Limits, LossReason, NoteRival,
    RegisterWorker, Registered, Rejection, Reply, Rival, Scheduling, SchedulingOrder,
    SetScheduling, WhatChanged, Worker, WorkerEvent, WorkerEventKind, WorkerId, WorkerReason,
    WorkerStatus,
};

impl Apply<'_> {
    /// Registers a worker, which may be offline. If it is registered already, updates the address
    /// and labels that the command names, and nothing else.
    pub(super) fn register_worker(&mut self, command: RegisterWorker) -> Result<Reply, Rejection> {
        let RegisterWorker { worker: id, address, labels } = command;
        if let Some(labels) = &labels {
            check_labels(labels, self.limits())?;
        }
        let Some(known) = self.state.worker(&id).cloned() else {
            let worker = self.new_worker(id, address, AddressSource::Operator)?;
            let worker = Worker { labels: labels.unwrap_or_default(), ..worker };
            self.remove_departed(&worker.id);
            self.put_worker(worker);
            return Ok(Reply::Registered(Registered::New));
        };

        let changes_address = address.is_some() && address != known.address;
        let changes_labels = labels.as_ref().is_some_and(|labels| *labels != known.labels);
        let changed = match (changes_address, changes_labels) {
            (true, true) => Some(WhatChanged::AddressAndLabels),
            (true, false) => Some(WhatChanged::Address),
            (false, true) => Some(WhatChanged::Labels),
            (false, false) => None,
        };
        let address_source = match address {
            Some(_) => AddressSource::Operator,
            None => known.address_source,
        };
        let worker = Worker {
            address: address.or_else(|| known.address.clone()),
            address_source,
            labels: labels.unwrap_or_else(|| known.labels.clone()),
            ..Worker::clone(&known)
        };
        if let Some(changed) = changed {
            self.put_worker(self.noted(worker, WorkerEventKind::Updated(changed)));
        } else if worker != *known {
            self.put_worker(worker);
        }
        Ok(Reply::Registered(Registered::Known))
    }

    /// Returns the record of a worker that joins the registry, without labels. A departed worker,
    /// which may still run something, returns as the worker that it was and keeps its attempts.
    pub(super) fn new_worker(
        &self,
        id: WorkerId,
        address: Option<String>,
        address_source: AddressSource,
    ) -> Result<Worker, Rejection> {
        if self.state.workers().len() >= self.limits().workers_max {
            return Err(Rejection::limit("workers", self.limits().workers_max));
        }

        let blank = Worker {
            id,
            address,
            address_source,
            labels: BTreeMap::new(),
            status: WorkerStatus::Inactive,
            scheduling: Scheduling::Open,
            reason: WorkerReason::Preregistered,
            health: Health::default(),
            epoch: self.meta.epochs_used,
            process: None,
            granted: None,
            granted_until: None,
            rival: None,
            specs: None,
            registered_at: self.now,
            changed_at: self.now,
            last_heard: None,
            history: Vec::new(),
            index: self.index,
        };

        let worker = match self.state.departed_worker(&blank.id) {
            None => blank,
            Some(departed) => {
                let former = &departed.worker;
                Worker {
                    address: blank.address.or_else(|| former.address.clone()),
                    epoch: former.epoch,
                    process: former.process,
                    granted: former.granted,
                    granted_until: former.granted_until,
                    specs: former.specs.clone(),
                    ..blank
                }
            }
        };
        Ok(self.noted(worker, WorkerEventKind::Registered))
    }

    /// Returns the worker with one more event in its history.
    pub(super) fn noted(&self, mut worker: Worker, kind: WorkerEventKind) -> Worker {
        if worker.history.len() >= self.limits().worker_events_kept_max {
            worker.history.remove(0);
        }
        worker.history.push(WorkerEvent { at: self.now, index: self.index, kind });
        worker
    }

    /// Sets and removes some of the operator's labels.
    pub(super) fn label_worker(&mut self, command: LabelWorker) -> Result<Reply, Rejection> {
        let LabelWorker { worker, set, remove } = command;
        let known = self.worker(&worker)?;
        let mut labels = known.labels.clone();
        labels.retain(|label, _| !remove.contains(label));
        labels.extend(set);
        check_labels(&labels, self.limits())?;
        if labels != known.labels {
            let worker = Worker { labels, ..Worker::clone(&known) };
            self.put_worker(self.noted(worker, WorkerEventKind::Updated(WhatChanged::Labels)));
        }
        Ok(Reply::Done)
    }

    /// Cordons, uncordons or drains a worker.
    pub(super) fn set_scheduling(&mut self, command: &SetScheduling) -> Result<Reply, Rejection> {
        let known = self.worker(&command.worker)?;
        let (scheduling, kind) = match command.order {
            SchedulingOrder::Cordon => (Scheduling::Cordoned, WorkerEventKind::Cordoned),
            SchedulingOrder::Uncordon => (Scheduling::Open, WorkerEventKind::Uncordoned),
            SchedulingOrder::Drain { timeout } => {
                if timeout.is_some_and(|timeout| timeout > self.limits().operator_timeout_max) {
                    return Err(Rejection::too_long(
                        "a drain takes",
                        self.limits().operator_timeout_max,
                    ));
                }
                let deadline = timeout.map(|timeout| self.now.after(timeout));
                (Scheduling::Draining { deadline }, WorkerEventKind::DrainStarted)
            }
        };

        // To cordon a worker that is being drained does not end the drain.
        let is_weaker =
            command.order == SchedulingOrder::Cordon && known.scheduling != Scheduling::Open;
        if scheduling != known.scheduling && !is_weaker {
            let worker = Worker { scheduling, ..Worker::clone(&known) };
            self.put_worker(self.noted(worker, kind));
        }
        Ok(Reply::Done)
    }

    /// Stops what still runs on a worker whose drain deadline has passed.
    pub(super) fn end_drain(&mut self, id: &WorkerId) {
        let Some(known) = self.state.worker(id).cloned() else { return };
        self.stop_attempts(id);
        let worker = Worker { scheduling: Scheduling::Emptying, ..Worker::clone(&known) };
        self.put_worker(self.noted(worker, WorkerEventKind::DrainDeadlinePassed));
    }

    /// Removes a worker from the registry. A worker that was ever connected may still run
    /// something: it departs, and keeps its attempts until it has ended them.
    pub(super) fn unregister_worker(&mut self, id: &WorkerId) -> Result<Reply, Rejection> {
        let known = self.worker(id)?;

        self.meta.epochs_used = self.meta.epochs_used.max(known.epoch);
        self.remove_worker(id);
        if known.process.is_some() {
            self.put_departed(Departed { worker: known, at: self.now });
        }
        Ok(Reply::Done)
    }

    /// Forgets departed workers on which nothing runs any more, and requeues their tasks.
    pub(super) fn forget_departed(&mut self, command: &ForgetDeparted) -> Result<Reply, Rejection> {
        self.check_term(command.term)?;
        for (id, epoch) in &command.workers {
            let departed = self.state.departed_worker(id);
            if departed.is_some_and(|departed| departed.worker.epoch == *epoch) {
                self.lose_attempts(id, LossReason::WorkerUnregistered);
                self.remove_departed(id);
            }
        }
        Ok(Reply::Done)
    }

    /// Records that another worker wants a name that is taken, or that it has given up.
    pub(super) fn note_rival(&mut self, command: NoteRival) -> Result<Reply, Rejection> {
        let NoteRival { term, worker, address } = command;
        self.check_term(term)?;
        let known = self.worker(&worker)?;
        if known.rival.as_ref().map(|rival| &rival.address) == address.as_ref() {
            return Ok(Reply::Done);
        }

        let rival = address.clone().map(|address| Rival { address, since: self.now });
        let worker = Worker { rival, ..Worker::clone(&known) };
        self.put_worker(match address {
            Some(address) => self.noted(worker, WorkerEventKind::NameContested(address)),
            None => worker,
        });
        Ok(Reply::Done)
    }
}

fn check_labels(labels: &BTreeMap<String, String>, limits: &Limits) -> Result<(), Rejection> {
    if labels.len() > limits.worker_labels_max {
        return Err(Rejection::limit("labels of one worker", limits.worker_labels_max));
    }
    let bytes = labels.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    if bytes.sum::<usize>() > limits.worker_labels_bytes_max {
        let max = limits.worker_labels_bytes_max;
        return Err(Rejection::limit("bytes in the labels of one worker", max));
    }
    Ok(())
}
