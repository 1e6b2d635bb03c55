//! Tells workers what is committed: which attempts to run and which to stop. Nothing else sends
//! work to a worker, and nothing is sent that is not committed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{
    AttemptOutcome, AttemptRef, Command, Epoch, FinishAttempts, FinishedAttempt, LossReason,
    OnDisconnect, StartAttempts, State, Task, TaskState, WorkerId,
};
use proto::convert::{self, Invalid};
use proto::v1;
use proto::worker_client::{WorkerCallError, WorkerClient};
use raft_store::AppliedAt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sessions::Lead;

/// Attempts in one call: enough to amortize it, few enough that the first is not kept waiting.
const BATCH_MAX: usize = 1_000;
/// For one call. A worker answers before its processes run, so this is patience with the network.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed call the worker is left alone this long; the reconnection monitor and the
/// liveness duty see to it that it comes back or is given up.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);
/// An order to stop is repeated after this time, until the attempt's end is reported.
const STOP_AGAIN: Duration = Duration::from_secs(5);
/// From TERM to KILL.
pub const STOP_GRACE: Duration = Duration::from_secs(10);

/// The dispatcher of one term of leadership: at most one call per worker is under way, so that
/// orders about one attempt arrive in the order in which they were committed.
#[derive(Debug)]
pub struct Dispatcher {
    lead: Arc<Lead>,
    calls: JoinSet<(WorkerId, CallEnd)>,
    under_way: HashSet<WorkerId>,
    paused: HashMap<WorkerId, Instant>,
    /// Orders to stop that were given, and when.
    told_to_stop: HashMap<WorkerId, BTreeMap<AttemptRef, Instant>>,
}

/// How a call to a worker ended.
#[derive(Debug)]
enum CallEnd {
    /// All was said and recorded.
    Told(Vec<AttemptRef>),
    /// To be tried again after a pause.
    Failed,
}

/// What one worker is to be told now.
struct Orders {
    worker: WorkerId,
    address: String,
    epoch: Epoch,
    run: Vec<v1::Assignment>,
    stop: Vec<AttemptRef>,
}

impl Dispatcher {
    /// A dispatcher that has told nobody anything.
    #[must_use]
    pub fn new(lead: Arc<Lead>) -> Self {
        Self {
            lead,
            calls: JoinSet::new(),
            under_way: HashSet::new(),
            paused: HashMap::new(),
            told_to_stop: HashMap::new(),
        }
    }

    /// Runs until cancelled; calls under way are dropped then. What they achieved shows in the
    /// state or is done again by the next leader, and workers do nothing twice.
    pub async fn run(mut self, mut applied: watch::Receiver<AppliedAt>, stop: CancellationToken) {
        loop {
            applied.borrow_and_update();
            self.tell_workers();
            let wake = self.next_wake();
            let pause = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(Ok((worker, end))) = self.calls.join_next() => self.on_call_ended(worker, end),
                () = pause => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
        }
    }

    fn tell_workers(&mut self) {
        let now = Instant::now();
        self.paused.retain(|_, until| *until > now);
        // What is old is said again, and what was said to a worker that is gone is forgotten.
        self.told_to_stop.retain(|_, told| {
            told.retain(|_, at| now < *at + STOP_AGAIN);
            !told.is_empty()
        });
        let orders = self.lead.node.reader().with(|state| {
            let free = state.workers_to_tell().filter(|worker| {
                !self.under_way.contains(*worker) && !self.paused.contains_key(*worker)
            });
            free.filter_map(|worker| self.orders(state, worker, now)).collect::<Vec<_>>()
        });
        for orders in orders {
            let Some(client) = self.lead.channels.get(&orders.worker, &orders.address) else {
                self.paused.insert(orders.worker, now + FAILURE_PAUSE);
                continue;
            };
            self.under_way.insert(orders.worker.clone());
            let lead = Arc::clone(&self.lead);
            self.calls.spawn(async move {
                let end = deliver(&lead, &client, &orders).await;
                (orders.worker, end)
            });
        }
    }

    fn orders(&self, state: &State, id: &WorkerId, now: Instant) -> Option<Orders> {
        let worker = state.worker(id).filter(|worker| worker.is_active())?;
        let load = state.load(id)?;
        let run = load.unconfirmed.iter().filter_map(|task| state.task(*task));
        let run = run.filter_map(|task| assignment(task)).take(BATCH_MAX).collect::<Vec<_>>();
        let told = self.told_to_stop.get(id);
        let stop = load.stopping.iter().filter_map(|task| live_attempt(state.task(*task)?));
        let stop = stop.filter(|attempt| {
            told.and_then(|told| told.get(attempt)).is_none_or(|at| now >= *at + STOP_AGAIN)
        });
        let stop = stop.take(BATCH_MAX).collect::<Vec<_>>();
        if run.is_empty() && stop.is_empty() {
            return None;
        }
        let address = worker.address.clone()?;
        Some(Orders { worker: id.clone(), address, epoch: worker.epoch, run, stop })
    }

