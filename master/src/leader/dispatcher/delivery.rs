//! One call to one worker: what it is told, and what its answer says.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AttemptOutcome, AttemptRef, Command, Epoch, FinishAttempts, FinishedAttempt, LossReason,
    StartAttempts, Task, TaskState, WorkerId, millis,
};
use proto::convert::{self, Invalid};
use proto::v1;
use proto::worker_client::{WorkerCallError, WorkerClient};
use raft_store::ProposeError;

use super::contacts::Trouble;
use super::{Lead, STOP_GRACE};

/// For one call. A worker answers before its processes run, so this is patience with the network.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What one worker is to be told now.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) worker: WorkerId,
    pub(super) address: String,
    pub(super) epoch: Epoch,
    pub(super) content: Content,
}

/// What is to be said.
#[derive(Debug)]
pub(super) enum Content {
    /// What to run and what to stop.
    Attempts { run: Vec<Arc<Task>>, stop: Vec<AttemptRef> },
    /// Who leads, to see whether the worker can be called; `known` is the reason on record for
    /// which it cannot.
    Probe { known: String },
}

/// How a call ended.
#[derive(Debug, Default)]
pub(super) struct CallEnd {
    /// What the worker knows it is to stop.
    pub(super) stopped: Vec<AttemptRef>,
    /// What did not go well.
    pub(super) trouble: Option<Trouble>,
}

/// Why a worker could not be told, or its answer not recorded.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error(transparent)]
    Call(#[from] WorkerCallError),
    #[error(transparent)]
    Record(#[from] ProposeError),
    #[error(transparent)]
    Malformed(#[from] Invalid),
}

/// Says it. Orders to stop go first and whatever becomes of the rest: a worker may be too busy to
/// take more, but is always to be relieved.
pub(super) async fn deliver(lead: &Lead, client: &WorkerClient, orders: &Orders) -> CallEnd {
    let (run, stop) = match &orders.content {
        Content::Attempts { run, stop } => (run, stop),
        Content::Probe { .. } => {
            let trouble = probe(lead, client, orders).await.err();
            return CallEnd { stopped: Vec::new(), trouble };
        }
    };
    let mut end = CallEnd::default();
    if !stop.is_empty() {
        match cancel(lead, client, orders, stop).await {
            Ok(()) => end.stopped.clone_from(stop),
            Err(error) => end.trouble = Some(trouble(lead, orders, error)),
        }
    }
    let is_there = !matches!(end.trouble, Some(Trouble::Unreachable(_)));
    if !run.is_empty() && is_there {
        match assign(lead, client, orders, run).await {
            Ok(Taken::All) => {}
            Ok(Taken::Some) => end.trouble = Some(Trouble::NoRoom),
            Err(error) => end.trouble = Some(trouble(lead, orders, error)),
        }
    }
    end
}

fn trouble(lead: &Lead, orders: &Orders, error: Undelivered) -> Trouble {
    match error {
        Undelivered::Call(WorkerCallError::Unreachable(reason)) => Trouble::Unreachable(reason),
        Undelivered::Call(WorkerCallError::NewerTerm(seen)) => {
            lead.on_newer_term(&orders.worker, seen);
            Trouble::Refused(format!("it obeys a newer leader, of term {seen}"))
        }
        Undelivered::Call(error @ WorkerCallError::Refused(_)) => {
            Trouble::Refused(error.to_string())
        }
        Undelivered::Malformed(error) => Trouble::Refused(format!("it answers nonsense: {error}")),
        Undelivered::Record(error) => Trouble::NotRecorded(error.to_string()),
    }
}

async fn probe(lead: &Lead, client: &WorkerClient, orders: &Orders) -> Result<(), Trouble> {
    let request = v1::MasterRegisterRequest {
        leader: lead.header(),
        worker_id: orders.worker.to_string(),
        masters: lead.masters(),
    };
    match client.master_register(request, CALL_TIMEOUT).await {
        Ok(_) => Ok(()),
        // Somebody answers there, but orders would not reach the worker.
        Err(WorkerCallError::Refused(reason)) => Err(Trouble::Unreachable(reason)),
        Err(error) => Err(trouble(lead, orders, error.into())),
    }
}

/// What a worker took of what it was given.
enum Taken {
    All,
    Some,
}

async fn assign(
    lead: &Lead,
    client: &WorkerClient,
    orders: &Orders,
    run: &[Arc<Task>],
) -> Result<Taken, Undelivered> {
    let assignments = convert::assignments(run.iter().map(|task| &**task));
    let sent = assignments.len();
    let request = v1::AssignTaskRequest {
        leader: lead.header(),
        worker_id: orders.worker.to_string(),
        epoch: orders.epoch.0,
        assignments,
    };
    let response = client.assign(request, CALL_TIMEOUT).await?;
    let accepted = convert::attempt_refs(response.accepted)?;
    let taken = if accepted.len() < sent { Taken::Some } else { Taken::All };

    // Short attempts have ended by now: their results need no start before them.
    let attempts = lead.node.reader().with(|state| {
        let waiting = |attempt: &AttemptRef| {
            state.task(attempt.task).is_some_and(|task| task.state == TaskState::Assigned)
        };
        accepted.into_iter().filter(waiting).collect::<Vec<_>>()
    });
    if attempts.is_empty() {
        return Ok(taken);
    }
    let command = Command::StartAttempts(StartAttempts {
        term: lead.term,
        worker: orders.worker.clone(),
        epoch: orders.epoch,
        attempts,
    });
    lead.node.propose_as_leader(lead.term, &command).await?;
    Ok(taken)
}

async fn cancel(
    lead: &Lead,
    client: &WorkerClient,
    orders: &Orders,
    stop: &[AttemptRef],
) -> Result<(), Undelivered> {
    let request = v1::CancelTaskRequest {
        leader: lead.header(),
        worker_id: orders.worker.to_string(),
        attempts: stop.iter().map(|one| (*one).into()).collect(),
        grace_ms: millis(STOP_GRACE),
    };
    let response = client.cancel(request, CALL_TIMEOUT).await?;
    let unknown = convert::attempt_refs(response.unknown)?;
    if unknown.is_empty() {
        return Ok(());
    }
    // What the worker never had, or has forgotten, will not be reported by it.
    let lost = AttemptOutcome::Lost(LossReason::UnknownToWorker);
    let attempts = unknown
        .into_iter()
        .map(|attempt| FinishedAttempt { attempt, outcome: lost.clone() })
        .collect();
    let command = Command::FinishAttempts(FinishAttempts {
        worker: orders.worker.clone(),
        epoch: orders.epoch,
        attempts,
    });
    lead.node.propose_as_leader(lead.term, &command).await?;
    Ok(())
}
