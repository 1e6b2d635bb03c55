//! The worker's standing with the cluster: finds the leader, registers, and keeps the session up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster_state::{Incarnation, MasterId, Specs, Term, WorkerId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::attempts::Attempts;
use crate::backoff::Backoff;
use crate::identity::{Disobedience, Identity};
use crate::leader_finder::{LeaderFinder, Step};
use crate::lease::Lease;
use crate::ledger::{Overtaken, Session};
use crate::specs::UsageMeter;

mod leader_client;
mod server;
mod service;
mod standing;

use leader_client::{CallError, LeaderClient, Registered};
pub use server::ServerError;
pub(crate) use server::{Health, Server};
pub(crate) use service::LeaderDesk;

/// How long a registration under way may take once another leader has called. If it reaches that
/// leader through a follower it is about to be answered; one that were given up and arrived late
/// would tell the leader of a past state.
const OVERTAKE_GRACE: Duration = Duration::from_millis(500);
/// How long killed attempts may take to be gone before the worker registers again.
const FENCE_GRACE: Duration = Duration::from_secs(5);
/// A session that ended sooner counts as a failure.
const SHORT_SESSION: Duration = Duration::from_secs(2);
const FLAPPING_BASE: Duration = Duration::from_millis(200);
const FLAPPING_CAP: Duration = Duration::from_secs(5);

/// What the worker says of itself when it registers.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    /// Its name.
    pub(crate) worker_id: WorkerId,
    /// This process start of it.
    pub(crate) incarnation: Incarnation,
    /// Where it listens.
    pub(crate) address: String,
    /// What it has.
    pub(crate) specs: Specs,
    /// Registrations begun so far.
    pub(crate) registrations: Arc<AtomicU64>,
}

impl Introduction {
    /// The number of a registration that begins now, so that the leader can tell one that was
    /// given up and arrives late.
    fn next_sequence(&self) -> u64 {
        self.registrations.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A leader has said that it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Who.
    pub(crate) leader: MasterId,
    /// In which term.
    pub(crate) term: Term,
    /// Where it is reached.
    pub(crate) address: String,
    /// All masters that it knows.
    pub(crate) masters: Vec<String>,
}

/// Keeps one session at a time with whoever leads.
#[derive(Debug)]
pub(crate) struct SessionKeeper {
    introduction: Introduction,
    attempts: Attempts,
    identity: Arc<Identity>,
    lease: Arc<Lease>,
    usage: UsageMeter,
    calls: watch::Receiver<Option<Call>>,
    stop: CancellationToken,
    finder: LeaderFinder,
    flapping: Backoff,
    /// Failures that were told since the last success: each kind is told once.
    told: BTreeSet<String>,
}

/// What a session keeper works with.
#[derive(Debug)]
pub(crate) struct SessionParts {
    /// What the worker says of itself.
    pub(crate) introduction: Introduction,
    /// What it runs.
    pub(crate) attempts: Attempts,
    /// Whom it obeys.
    pub(crate) identity: Arc<Identity>,
    /// How long it may run what it runs.
    pub(crate) lease: Arc<Lease>,
    /// How busy the machine is.
    pub(crate) usage: UsageMeter,
    /// Where leaders' calls arrive.
    pub(crate) calls: watch::Receiver<Option<Call>>,
    /// Ends the session.
    pub(crate) stop: CancellationToken,
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error("the worker is shutting down")]
    Stopped,
    #[error("another leader has called")]
    Called(Call),
    #[error("the leader asks to register again")]
    RegisterAgain,
    #[error("the lease has lapsed")]
    LeaseLapsed,
    #[error("the leader is lost: {0}")]
    LeaderLost(CallError),
    #[error("the leader is not obeyed: {0}")]
    Disobeyed(#[from] Disobedience),
}

/// Why a registration failed.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the leader is not obeyed: {0}")]
    Disobeyed(#[from] Disobedience),
    #[error(transparent)]
    Overtaken(#[from] Overtaken),
    #[error("another leader has called")]
    Called(Call),
    #[error("the worker is shutting down")]
    Stopped,
}

impl SessionKeeper {
    /// Knows the masters that the operator named, and those that an earlier leader named.
    pub(crate) fn new(parts: SessionParts, masters: impl IntoIterator<Item = String>) -> Self {
        let SessionParts { introduction, attempts, identity, lease, usage, calls, stop } = parts;
        let mut finder = LeaderFinder::new(masters);
        finder.on_masters(identity.masters());
        Self {
            introduction,
            attempts,
            identity,
            lease,
            usage,
            calls,
            stop,
            finder,
            flapping: Backoff::new(FLAPPING_BASE, FLAPPING_CAP),
            told: BTreeSet::new(),
        }
    }

    /// Runs until it is stopped; a session that stands then ends with a goodbye.
    pub(crate) async fn run(mut self) {
        while let Some(address) = self.next_master().await {
            match self.register(&address).await {
                Ok((client, registered)) => {
                    let began_at = Instant::now();
                    let end = self.keep(&client, &registered).await;
                    self.attempts.end_session();
                    self.on_session_ended(end, began_at).await;
                }
                Err(error) => {
                    self.attempts.end_session();
                    self.on_register_failed(&address, error);
                }
            }
        }
    }

    /// Whom to register with; none when the worker stops.
    async fn next_master(&mut self) -> Option<String> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            match self.finder.next_step(rand::random()) {
                Step::Ask(address) => return Some(address),
                Step::Pause(pause) => self.pause(pause).await,
                Step::AwaitCall => {
                    info!(worker = %self.introduction.worker_id, "waiting for a leader to call");
                    self.pause(Duration::MAX).await;
                }
            }
        }
    }