    fn on_call_ended(&mut self, worker: WorkerId, end: CallEnd) {
        self.under_way.remove(&worker);
        match end {
            CallEnd::Told(stopped) if stopped.is_empty() => {}
            CallEnd::Told(stopped) => {
                let now = Instant::now();
                let told = self.told_to_stop.entry(worker).or_default();
                told.extend(stopped.into_iter().map(|attempt| (attempt, now)));
            }
            CallEnd::Failed => {
                self.paused.insert(worker, Instant::now() + FAILURE_PAUSE);
            }
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let pauses = self.paused.values().copied();
        let stops =
            self.told_to_stop.values().flat_map(BTreeMap::values).map(|at| *at + STOP_AGAIN);
        // A past time is a worker that is not active: the state will say when it is.
        let now = Instant::now();
        pauses.chain(stops).filter(|at| *at > now).min()
    }
}

fn assignment(task: &Task) -> Option<v1::Assignment> {
    Some(v1::Assignment {
        attempt: Some(live_attempt(task)?.into()),
        command: task.spec.command.clone(),
        env: task.spec.env.to_map(),
        working_dir: task.spec.working_dir.clone(),
        requeue_on_disconnect: task.spec.on_disconnect == OnDisconnect::Requeue,
    })
}

fn live_attempt(task: &Task) -> Option<AttemptRef> {
    task.live_attempt().map(|live| AttemptRef { task: task.id, attempt: live.number })
}

async fn deliver(lead: &Lead, client: &WorkerClient, orders: &Orders) -> CallEnd {
    let delivered = async {
        assign(lead, client, orders).await?;
        cancel(lead, client, orders).await
    };
    match delivered.await {
        Ok(()) => CallEnd::Told(orders.stop.clone()),
        Err(Undelivered::Call(WorkerCallError::NewerTerm(seen))) => {
            lead.on_newer_term(&orders.worker, seen);
            CallEnd::Failed
        }
        Err(error) => {
            tracing::debug!(worker = %orders.worker, %error, "cannot tell worker");
            CallEnd::Failed
        }
    }
}

/// Why a worker could not be told, or its answer not recorded.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error(transparent)]
    Call(#[from] WorkerCallError),
    #[error(transparent)]
    Record(#[from] raft_store::ProposeError),
    #[error(transparent)]
    Malformed(#[from] Invalid),
}

async fn assign(lead: &Lead, client: &WorkerClient, orders: &Orders) -> Result<(), Undelivered> {
    if orders.run.is_empty() {
        return Ok(());
    }
    let request = v1::AssignTaskRequest {
        leader: lead.header(),
        worker_id: orders.worker.to_string(),
        epoch: orders.epoch.0,
        assignments: orders.run.clone(),
    };
    let response = client.assign(request, CALL_TIMEOUT).await?;
    let accepted = convert::attempt_refs(response.accepted)?;

    // Short attempts have ended by now: their results need no start before them.
    let attempts = lead.node.reader().with(|state| {
        let waiting = |attempt: &AttemptRef| {
            state.task(attempt.task).is_some_and(|task| task.state == TaskState::Assigned)
        };
        accepted.into_iter().filter(waiting).collect::<Vec<_>>()
    });
    if attempts.is_empty() {
        return Ok(());
    }
    count_starts(lead, &attempts);
    let command = Command::StartAttempts(StartAttempts {
        term: lead.term,
        worker: orders.worker.clone(),
        epoch: orders.epoch,
        attempts,
    });
    lead.node.propose_as_leader(lead.term, &command).await?;
    Ok(())
}

fn count_starts(lead: &Lead, attempts: &[AttemptRef]) {
    let now = lead.node.clock().now();
    let waited = lead.node.reader().with(|state| {
        let tasks = attempts.iter().filter_map(|attempt| state.task(attempt.task));
        tasks.map(|task| now.since(task.submitted_at)).collect::<Vec<_>>()
    });
    for waited in waited {
        lead.metrics.on_task_started(waited);
    }
}

async fn cancel(lead: &Lead, client: &WorkerClient, orders: &Orders) -> Result<(), Undelivered> {
    if orders.stop.is_empty() {
        return Ok(());
    }
    let request = v1::CancelTaskRequest {
        leader: lead.header(),
        worker_id: orders.worker.to_string(),
        attempts: orders.stop.iter().map(|one| (*one).into()).collect(),
        grace_ms: u64::try_from(STOP_GRACE.as_millis()).unwrap_or(u64::MAX),
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
