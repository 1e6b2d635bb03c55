//! The worker reconnection monitor: contacts inactive workers until they reconnect or are
//! unregistered; on election, announces the leader to active ones; on request, contacts at once.

mod backoff;
mod contact;
mod registrations;
mod requests;
mod schedule;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{HealthFinding, LogIndex, ReconnectSettings, State, Worker, WorkerId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::contact::{ContactResult, contact};
use self::registrations::AwaitedRegistrations;
use self::requests::OpenRequests;
use self::schedule::{Completed, ContactSchedule, InactiveWorker, Trigger};
use super::duty::{Duty, Wait};
use super::state::{LeaderState, Outcome, ReconnectRequest, Target};
use crate::metrics::Reconnected;

/// Pause between two searches for inactive workers, however fast the state moves.
const SEARCH_PAUSE: Duration = Duration::from_millis(100);

/// The monitor of one term.
///
/// When the term ends, open contacts are dropped, and open requests are interrupted.
#[derive(Debug)]
pub(crate) struct ReconnectionMonitor {
    leader: Arc<LeaderState>,
    config: ReconnectSettings,
    requests: mpsc::Receiver<ReconnectRequest>,
    schedule: ContactSchedule,
    open_requests: OpenRequests,
    /// Open contacts. A contact that was withdrawn ends without a result.
    contacts: JoinSet<(WorkerId, Option<ContactResult>)>,
    under_way: BTreeMap<WorkerId, UnderWay>,
    awaited: AwaitedRegistrations,
    /// The latest change of an inactive worker that the schedule reflects.
    seen: LogIndex,
    next_search: Instant,
}

/// Basis of an open contact.
#[derive(Debug)]
struct UnderWay {
    address: String,
    trigger: Trigger,
    withdraw: CancellationToken,
}

impl ReconnectionMonitor {
    /// Starts the monitor of one term: the active workers are in line for an announcement of the
    /// leader. The inactive ones belong to the first round.
    #[must_use]
    pub(crate) fn start(
        leader: Arc<LeaderState>,
        requests: mpsc::Receiver<ReconnectRequest>,
    ) -> Self {
        let reader = leader.node.reader();
        let config = reader.with(|state| leader.settings.of(state).reconnect.clone());
        leader.tell_of_monitor(config.enabled);

        let now = Instant::now();
        let mut schedule = ContactSchedule::new(config.backoff, parallel_max(&config));
        let active = leader.node.reader().with(|state| {
            let active = state.workers().filter(|one| one.is_active() && one.address.is_some());
            active.map(|worker| worker.id.clone()).collect()
        });
        schedule.announce(active, now);

        Self {
            leader,
            requests,
            schedule,
            awaited: AwaitedRegistrations::new(config.registration_timeout),
            config,
            open_requests: OpenRequests::default(),
            contacts: JoinSet::new(),
            under_way: BTreeMap::new(),
            seen: LogIndex(0),
            next_search: now,
        }
    }

    /// Takes in the settings in force. When they have changed, every inactive worker is looked at
    /// again: by its new interval it may be due.
    fn follow_settings(&mut self) {
        let leader = &self.leader;
        let changed = leader.node.reader().with(|state| {
            let config = &leader.settings.of(state).reconnect;
            (*config != self.config).then(|| config.clone())
        });
        let Some(config) = changed else { return };

        if config.enabled != self.config.enabled {
            leader.tell_of_monitor(config.enabled);
        }
        self.schedule.set_bounds(config.backoff, parallel_max(&config));
        self.awaited.set_patience(config.registration_timeout);
        self.seen = LogIndex(0);
        self.config = config;
    }

