//! Extracts countable facts from changes of the replicated state. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{
    Attempt, AttemptNumber, AttemptOutcomeKind, Change, LogIndex, QueueName, Record, State, Task,
    TaskId, TaskStateKind, Timestamp, Worker, WorkerEvent, WorkerEventKind,
};

/// One thing to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// A task of a queue is over.
    TaskFinished { state: TaskStateKind, queue: QueueName },
    /// The first attempt of a task began.
    TaskStarted { waited: Duration },
    /// An attempt ended.
    AttemptEnded { outcome: AttemptOutcomeKind },
    /// A worker connected for the first time, this long after it was registered.
    WorkerConnected { after: Duration },
    /// A worker connected again after it had been inactive this long.
    WorkerReconnected { after: Duration },
    /// Another process of a worker took the place of one that was taken for connected.
    WorkerReplaced,
    /// A worker is not connected any more, after it had been active this long, if that is known.
    WorkerDisconnected { reason: &'static str, after: Option<Duration> },
}

/// The live attempts as of the last change seen: a record alone does not say what is new in it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    live: BTreeMap<TaskId, Live>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Live {
    number: AttemptNumber,
    has_started: bool,
}

impl Live {
    const fn of(attempt: &Attempt) -> Self {
        Self { number: attempt.number, has_started: attempt.started_at.is_some() }
    }
}

impl Tally {
    /// Creates the tally of a state, in time proportional to its live tasks.
    pub(super) fn of(state: &State) -> Self {
        let placed = state.loads().flat_map(|(_, load)| &load.attempts);
        let live = placed.filter_map(|id| {
            let attempt = state.task(*id)?.live_attempt()?;
            Some((*id, Live::of(attempt)))
        });
        Self { live: live.collect() }
    }

    /// Returns the facts in the change of one entry.
    pub(super) fn facts(&mut self, index: LogIndex, change: &Change) -> Vec<Fact> {
        match change {
            Change::Put(Record::Task(task)) => {
                let mut facts = self.of_task(task);
                // Such a record is written once: a task that runs again is live first.
                if task.state.is_terminal() {
                    let (state, queue) = (task.state.kind(), task.spec.class.queue.clone());
                    facts.push(Fact::TaskFinished { state, queue });
                }
                facts
            }
            Change::Put(Record::Worker(worker)) => {
                let new = worker.history.iter().filter(|event| event.index == index);
                new.filter_map(|event| of_worker(worker, event)).collect()
            }
            Change::Put(
                Record::Meta(_)
                | Record::Leader(_)
                | Record::IdempotencyKey(_)
                | Record::Departed(_)
                | Record::Token(_)
                | Record::UserToken(_)
                | Record::Issuer(_)
                | Record::Holder(_)
                | Record::Job(_)
                | Record::Cascade(_)
                | Record::MassLoss(_)
                | Record::Settings(_)
                | Record::Audit(_)
                | Record::Schedule(_)
                | Record::Queue(_)
                | Record::Orphan(_),
            )
            | Change::Delete(_) => Vec::new(),
        }
    }

    fn of_task(&mut self, task: &Task) -> Vec<Fact> {
        let Some((last, earlier)) = task.attempts.split_last() else { return Vec::new() };
        let known = self.live.get(&task.id).filter(|live| live.number == last.number).copied();
        // The end of an attempt that was not seen to live was counted before.
        let is_new = known.is_some() || last.outcome.is_none();
        if !is_new {
            return Vec::new();
        }

        let mut facts = Vec::new();
        let had_started = known.is_some_and(|live| live.has_started);
        let is_first = earlier.iter().all(|attempt| attempt.started_at.is_none());
        if let Some(started_at) = last.started_at.filter(|_| is_first && !had_started) {
            facts.push(Fact::TaskStarted { waited: started_at.since(task.queued_at()) });
        }

        match &last.outcome {
            Some(outcome) => {
                facts.push(Fact::AttemptEnded { outcome: outcome.kind() });
                self.live.remove(&task.id);
            }
            None => drop(self.live.insert(task.id, Live::of(last))),
        }
        facts
    }
}

fn of_worker(worker: &Worker, event: &WorkerEvent) -> Option<Fact> {
    match &event.kind {
        WorkerEventKind::Connected(_) => {
            let lost_at = latest_before(worker, event, |kind| {
                matches!(kind, WorkerEventKind::Disconnected(_))
            });
            let registered_at =
                latest_before(worker, event, |kind| *kind == WorkerEventKind::Registered);
            match (lost_at, registered_at) {
                (Some(at), _) => Some(Fact::WorkerReconnected { after: event.at.since(at) }),
                (None, Some(at)) => Some(Fact::WorkerConnected { after: event.at.since(at) }),
                // Its history does not go back so far.
                (None, None) => None,
            }
        }
        WorkerEventKind::Replaced(_) => Some(Fact::WorkerReplaced),
        WorkerEventKind::Disconnected(reason) => {
            let connected_at =
                latest_before(worker, event, |kind| matches!(kind, WorkerEventKind::Connected(_)));
            let after = connected_at.map(|at| event.at.since(at));
            Some(Fact::WorkerDisconnected { reason: reason.name(), after })
        }
        WorkerEventKind::Registered
        | WorkerEventKind::Updated(_)
        | WorkerEventKind::NameContested(_)
        | WorkerEventKind::Cordoned
        | WorkerEventKind::Uncordoned
        | WorkerEventKind::DrainStarted
        | WorkerEventKind::DrainDeadlinePassed
        | WorkerEventKind::Unreachable(_)
        | WorkerEventKind::Reachable
        | WorkerEventKind::Unfit(_)
        | WorkerEventKind::Fit => None,
    }
}

fn latest_before(
    worker: &Worker,
    event: &WorkerEvent,
    is_meant: impl Fn(&WorkerEventKind) -> bool,
) -> Option<Timestamp> {
    let earlier = worker.history.iter().rev().filter(|one| one.index < event.index);
    earlier.into_iter().find(|one| is_meant(&one.kind)).map(|one| one.at)
}

#[cfg(test)]
mod tests;
