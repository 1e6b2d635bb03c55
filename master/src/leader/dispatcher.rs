//! Tells workers what is committed: which attempts to run and which to stop. Nothing else sends
//! work to a worker, and nothing is sent that is not committed.

mod contacts;
mod delivery;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AttemptRef, Epoch, HealthFinding, State, Task, Worker, WorkerId};
use raft_store::AppliedAt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::contacts::{Contacts, Errand, Trouble};
use self::delivery::{CallEnd, Content, Orders, deliver};
use super::driver::sleep_until;
use super::sessions::Lead;

/// Attempts in one call: enough to amortize it, few enough that the first is not kept waiting.
const BATCH_MAX: usize = 1_000;
/// An order to stop is repeated after this time, until the attempt's end is reported.
const STOP_AGAIN: Duration = Duration::from_secs(5);
/// Between two looks at which connections were not used for long.
const SWEEP_PAUSE: Duration = Duration::from_secs(10);
/// From TERM to KILL.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(10);

/// The dispatcher of one term of leadership: at most one call per worker is under way, so that
/// orders about one attempt arrive in the order in which they were committed.
#[derive(Debug)]
pub(super) struct Dispatcher {
    lead: Arc<Lead>,
    /// How long nobody answers before a worker is unreachable.
    unreachable_after: Duration,
    calls: JoinSet<(Called, CallEnd)>,
    under_way: HashSet<WorkerId>,
    contacts: Contacts,
    /// When connections are looked at next.
    next_sweep: Instant,
    /// Orders to stop that were given, and when.
    told_to_stop: HashMap<WorkerId, BTreeMap<AttemptRef, Instant>>,
}

/// A worker that was called, and what for.
#[derive(Debug)]
struct Called {
    worker: WorkerId,
    epoch: Epoch,
    address: String,
    /// The reason on record for which it cannot be called.
    known: Option<String>,
}

impl Called {
    const fn errand(&self) -> Errand {
        if self.known.is_some() { Errand::Probe } else { Errand::Orders }
    }
}

impl Dispatcher {
    /// A dispatcher that has told nobody anything.
    #[must_use]
    pub(super) fn new(lead: Arc<Lead>, unreachable_after: Duration) -> Self {
        Self {
            lead,
            unreachable_after,
            calls: JoinSet::new(),
            under_way: HashSet::new(),
            contacts: Contacts::default(),
            next_sweep: Instant::now(),
            told_to_stop: HashMap::new(),
        }
    }

