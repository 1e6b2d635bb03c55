//! Delivers committed orders to workers: attempts to run and attempts to stop. Nothing else sends
//! work to a worker.

mod call_records;
mod delivery;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AttemptRef, Epoch, HealthFinding, Rank, State, Task, Worker, WorkerId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::call_records::{CallRecords, DeliveryFailure, Purpose};
use self::delivery::{CallEnd, Content, Orders, deliver};
use super::duty::{Duty, Wait};
use super::state::LeaderState;

/// Attempts in one call: enough to amortize it, few enough that the first does not wait long.
const BATCH_MAX: usize = 1_000;
/// Time after which an order to stop is repeated, until the attempt's end is reported.
const STOP_AGAIN: Duration = Duration::from_secs(5);
/// Interval between two searches for idle connections.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);
/// Time from TERM to KILL.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(10);

/// Delivers orders with at most one open call per worker, so that orders about one attempt arrive
/// in the order in which they were committed.
#[derive(Debug)]
pub(super) struct Dispatcher {
    leader: Arc<LeaderState>,
    calls: JoinSet<(Called, CallEnd)>,
    under_way: HashSet<WorkerId>,
    records: CallRecords,
    /// Time of the next search for idle connections.
    next_sweep: Instant,
    /// Orders to stop that were delivered, with the time of each.
    told_to_stop: HashMap<WorkerId, BTreeMap<AttemptRef, Instant>>,
}

/// An open call.
#[derive(Debug)]
struct Called {
    worker: WorkerId,
    epoch: Epoch,
    address: String,
    /// Recorded reason why the worker cannot be called.
    known: Option<String>,
}

impl Called {
    const fn purpose(&self) -> Purpose {
        if self.known.is_some() { Purpose::Probe } else { Purpose::Orders }
    }
}

impl Dispatcher {
    /// Returns the dispatcher of one term.
    #[must_use]
    pub(super) fn new(leader: Arc<LeaderState>) -> Self {
        Self {
            leader,
            calls: JoinSet::new(),
            under_way: HashSet::new(),
            records: CallRecords::default(),
            next_sweep: Instant::now(),
            told_to_stop: HashMap::new(),
        }
    }

    /// Calls the workers that have orders to get, or are probed. The cost depends on the number of
    /// those workers.
    fn deliver_orders(&mut self) {
        let now = Instant::now();
        self.records.forgive(now);
        if self.next_sweep <= now {
            self.leader.channels.close_idle(now);
            self.next_sweep = now + SWEEP_PAUSE;
        }

        // Orders to stop older than `STOP_AGAIN` are repeated. This drops those of removed workers,
        // too.
        self.told_to_stop.retain(|_, told| {
            told.retain(|_, at| now < *at + STOP_AGAIN);
            !told.is_empty()
        });

        let orders = self.leader.node.reader().with(|state| {
            let to_tell = state.workers_to_tell().filter_map(|id| state.worker(id));
            let ailing = state.ailing_workers();
            let to_probe = ailing.filter(|worker| worker.health.unreachable.is_some());
            let free = to_tell.chain(to_probe).filter(|worker| {
                !self.under_way.contains(&worker.id)
                    && !self.records.is_backing_off(&worker.id, now)
            });
            free.filter_map(|worker| self.orders(state, worker, now)).collect::<Vec<_>>()
        });
        for orders in orders {
            self.call(orders, now);
        }
    }

    /// Begins a call.
    fn call(&mut self, orders: Orders, now: Instant) {
        // A worker may have orders and be due for a probe.
        if !self.under_way.insert(orders.worker.clone()) {
            return;
        }
        let called = Called {
            worker: orders.worker.clone(),
            epoch: orders.epoch,
            address: orders.address.clone(),
            known: match &orders.content {
                Content::Attempts { .. } => None,
                Content::Probe { known } => Some(known.clone()),
            },
        };

        let Some(client) = self.leader.channels.get(&orders.worker, &orders.address) else {
            let failure = DeliveryFailure::Unreachable("its address is unusable".to_owned());
            self.under_way.remove(&orders.worker);
            self.on_failed(&called, &failure, now);
            return;
        };

        let leader = Arc::clone(&self.leader);
        self.calls.spawn(async move {
            let end = deliver(&leader, &client, &orders).await;
            (called, end)
        });
    }

    /// Returns the orders for a worker; nothing if it gets none now.
    fn orders(&self, state: &State, worker: &Worker, now: Instant) -> Option<Orders> {
        if !worker.is_active() {
            return None;
        }
        let content = match &worker.health.unreachable {
            Some(trouble) => Content::Probe { known: trouble.detail.clone() },
            None => self.attempts(state, worker, now)?,
        };
        let address = worker.address.clone()?;
        Some(Orders { worker: worker.id.clone(), address, epoch: worker.epoch, content })
    }

