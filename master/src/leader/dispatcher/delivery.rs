//! Delivers orders to one worker, and records its answer.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AttemptOutcome, AttemptRef, Command, Epoch, FinishAttempts, FinishedAttempt, HoldAttempts,
    LossReason, StartAttempts, Task, WorkerId, millis,
};
use proto::convert::{self, Invalid};
use proto::v1;
use proto::worker_client::{WorkerCallError, WorkerClient};
use raft_store::ProposeError;

use super::STOP_GRACE;
use super::call_records::DeliveryFailure;
use crate::leader::state::LeaderState;

/// Longest time of one call. A worker answers before its processes run, so this allows for the
/// network only.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Orders for one worker.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) worker: WorkerId,
    pub(super) address: String,
    pub(super) epoch: Epoch,
    pub(super) content: Content,
}

/// Content of a call.
#[derive(Debug)]
pub(super) enum Content {
    /// Attempts to run and attempts to stop.
    Attempts { run: Vec<Arc<Task>>, stop: Vec<AttemptRef> },
    /// The leader's name, to see whether the worker can be called; `known` is the recorded reason
    /// for which it cannot.
    Probe { known: String },
}

/// End of a call.
#[derive(Debug, Default)]
pub(super) struct CallEnd {
    /// Attempts that the worker is stopping.
    pub(super) stopped: Vec<AttemptRef>,
    /// Reason why not everything was achieved.
    pub(super) failure: Option<DeliveryFailure>,
}

/// Reason why an order could not be delivered, or its answer not recorded.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Call(#[from] WorkerCallError),
    #[error(transparent)]
    Record(#[from] ProposeError),
    #[error(transparent)]
    Malformed(#[from] Invalid),
}

/// Delivers orders. Orders to stop go first, and regardless of the others: a worker that is too
/// busy to take more must still be relieved.
pub(super) async fn deliver(
    leader: &LeaderState,
    client: &WorkerClient,
    orders: &Orders,
) -> CallEnd {
    let (run, stop) = match &orders.content {
        Content::Attempts { run, stop } => (run, stop),
        Content::Probe { .. } => {
            let failure = probe(leader, client, orders).await.err();
            return CallEnd { stopped: Vec::new(), failure };
        }
    };

    let mut end = CallEnd::default();
    if !stop.is_empty() {
        match cancel(leader, client, orders, stop).await {
            Ok(()) => end.stopped.clone_from(stop),
            Err(error) => end.failure = Some(failure_of(leader, orders, error)),
        }
    }

    let is_there = !matches!(end.failure, Some(DeliveryFailure::Unreachable(_)));
    if !run.is_empty() && is_there {
        match assign(leader, client, orders, run).await {
            Ok(Taken::All) => {}
            Ok(Taken::Some) => end.failure = Some(DeliveryFailure::NoRoom),
            Err(error) => end.failure = Some(failure_of(leader, orders, error)),
        }
    }
    end
}

fn failure_of(leader: &LeaderState, orders: &Orders, error: CallError) -> DeliveryFailure {
    match error {
        CallError::Call(WorkerCallError::Unreachable(reason)) => {
            DeliveryFailure::Unreachable(reason)
        }
        CallError::Call(WorkerCallError::NewerTerm(seen)) => {
            leader.on_newer_term(&orders.worker, seen);
            DeliveryFailure::Refused(format!("it obeys a newer leader, of term {seen}"))
        }
        CallError::Call(error @ WorkerCallError::Refused(_)) => {
            DeliveryFailure::Refused(error.to_string())
        }
        CallError::Malformed(error) => {
            DeliveryFailure::Refused(format!("it answers nonsense: {error}"))
        }
        CallError::Record(error) => DeliveryFailure::NotRecorded(error.to_string()),
    }
}

/// Calls a worker to see whether it can be called again.
async fn probe(
    leader: &LeaderState,
    client: &WorkerClient,
    orders: &Orders,
) -> Result<(), DeliveryFailure> {
    let request = v1::MasterRegisterRequest {
        leader: leader.header(),
        worker_id: orders.worker.to_string(),
        masters: leader.masters(),
    };
    match client.master_register(request, CALL_TIMEOUT).await {
        Ok(_) => Ok(()),
        // Somebody answers, but orders would not reach the worker.
        Err(WorkerCallError::Refused(reason)) => Err(DeliveryFailure::Unreachable(reason)),
        Err(error) => Err(failure_of(leader, orders, error.into())),
    }
}

/// The share of its attempts that a worker took.
enum Taken {
    All,
    Some,
}

/// Orders a worker to run attempts, and records which of them it took.
async fn assign(
    leader: &LeaderState,
    client: &WorkerClient,
    orders: &Orders,
    run: &[Arc<Task>],
) -> Result<Taken, CallError> {
    let assignments = convert::assignments(run.iter().map(|task| &**task));
    let sent = assignments.len();
    let request = v1::AssignTaskRequest {
        leader: leader.header(),
        worker_id: orders.worker.to_string(),
        epoch: orders.epoch.0,
        assignments,
    };
    let response = client.assign(request, CALL_TIMEOUT).await?;
    let accepted = convert::attempt_refs(response.accepted)?;
    let taken = if accepted.len() < sent { Taken::Some } else { Taken::All };

    // Short attempts have ended by now: their results need no start before.
    let (term, worker, epoch) = (leader.term, orders.worker.clone(), orders.epoch);
    let (waiting, started) = leader.node.reader().with(|state| {
        let task = |attempt: &AttemptRef| state.task(attempt.task);
        let unconfirmed =
            |attempt: &AttemptRef| task(attempt).is_some_and(|task| task.is_unconfirmed());
        let attempts = accepted.into_iter().filter(unconfirmed);
        attempts.partition::<Vec<_>, _>(|one| task(one).is_some_and(|task| task.ahead.is_some()))
    });
    if !started.is_empty() {
        let worker = worker.clone();
        let started = StartAttempts { term, worker, epoch, attempts: started };
        leader.node.propose_as_leader(term, &Command::StartAttempts(started)).await?;
    }
    if !waiting.is_empty() {
        let waiting = HoldAttempts { term, worker, epoch, attempts: waiting };
        leader.node.propose_as_leader(term, &Command::HoldAttempts(waiting)).await?;
    }
    Ok(taken)
}

/// Orders a worker to stop attempts, and records as lost those that it does not know.
async fn cancel(
    leader: &LeaderState,
    client: &WorkerClient,
    orders: &Orders,
    stop: &[AttemptRef],
) -> Result<(), CallError> {
    let request = v1::CancelTaskRequest {
        leader: leader.header(),
        worker_id: orders.worker.to_string(),
        attempts: stop.iter().map(|one| (*one).into()).collect(),
        grace_ms: millis(STOP_GRACE),
    };
    let response = client.cancel(request, CALL_TIMEOUT).await?;
    let unknown = convert::attempt_refs(response.unknown)?;
    if unknown.is_empty() {
        return Ok(());
    }

    // The worker will not report attempts that it never had or has forgotten.
    let lost = AttemptOutcome::Lost(LossReason::UnknownToWorker);
    let attempts = unknown
        .into_iter()
        .map(|attempt| FinishedAttempt { attempt, outcome: lost.clone(), report: None })
        .collect();
    let command = Command::FinishAttempts(FinishAttempts {
        worker: orders.worker.clone(),
        epoch: orders.epoch,
        attempts,
    });
    leader.node.propose_as_leader(leader.term, &command).await?;
    Ok(())
}