    /// Waits, but not when a leader calls or the worker stops.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            call = next_call(&mut self.calls) => self.on_called(call),
            () = self.stop.cancelled() => {}
        }
    }

    async fn register(
        &mut self,
        address: &str,
    ) -> Result<(LeaderClient, Registered), RegisterError> {
        if self.lease.has_lapsed() {
            self.attempts.fence();
            if tokio::time::timeout(FENCE_GRACE, self.attempts.idle()).await.is_err() {
                warn!("killed attempts are still there");
            }
        }
        let client = LeaderClient::new(address)?;
        self.log_registering(address);
        let snapshot = self.attempts.begin_registration();
        let sent_at = Instant::now();
        let met = self.identity.cluster_id();
        let call = client.register(&self.introduction, met, self.identity.term_seen(), snapshot);
        let registered = tokio::select! {
            registered = call => registered?,
            call = called_elsewhere(&mut self.calls, address) => {
                return Err(RegisterError::Called(call));
            }
            () = self.stop.cancelled() => return Err(RegisterError::Stopped),
        };
        self.identity.admit(registered.cluster, registered.session.term).await?;
        self.attempts.complete_registration(
            registered.session,
            &registered.unwanted,
            &registered.confirmed,
        )?;
        self.lease.renew(sent_at, registered.lease);
        self.on_registered(address, &registered).await;
        Ok((self.settle_on(client, &registered).await, registered))
    }

    async fn on_registered(&mut self, address: &str, registered: &Registered) {
        let Session { epoch, leader, term } = registered.session;
        info!(worker = %self.introduction.worker_id, %leader, %term, %epoch, master = address,
            cluster = %registered.cluster, "worker registered");
        self.told.clear();
        self.finder.on_masters(registered.masters.iter().cloned());
        self.finder.on_found(registered.leader_address.clone());
        if let Err(error) = self.identity.remember_masters(registered.masters.clone()).await {
            warn!(%error, "masters not remembered");
        }
    }

    /// Talks to the leader directly, unless only a follower can be reached.
    async fn settle_on(&self, client: LeaderClient, registered: &Registered) -> LeaderClient {
        if client.address() == registered.leader_address {
            return client;
        }
        let usage = crate::specs::Usage::default();
        match LeaderClient::new(&registered.leader_address) {
            Ok(direct) => match direct
                .heartbeat(&self.introduction, registered, usage, self.attempts.running_count())
                .await
            {
                Ok(_) => direct,
                Err(error) => {
                    warn!(leader = registered.leader_address, %error,
                        "leader not reached directly, staying with a follower");
                    client
                }
            },
            Err(error) => {
                warn!(%error, "leader's address not understood");
                client
            }
        }
    }

    async fn on_session_ended(&mut self, end: SessionEnd, began_at: Instant) {
        match end {
            SessionEnd::Stopped => return,
            SessionEnd::Called(call) => return self.on_called(call),
            SessionEnd::RegisterAgain => info!("leader asks to register again"),
            SessionEnd::LeaseLapsed => warn!("lease lapsed, looking for the leader"),
            SessionEnd::LeaderLost(error) => {
                warn!(%error, "leader lost, looking for it");
                if let Some(leader) = error.leader() {
                    self.finder.on_hint(leader.to_owned());
                }
            }
            SessionEnd::Disobeyed(error) => warn!(%error, "leader not obeyed, looking for another"),
        }
        if began_at.elapsed() < SHORT_SESSION {
            let pause = self.flapping.on_failed(rand::random());
            self.pause(pause).await;
        } else {
            self.flapping.on_succeeded();
        }
    }

    fn on_register_failed(&mut self, address: &str, error: RegisterError) {
        if let RegisterError::Called(call) = error {
            return self.on_called(call);
        }
        if let RegisterError::Call(call_error) = &error
            && let Some(leader) = call_error.leader()
        {
            self.finder.on_hint(leader.to_owned());
        }
        // An outage makes the same failures again and again.
        if self.told.insert(error.to_string()) {
            warn!(master = address, %error, "not registered");
        } else {
            debug!(master = address, %error, "not registered");
        }
    }

    fn on_called(&mut self, call: Call) {
        self.finder.on_masters(call.masters);
        self.finder.on_called(call.address);
    }

    fn log_registering(&self, address: &str) {
        let worker = &self.introduction.worker_id;
        if self.told.is_empty() {
            info!(%worker, master = address, "registering");
        } else {
            debug!(%worker, master = address, "registering");
        }
    }
}

/// Waits for a leader to call.
async fn next_call(calls: &mut watch::Receiver<Option<Call>>) -> Call {
    while calls.changed().await.is_ok() {
        if let Some(call) = calls.borrow_and_update().clone() {
            return call;
        }
    }
    std::future::pending().await
}

/// Waits for a leader at another address to call, and then a little longer.
async fn called_elsewhere(calls: &mut watch::Receiver<Option<Call>>, address: &str) -> Call {
    loop {
        let call = next_call(calls).await;
        if call.address != address {
            tokio::time::sleep(OVERTAKE_GRACE).await;
            return call;
        }
    }
}