    /// Takes in workers that have become inactive, withdraws contacts that have lost their reason,
    /// and begins a round over the workers that are due. The cost depends on what has changed and
    /// what is due.
    fn search(&mut self) {
        let now = Instant::now();
        let Self { config, schedule, under_way, seen, .. } = self;
        let round = self.leader.node.reader().with(|state| {
            for (worker, contact) in under_way {
                if has_lost_its_reason(state, worker, &contact.address) {
                    contact.withdraw.cancel();
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
                let inactive = InactiveWorker { since: worker.changed_at, address, interval };
                schedule.on_inactive(&worker.id, inactive, now);
            }
            schedule.begin_round(now, |worker| can_be_contacted(state, worker))
        });
        if let Some(round) = round {
            log_contacts(round.workers, round.is_new);
        }
        self.settle_registrations(now);
    }

    /// Settles the workers that were reached and have registered since, and those that have not
    /// registered in time.
    fn settle_registrations(&mut self, now: Instant) {
        let awaited = &mut self.awaited;
        let (registered, late) = self.leader.node.reader().with(|state| {
            // A worker that was unregistered meanwhile is not awaited either.
            awaited.take_ended(now, |worker| state.worker(worker).is_none_or(|one| one.is_active()))
        });

        for (worker, reached) in registered {
            if self.leader.node.reader().with(|state| state.worker(&worker).is_none()) {
                self.open_requests.on_unregistered(&worker);
                continue;
            }
            tracing::info!(%worker, address = reached.address, "successfully reconnected to worker");
            // A contact that goes on is not a second success.
            if let Some(contact) = self.under_way.get(&worker) {
                contact.withdraw.cancel();
            }
            self.schedule.on_no_trouble(&worker);
            self.leader.metrics.on_reconnect_ended(Reconnected::Yes, 1);
            self.leader.metrics.on_reconnect_ended(Reconnected::No, reached.contacts - 1);
            self.open_requests.on_outcome(&worker, Outcome::Reached);
        }

        for (worker, reached) in late {
            let result = ContactResult::NotRegistered(self.config.registration_timeout);
            self.report(&worker, &reached.address, &result);
            self.leader.metrics.on_reconnect_ended(Reconnected::No, reached.contacts);
            self.open_requests.on_outcome(&worker, result.outcome());
        }
    }

    /// Takes in a request: puts in line the workers that have to be contacted for it.
    fn on_request(&mut self, request: ReconnectRequest) {
        let mut outcomes = BTreeMap::new();
        let mut awaited = Vec::new();
        let mut sort = |worker: &Worker| match (is_reachable(worker), &worker.address) {
            (true, _) => drop(outcomes.insert(worker.id.clone(), Outcome::Active)),
            (false, None) => drop(outcomes.insert(worker.id.clone(), Outcome::NoAddress)),
            (false, Some(_)) => awaited.push(worker.id.clone()),
        };
        self.leader.node.reader().with(|state| match &request.target {
            Target::One(id) => state.worker(id).into_iter().for_each(|worker| sort(worker)),
            Target::AllInactive => {
                let unreachable = state.ailing_workers().filter(|worker| !is_reachable(worker));
                state.inactive_workers().chain(unreachable).for_each(|worker| sort(worker));
            }
        });

        if !awaited.is_empty() {
            log_contacts(awaited.len(), true);
        }
        self.open_requests.open(request, outcomes, &awaited);
        self.schedule.request(awaited, Instant::now());
    }

    /// Starts contacts with the workers that are first in line.
    fn start_contacts(&mut self, now: Instant) {
        while let Some((worker, trigger)) = self.schedule.start_next(now) {
            let address = self.leader.node.reader().with(|state| {
                let known = state.worker(&worker)?;
                let has_reason = trigger == Trigger::Announcement || !is_reachable(known);
                known.address.clone().filter(|_| has_reason)
            });
            match address {
                Some(address) => self.start_contact(worker, address, trigger),
                None => self.on_withdrawn(&worker),
            }
        }
    }

    fn start_contact(&mut self, worker: WorkerId, address: String, trigger: Trigger) {
        let leader = Arc::clone(&self.leader);
        let timeout = self.config.attempt_timeout;
        let withdraw = CancellationToken::new();
        let under_way = UnderWay { address: address.clone(), trigger, withdraw: withdraw.clone() };
        self.under_way.insert(worker.clone(), under_way);
        self.contacts.spawn(async move {
            let contact = contact(&leader, &worker, &address, timeout);
            let result = withdraw.run_until_cancelled(contact).await;
            (worker, result)
        });
    }

    fn on_contact_ended(&mut self, worker: &WorkerId, result: Option<ContactResult>) {
        let Some(UnderWay { address, trigger, withdraw }) = self.under_way.remove(worker) else {
            return;
        };
        let Some(result) = result.filter(|_| !withdraw.is_cancelled()) else {
            self.on_withdrawn(worker);
            return;
        };

        self.report(worker, &address, &result);
        if let ContactResult::NewerTerm(_) = result {
            self.leader.doubt_leadership();
        }
        if result.is_reached() {
            tracing::debug!(%worker, address, ?trigger, "worker was told who leads");
            let known = self.leader.node.reader().with(|state| state.worker(worker).cloned());
            if let Some(known) = known.filter(|known| !is_reachable(known)) {
                self.leader.findings.post(worker, known.epoch, HealthFinding::Reachable);
            }
        }
        self.end_contact(worker, Some(&result));

        if trigger == Trigger::Announcement {
            self.leader.metrics.on_announced(result.is_reached());
            self.open_requests.on_outcome(worker, result.outcome());
            return;
        }
        self.leader.metrics.on_reconnect_attempt();
        if result.is_reached() {
            // It may have registered before its answer arrived: then there is nothing to await.
            self.awaited.on_reached(worker, &address, Instant::now());
            self.settle_registrations(Instant::now());
        } else {
            self.leader.metrics.on_reconnect_ended(Reconnected::No, 1);
            self.open_requests.on_outcome(worker, result.outcome());
        }
    }

    /// Handles a contact that was withdrawn or not begun: the worker is gone, active, or elsewhere.
    fn on_withdrawn(&mut self, worker: &WorkerId) {
        self.end_contact(worker, None);
        let known = self.leader.node.reader().with(|state| {
            state.worker(worker).map(|worker| (is_reachable(worker), worker.address.is_some()))
        });
        match known {
            None => {
                self.schedule.forget(worker, Instant::now());
                self.leader.channels.close(worker);
                self.open_requests.on_unregistered(worker);
            }
            Some((true, _)) => self.open_requests.on_outcome(worker, Outcome::Active),
            Some((false, false)) => self.open_requests.on_outcome(worker, Outcome::NoAddress),
            Some((false, true)) if self.open_requests.awaits(worker) => {
                self.schedule.request(vec![worker.clone()], Instant::now());
            }
            Some((false, true)) => {}
        }
    }

    /// Ends a contact in the schedule, and reports the batch that ends with it.
    fn end_contact(&mut self, worker: &WorkerId, result: Option<&ContactResult>) {
        match self.schedule.on_ended(worker, result, Instant::now(), rand::random()) {
            Some(Completed::Round(took)) => self.leader.metrics.on_reconnect_round(took),
            Some(Completed::Announcements { took, reached, failed }) => {
                tracing::info!(reached, failed, ?took, "active workers were told who leads");
                self.leader.metrics.on_announcements_completed(took);
            }
            None => {}
        }
    }

    /// Logs trouble with a worker, once until something else is seen.
    fn report(&mut self, worker: &WorkerId, address: &str, result: &ContactResult) {
        if *result == ContactResult::Offline {
            self.schedule.on_no_trouble(worker);
        }
        if result.is_trouble() && self.schedule.is_news(worker, result) {
            result.log_trouble(worker, address);
        }
    }
}

impl Duty for ReconnectionMonitor {
    const NAME: &'static str = "reconnection monitor";
    // It proposes nothing.
    const RESTS: bool = false;
    type Error = Infallible;