    /// Returns the attempts that a worker must run or stop.
    fn attempts(&self, state: &State, worker: &Worker, now: Instant) -> Option<Content> {
        let load = state.load(&worker.id)?;
        let run = load.unconfirmed.iter().filter_map(|task| state.task(*task));
        let run = run.filter(|task| !task.must_stop()).cloned();
        let mut run = run.collect::<Vec<_>>();
        // There is room for those that begin at once; the others begin in their order.
        run.sort_by_key(|task| (task.ahead.is_some(), Rank::of(task)));
        run.truncate(BATCH_MAX);
        let told = self.told_to_stop.get(&worker.id);
        let stop = load.stopping.iter().filter_map(|task| live_attempt(state.task(*task)?));
        let stop = stop.filter(|attempt| {
            told.and_then(|told| told.get(attempt)).is_none_or(|at| now >= *at + STOP_AGAIN)
        });
        let stop = stop.take(BATCH_MAX).collect::<Vec<_>>();
        let is_something = !run.is_empty() || !stop.is_empty();
        is_something.then_some(Content::Attempts { run, stop })
    }

    fn on_call_ended(&mut self, called: &Called, end: CallEnd) {
        let (worker, now) = (&called.worker, Instant::now());
        self.under_way.remove(worker);
        if !end.stopped.is_empty() {
            let told = self.told_to_stop.entry(worker.clone()).or_default();
            told.extend(end.stopped.into_iter().map(|attempt| (attempt, now)));
        }
        let Some(failure) = end.failure else { return self.on_answered(called, now) };
        self.on_failed(called, &failure, now);
    }

    fn on_answered(&mut self, called: &Called, now: Instant) {
        let Called { worker, epoch, .. } = called;
        self.leader.undelivered.forget(worker);
        match self.records.on_answered(worker, called.purpose(), now) {
            Some(failure @ (DeliveryFailure::Refused(_) | DeliveryFailure::NoRoom)) => {
                tracing::info!(%worker, was = %failure, "worker takes orders again");
            }
            Some(DeliveryFailure::Unreachable(_) | DeliveryFailure::NotRecorded(_)) | None => {}
        }
        if called.known.is_some() {
            self.leader.findings.post(worker, *epoch, HealthFinding::Reachable);
        }
    }

    fn on_failed(&mut self, called: &Called, failure: &DeliveryFailure, now: Instant) {
        let Called { worker, epoch, address, known } = called;
        self.leader.metrics.on_dispatch_failed(failure.name());
        let noted = self.records.on_failed(worker, failure.clone(), called.purpose(), now);
        if let Some(kind) = failure.setback() {
            let since = self.leader.node.clock().now();
            self.leader.undelivered.on_setback(worker, *epoch, kind, failure.to_string(), since);
        }

        match failure {
            DeliveryFailure::Unreachable(reason) => {
                tracing::debug!(%worker, address, reason, "cannot call worker");
                // An open connection says nothing about the worker now.
                self.leader.channels.close(worker);
                let is_lasting = known.is_some()
                    || noted.lasts >= self.leader.worker_settings().unreachable_after;
                if is_lasting && known.as_ref() != Some(reason) {
                    let finding = HealthFinding::Unreachable { detail: reason.clone() };
                    self.leader.findings.post(worker, *epoch, finding);
                }
            }
            DeliveryFailure::Refused(reason) => {
                self.leader.channels.close(worker);
                if noted.is_news {
                    tracing::warn!(%worker, address, reason, "worker refuses orders");
                }
            }
            DeliveryFailure::NoRoom if noted.is_news => {
                tracing::warn!(%worker, address, "worker has no room for what it was given");
            }
            DeliveryFailure::NoRoom => {}
            DeliveryFailure::NotRecorded(error) => {
                tracing::debug!(%worker, error, "cannot record a worker's answer");
            }
        }
    }

    /// Returns the time of the next pass if nothing changes.
    fn next_pass(&self, now: Instant) -> Option<Instant> {
        let stops =
            self.told_to_stop.values().flat_map(BTreeMap::values).map(|at| *at + STOP_AGAIN);
        // A past time belongs to a worker that is not active: the state will change with it.
        let backoffs = self.records.next_end(now).into_iter();
        let sweep = (!self.leader.channels.is_empty()).then_some(self.next_sweep);
        backoffs.chain(stops).chain(sweep).filter(|at| *at > now).min()
    }
}

impl Duty for Dispatcher {
    const NAME: &'static str = "dispatcher";
    // It only repeats what is committed.
    const RESTS: bool = false;
    type Error = Infallible;

    async fn pass(&mut self) -> Result<Wait, Infallible> {
        self.deliver_orders();
        Ok(Wait::for_change().at_most_until(self.next_pass(Instant::now())))
    }

    async fn wake(&mut self) {
        match self.calls.join_next().await {
            Some(Ok((called, end))) => self.on_call_ended(&called, end),
            Some(Err(_)) | None => std::future::pending().await,
        }
    }
}

/// Names the live attempt of a task.
fn live_attempt(task: &Task) -> Option<AttemptRef> {
    task.live_attempt().map(|live| AttemptRef { task: task.id, attempt: live.number })
}
