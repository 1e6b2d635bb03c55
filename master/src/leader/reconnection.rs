//! The worker reconnection monitor: goes to inactive workers until they are connected again or
//! unregistered, tells every active worker at once when this master has begun to lead, and goes to
//! workers when an operator asks for it.

mod attempt;
mod awaited;
mod config;
mod demands;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{HealthFinding, LogIndex, State, Worker, WorkerId};
use raft_store::AppliedAt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use config::ReconnectConfig;
pub(crate) use demands::{Demand, DemandError, Finding, ReconnectHandle, Whom};

use self::attempt::{Attempt, attempt};
use self::awaited::Awaited;
use self::demands::OpenDemands;
use super::attempts_schedule::{AttemptsSchedule, Completed, Ended, Occasion, Sighting, Trouble};
use super::driver::{changed_after, sleep_until};
use super::sessions::Lead;
use crate::metrics::Reconnected;

/// Between two looks at who is inactive, however fast the state moves.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// The monitor of one term of leadership.
#[derive(Debug)]
pub(crate) struct ReconnectionMonitor {
    lead: Arc<Lead>,
    config: ReconnectConfig,
    schedule: AttemptsSchedule,
    demands: OpenDemands,
    /// An attempt that was withdrawn ends without a result.
    attempts: JoinSet<(WorkerId, Option<Attempt>)>,
    under_way: BTreeMap<WorkerId, UnderWay>,
    /// Inactive workers that have answered and have yet to register.
    awaited: Awaited,
    /// The latest change of an inactive worker that was taken in.
    seen: LogIndex,
}

/// What one attempt under way is based on.
#[derive(Debug)]
struct UnderWay {
    address: String,
    occasion: Occasion,
    withdraw: CancellationToken,
}

impl ReconnectionMonitor {
    /// A monitor that has yet to tell anybody.
    #[must_use]
    pub(crate) fn new(lead: Arc<Lead>, config: ReconnectConfig) -> Self {
        Self {
            lead,
            schedule: AttemptsSchedule::new(config.backoff, config.max_parallel),
            awaited: Awaited::new(config.registration_timeout),
            config,
            demands: OpenDemands::default(),
            attempts: JoinSet::new(),
            under_way: BTreeMap::new(),
            seen: LogIndex(0),
        }
    }