    async fn pass(&mut self) -> Result<Wait, Infallible> {
        if Instant::now() >= self.next_search {
            self.follow_settings();
            self.search();
            self.next_search = Instant::now() + SEARCH_PAUSE;
        }
        let now = Instant::now();
        self.start_contacts(now);

        let due = self.schedule.next_due().filter(|_| self.config.enabled);
        let next = [due, self.awaited.next_end()].into_iter().flatten().min();
        let next = next.map(|at| at.max(self.next_search));
        let next = next.into_iter().chain(self.schedule.next_start(now)).min();
        Ok(Wait::for_change_after(self.next_search).at_most_until(next))
    }

    async fn wake(&mut self) {
        tokio::select! {
            Some(Ok((worker, result))) = self.contacts.join_next() => {
                self.on_contact_ended(&worker, result);
            }
            Some(request) = self.requests.recv() => self.on_request(request),
            else => std::future::pending().await,
        }
    }
}

impl Drop for ReconnectionMonitor {
    fn drop(&mut self) {
        self.leader.metrics.on_reconnect_monitor(false);
        if self.config.enabled {
            tracing::info!("worker reconnection monitor stopped");
        }
    }
}

impl LeaderState {
    /// Tells whether the monitor contacts inactive workers without being asked.
    fn tell_of_monitor(&self, is_enabled: bool) {
        if is_enabled {
            tracing::info!("worker reconnection monitor started");
        } else {
            tracing::info!("worker reconnection monitor is disabled: it works on demand only");
        }
        self.metrics.on_reconnect_monitor(is_enabled);
    }
}

fn parallel_max(config: &ReconnectSettings) -> usize {
    usize::try_from(config.max_parallel).unwrap_or(usize::MAX)
}

/// Tells whether the worker is connected and can be called, by its record.
fn is_reachable(worker: &Worker) -> bool {
    worker.is_active() && worker.health.unreachable.is_none()
}

/// Tells whether the worker is inactive and has an address.
fn can_be_contacted(state: &State, worker: &WorkerId) -> bool {
    state.worker(worker).is_some_and(|known| !known.is_active() && known.address.is_some())
}

/// Tells whether the worker is gone, or is inactive and has another address.
fn has_lost_its_reason(state: &State, worker: &WorkerId, address: &str) -> bool {
    state
        .worker(worker)
        .is_none_or(|known| !known.is_active() && known.address.as_deref() != Some(address))
}

fn log_contacts(count: usize, is_new: bool) {
    if is_new {
        tracing::info!("attempting to reconnect to {count} inactive worker(s)");
    } else {
        tracing::debug!("attempting to reconnect to {count} inactive worker(s)");
    }
}