    /// Runs until cancelled; calls under way are dropped then. What they achieved shows in the
    /// state or is done again by the next leader, and workers do nothing twice.
    pub(super) async fn run(
        mut self,
        mut applied: watch::Receiver<AppliedAt>,
        stop: CancellationToken,
    ) {
        loop {
            applied.borrow_and_update();
            self.tell_workers();
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => return,
                Some(Ok((called, end))) = self.calls.join_next() => {
                    self.on_call_ended(&called, end);
                }
                () = sleep_until(wake) => {}
                changed = applied.changed() => if changed.is_err() { return },
            }
        }
    }

    fn tell_workers(&mut self) {
        let now = Instant::now();
        self.contacts.forgive(now);
        if self.next_sweep <= now {
            self.lead.channels.close_idle(now);
            self.next_sweep = now + SWEEP_PAUSE;
        }
        // What is old is said again, and what was said to a worker that is gone is forgotten.
        self.told_to_stop.retain(|_, told| {
            told.retain(|_, at| now < *at + STOP_AGAIN);
            !told.is_empty()
        });
        let orders = self.lead.node.reader().with(|state| {
            let to_tell = state.workers_to_tell().filter_map(|id| state.worker(id));
            let ailing = state.ailing_workers();
            let to_probe = ailing.filter(|worker| worker.health.unreachable.is_some());
            let free = to_tell.chain(to_probe).filter(|worker| {
                !self.under_way.contains(&worker.id) && !self.contacts.rests(&worker.id, now)
            });
            free.filter_map(|worker| self.orders(state, worker, now)).collect::<Vec<_>>()
        });
        for orders in orders {
            self.call(orders, now);
        }
    }

    fn call(&mut self, orders: Orders, now: Instant) {
        // A worker may be both to be told and to be probed.
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
        let Some(client) = self.lead.channels.get(&orders.worker, &orders.address) else {
            let trouble = Trouble::Unreachable("its address is unusable".to_owned());
            self.under_way.remove(&orders.worker);
            self.on_trouble(&called, &trouble, now);
            return;
        };
        let lead = Arc::clone(&self.lead);
        self.calls.spawn(async move {
            let end = deliver(&lead, &client, &orders).await;
            (called, end)
        });
    }

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

    fn attempts(&self, state: &State, worker: &Worker, now: Instant) -> Option<Content> {
        let load = state.load(&worker.id)?;
        let run = load.unconfirmed.iter().filter_map(|task| state.task(*task));
        let run = run.filter(|task| !task.must_stop()).take(BATCH_MAX).cloned();
        let run = run.collect::<Vec<_>>();
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
        let Some(trouble) = end.trouble else { return self.on_answered(called, now) };
        self.on_trouble(called, &trouble, now);
    }

    fn on_answered(&mut self, called: &Called, now: Instant) {
        let Called { worker, epoch, .. } = called;
        self.lead.undelivered.forget(worker);
        match self.contacts.on_answered(worker, called.errand(), now) {
            Some(trouble @ (Trouble::Refused(_) | Trouble::NoRoom)) => {
                tracing::info!(%worker, was = %trouble, "worker takes orders again");
            }
            Some(Trouble::Unreachable(_) | Trouble::NotRecorded(_)) | None => {}
        }
        if called.known.is_some() {
            self.lead.findings.post(worker, *epoch, HealthFinding::Reachable);
        }
    }

    fn on_trouble(&mut self, called: &Called, trouble: &Trouble, now: Instant) {
        let Called { worker, epoch, address, known } = called;
        self.lead.metrics.on_dispatch_failed(trouble.name());
        let noted = self.contacts.on_trouble(worker, trouble.clone(), called.errand(), now);
        if let Some(kind) = trouble.setback() {
            let since = self.lead.node.clock().now();
            self.lead.undelivered.note(worker, *epoch, kind, trouble.to_string(), since);
        }
        match trouble {
            Trouble::Unreachable(reason) => {
                tracing::debug!(%worker, address, reason, "cannot call worker");
                // What is left of the connection says nothing about the worker.
                self.lead.channels.close(worker);
                let is_lasting = known.is_some() || noted.lasts >= self.unreachable_after;
                if is_lasting && known.as_ref() != Some(reason) {
                    let finding = HealthFinding::Unreachable { detail: reason.clone() };
                    self.lead.findings.post(worker, *epoch, finding);
                }
            }
            Trouble::Refused(reason) => {
                self.lead.channels.close(worker);
                if noted.is_news {
                    tracing::warn!(%worker, address, reason, "worker refuses orders");
                }
            }
            Trouble::NoRoom if noted.is_news => {
                tracing::warn!(%worker, address, "worker has no room for what it was given");
            }
            Trouble::NoRoom => {}
            Trouble::NotRecorded(error) => {
                tracing::debug!(%worker, error, "cannot record a worker's answer");
            }
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let stops =
            self.told_to_stop.values().flat_map(BTreeMap::values).map(|at| *at + STOP_AGAIN);
        // A past time is a worker that is not active: the state will say when it is.
        let rests = self.contacts.next_end(now).into_iter();
        let sweep = (!self.lead.channels.is_empty()).then_some(self.next_sweep);
        rests.chain(stops).chain(sweep).filter(|at| *at > now).min()
    }
}

fn live_attempt(task: &Task) -> Option<AttemptRef> {
    task.live_attempt().map(|live| AttemptRef { task: task.id, attempt: live.number })
}