    /// Runs until cancelled; attempts under way are dropped then, and whoever waits for one is
    /// told that it was interrupted.
    pub(crate) async fn run(
        mut self,
        mut demanded: mpsc::Receiver<Demand>,
        mut applied: watch::Receiver<AppliedAt>,
        stop: CancellationToken,
    ) {
        if self.config.enabled {
            tracing::info!("worker reconnection monitor started");
        } else {
            tracing::info!("worker reconnection monitor is disabled: it works on demand only");
        }
        self.lead.metrics.on_reconnect_monitor(self.config.enabled);
        self.announce();
        let mut next_look = Instant::now();
        loop {
            if Instant::now() >= next_look {
                applied.borrow_and_update();
                self.look();
                next_look = Instant::now() + LOOK_PAUSE;
            }
            self.start_attempts();
            let due = [self.schedule.next_due(), self.awaited.next_end()];
            let due = due.into_iter().flatten().min().map(|due| due.max(next_look));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(Ok((worker, attempt))) = self.attempts.join_next() => {
                    self.on_ended(&worker, attempt);
                }
                Some(demand) = demanded.recv() => self.on_demanded(demand),
                // After the pause: a busy log must not keep the monitor looking.
                changed = changed_after(&mut applied, next_look) => if changed.is_err() { break },
                () = sleep_until(due) => {}
            }
        }
        self.lead.metrics.on_reconnect_monitor(false);
        if self.config.enabled {
            tracing::info!("worker reconnection monitor stopped");
        }
    }

    /// Tells the workers that follow the leader before this one; those that are inactive are the
    /// first round's.
    fn announce(&mut self) {
        let active = self.lead.node.reader().with(|state| {
            let active = state.workers().filter(|one| one.is_active() && one.address.is_some());
            active.map(|worker| worker.id.clone()).collect()
        });
        self.schedule.announce(active, Instant::now());
    }

    /// Takes in who has become inactive, withdraws attempts that have lost their reason, and begins
    /// a round over whoever is due. Costs what has changed and what is due.
    fn look(&mut self) {
        let now = Instant::now();
        let Self { config, schedule, under_way, seen, .. } = self;
        let round = self.lead.node.reader().with(|state| {
            for (worker, attempt) in under_way {
                if has_lost_its_reason(state, worker, &attempt.address) {
                    attempt.withdraw.cancel();
                }
            }
            if !config.enabled {
                return None;
            }
            let before = *seen;
            for worker in state.inactive_workers_after(before) {
                *seen = worker.index.max(*seen);
                let Some(address) = worker.address.clone() else { continue };
                let interval = config.interval_of(worker);
                let sighting = Sighting { since: worker.changed_at, address, interval };
                schedule.on_inactive(&worker.id, sighting, now);
            }
            schedule.begin_round(now, |worker| can_be_gone_to(state, worker))
        });
        if let Some(round) = round {
            log_attempts(round.workers, round.is_new);
        }
        self.settle_awaited(now);
    }

    /// Tells of the workers that have answered and registered since, and of those that have not.
    fn settle_awaited(&mut self, now: Instant) {
        let awaited = &mut self.awaited;
        let (came, late) = self.lead.node.reader().with(|state| {
            // One that was unregistered meanwhile is not waited for either.
            awaited.settle(now, |worker| state.worker(worker).is_none_or(|one| one.is_active()))
        });
        for (worker, reached) in came {
            if self.lead.node.reader().with(|state| state.worker(&worker).is_none()) {
                self.demands.on_gone(&worker);
                continue;
            }
            tracing::info!(%worker, address = reached.address, "successfully reconnected to worker");
            // One that goes on is not a second success.
            if let Some(attempt) = self.under_way.get(&worker) {
                attempt.withdraw.cancel();
            }
            self.schedule.on_no_trouble(&worker);
            self.lead.metrics.on_reconnect_ended(Reconnected::Yes, 1);
            self.lead.metrics.on_reconnect_ended(Reconnected::No, reached.attempts - 1);
            self.demands.on_found(&worker, Finding::Reached);
        }
        for (worker, reached) in late {
            if self.schedule.on_trouble(&worker, Trouble::NotRegistered) {
                let waited = self.config.registration_timeout;
                tracing::warn!(%worker, address = reached.address, ?waited,
                    "worker was reached, but has not registered: its own log says why");
            }
            self.lead.metrics.on_reconnect_ended(Reconnected::No, reached.attempts);
            self.demands.on_found(&worker, Finding::NotRegistered);
        }
    }

    fn on_demanded(&mut self, demand: Demand) {
        let mut found = BTreeMap::new();
        let mut awaited = Vec::new();
        let mut sort = |worker: &Worker| match (is_reached(worker), &worker.address) {
            (true, _) => drop(found.insert(worker.id.clone(), Finding::Active)),
            (false, None) => drop(found.insert(worker.id.clone(), Finding::NoAddress)),
            (false, Some(_)) => awaited.push(worker.id.clone()),
        };
        self.lead.node.reader().with(|state| match &demand.whom {
            Whom::One(id) => state.worker(id).into_iter().for_each(|worker| sort(worker)),
            Whom::AllInactive => {
                let unreachable = state.ailing_workers().filter(|worker| !is_reached(worker));
                state.inactive_workers().chain(unreachable).for_each(|worker| sort(worker));
            }
        });
        if !awaited.is_empty() {
            log_attempts(awaited.len(), true);
        }
        self.demands.open(demand, found, &awaited);
        self.schedule.demand(awaited, Instant::now());
    }

    fn start_attempts(&mut self) {
        while let Some((worker, occasion)) = self.schedule.start_next() {
            let address = self.lead.node.reader().with(|state| {
                let known = state.worker(&worker)?;
                let has_reason = occasion == Occasion::Announcement || !is_reached(known);
                known.address.clone().filter(|_| has_reason)
            });
            match address {
                Some(address) => self.start(worker, address, occasion),
                None => self.on_withdrawn(&worker),
            }
        }
    }

    fn start(&mut self, worker: WorkerId, address: String, occasion: Occasion) {
        let lead = Arc::clone(&self.lead);
        let timeout = self.config.attempt_timeout;
        let withdraw = CancellationToken::new();
        let under_way = UnderWay { address: address.clone(), occasion, withdraw: withdraw.clone() };
        self.under_way.insert(worker.clone(), under_way);
        self.attempts.spawn(async move {
            let ended =
                withdraw.run_until_cancelled(attempt(&lead, &worker, &address, timeout)).await;
            (worker, ended)
        });
    }

    fn on_ended(&mut self, worker: &WorkerId, ended: Option<Attempt>) {
        let Some(UnderWay { address, occasion, withdraw }) = self.under_way.remove(worker) else {
            return;
        };
        let Some(attempt) = ended.filter(|_| !withdraw.is_cancelled()) else {
            self.on_withdrawn(worker);
            return;
        };
        self.log_outcome(worker, &address, occasion, &attempt);
        if let Attempt::NewerTerm(_) = attempt {
            self.lead.doubt_leadership();
        }
        let was_reached = attempt == Attempt::Reached;
        let known = self.lead.node.reader().with(|state| state.worker(worker).cloned());
        if let Some(known) = known.filter(|known| was_reached && !is_reached(known)) {
            self.lead.findings.post(worker, known.epoch, HealthFinding::Reachable);
        }
        let ended = if was_reached { Ended::Reached } else { Ended::Failed };
        self.settle(worker, ended);
        if occasion == Occasion::Announcement {
            self.lead.metrics.on_announced(was_reached);
            self.demands.on_found(worker, attempt.finding());
            return;
        }
        self.lead.metrics.on_reconnect_attempt();
        if was_reached {
            // It may have registered before its answer arrived: then nothing is waited for.
            self.awaited.on_reached(worker, &address, Instant::now());
            self.settle_awaited(Instant::now());
        } else {
            self.lead.metrics.on_reconnect_ended(Reconnected::No, 1);
            self.demands.on_found(worker, attempt.finding());
        }
    }

    /// An attempt was given up, or not begun: the worker is gone, active, or elsewhere.
    fn on_withdrawn(&mut self, worker: &WorkerId) {
        self.settle(worker, Ended::Withdrawn);
        let known = self.lead.node.reader().with(|state| {
            state.worker(worker).map(|worker| (is_reached(worker), worker.address.is_some()))
        });
        match known {
            None => {
                self.schedule.forget(worker, Instant::now());
                self.lead.channels.close(worker);
                self.demands.on_gone(worker);
            }
            Some((true, _)) => self.demands.on_found(worker, Finding::Active),
            Some((false, false)) => self.demands.on_found(worker, Finding::NoAddress),
            Some((false, true)) if self.demands.awaits(worker) => {
                self.schedule.demand(vec![worker.clone()], Instant::now());
            }
            Some((false, true)) => {}
        }
    }

    fn settle(&mut self, worker: &WorkerId, ended: Ended) {
        match self.schedule.on_ended(worker, ended, Instant::now(), rand::random()) {
            Some(Completed::Round(took)) => self.lead.metrics.on_reconnect_round(took),
            Some(Completed::Announcements { took, reached, failed }) => {
                tracing::info!(reached, failed, ?took, "active workers were told who leads");
                self.lead.metrics.on_announcements_completed(took);
            }
            None => {}
        }
    }

    /// That a worker is offline is expected and not logged. What else is wrong is logged once,
    /// until something else is seen: a connection that nobody accepts or refuses shows nothing.
    fn log_outcome(
        &mut self,
        worker: &WorkerId,
        address: &str,
        occasion: Occasion,
        attempt: &Attempt,
    ) {
        match attempt {
            Attempt::Reached => {
                tracing::debug!(%worker, address, ?occasion, "worker was told who leads");
            }
            Attempt::Offline => self.schedule.on_no_trouble(worker),
            Attempt::OutOfReach
            | Attempt::Silent(_)
            | Attempt::Refused(_)
            | Attempt::NewerTerm(_) => {}
        }
        let trouble = attempt.trouble();
        if trouble.is_some_and(|trouble| self.schedule.on_trouble(worker, trouble)) {
            attempt.log_trouble(worker, address);
        }
    }
}

/// Whether the worker is connected and can be called, as far as the record says.
fn is_reached(worker: &Worker) -> bool {
    worker.is_active() && worker.health.unreachable.is_none()
}

fn can_be_gone_to(state: &State, worker: &WorkerId) -> bool {
    state.worker(worker).is_some_and(|known| !known.is_active() && known.address.is_some())
}

/// Whether the worker is gone, or is inactive and to be found elsewhere.
fn has_lost_its_reason(state: &State, worker: &WorkerId, address: &str) -> bool {
    state
        .worker(worker)
        .is_none_or(|known| !known.is_active() && known.address.as_deref() != Some(address))
}

fn log_attempts(count: usize, is_new: bool) {
    if is_new {
        tracing::info!("attempting to reconnect to {count} inactive worker(s)");
    } else {
        tracing::debug!("attempting to reconnect to {count} inactive worker(s)");
    }
}
