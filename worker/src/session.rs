//! Keeps the worker registered: finds the leader, registers, and keeps the session alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster_state::{AddressSource, DataId, Incarnation, Specs, StartNumber, WorkerId};
use proto::channel::Dialer;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::attempts::{Admission, Attempts};
use crate::backoff::Backoff;
use crate::certificates::TrustVersions;
use crate::clock;
use crate::devices::Offer;
use crate::identity::{Identity, IdentityError, LeaderRefusal};
use crate::join_token::JoinToken;
use crate::leader_finder::{LeaderFinder, Readmission, Step};
use crate::lease::Lease;
use crate::ledger::{Overtaken, Session};
use crate::specs::UsageMeter;

mod active;
mod complaints;
mod incoming;
mod leader_signal;
mod master_client;
mod route;
mod server;
mod service;

use complaints::{Complaints, with_causes};
pub(crate) use leader_signal::LeaderSignal;
use leader_signal::{next_signal, superseded};
use master_client::{CallError, MasterClient, Registered};
pub use server::ServerError;
pub(crate) use server::{Health, Server};
pub(crate) use service::LeaderCalls;

/// Time that killed attempts have to disappear before the worker registers again.
const FENCE_GRACE: Duration = Duration::from_secs(5);
/// Time from SIGTERM to SIGKILL for attempts when the worker is unregistered.
const DISMISSAL_GRACE: Duration = Duration::from_secs(10);
/// Time that a shutdown waits for the answer to a registration.
const LAST_REGISTRATION_MAX: Duration = Duration::from_secs(1);
/// A session that lasts for less counts as a failure.
const SHORT_SESSION: Duration = Duration::from_secs(2);
const FLAPPING_BASE: Duration = Duration::from_millis(200);
const FLAPPING_CAP: Duration = Duration::from_secs(5);

/// Description of the worker in its registration.
#[derive(Debug, Clone)]
pub(crate) struct Introduction {
    pub(crate) worker_id: WorkerId,
    /// Process start of the worker.
    pub(crate) incarnation: Incarnation,
    /// Data directory of the worker.
    pub(crate) data: DataId,
    pub(crate) start: StartNumber,
    /// Address under which the worker is reached.
    pub(crate) address: String,
    /// Origin of the address: an operator or detection.
    pub(crate) address_source: AddressSource,
    /// Resources besides devices, and labels.
    pub(crate) specs: Specs,
    /// Devices that tasks may use at present.
    pub(crate) offer: watch::Receiver<Offer>,
    /// Opens connections to masters.
    pub(crate) dialer: Dialer,
    /// Versions of what the cluster trusts.
    pub(crate) trust: TrustVersions,
    /// Token that admits the worker if no operator has registered it.
    pub(crate) join_token: Option<JoinToken>,
    /// Number of registrations begun so far.
    pub(crate) registrations: Arc<AtomicU64>,
    /// Reason that the machine cannot run tasks, while it cannot.
    pub(crate) unfit: watch::Receiver<Option<String>>,
}

impl Introduction {
    /// Returns the reason that the machine cannot run tasks at present.
    fn unfit(&self) -> Option<String> {
        self.unfit.borrow().clone()
    }

    /// Returns resources and labels with these devices.
    fn specs_with(&self, offer: &Offer) -> Specs {
        let specs = self.specs.clone();
        Specs { total: offer.amend(specs.total), ..specs }
    }

    /// Returns the number of a new registration, so that the leader can recognize one that was
    /// given up and arrives late.
    fn next_sequence(&self) -> u64 {
        self.registrations.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Keeps one session at a time with the current leader.
#[derive(Debug)]
pub(crate) struct SessionKeeper {
    introduction: Introduction,
    attempts: Attempts,
    identity: Arc<Identity>,
    lease: Arc<Lease>,
    usage: UsageMeter,
    signals: watch::Receiver<Option<LeaderSignal>>,
    stop: CancellationToken,
    finder: LeaderFinder,
    flapping: Backoff,
    complaints: Complaints,
    /// True once it was logged that the worker waits for a call.
    waiting_told: bool,
}

/// Dependencies of a session keeper.
#[derive(Debug)]
pub(crate) struct SessionParts {
    pub(crate) introduction: Introduction,
    pub(crate) attempts: Attempts,
    pub(crate) identity: Arc<Identity>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) usage: UsageMeter,
    /// Calls of leaders, as they arrive.
    pub(crate) signals: watch::Receiver<Option<LeaderSignal>>,
    /// Ends the session.
    pub(crate) stop: CancellationToken,
}

/// Reason that a session has ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error("the worker is shutting down")]
    Stopped,
    #[error("a leader has called")]
    Signaled(LeaderSignal),
    #[error("the leader asks to register again")]
    RegisterAgain,
    #[error("the worker has other devices than it had")]
    DevicesChanged,
    #[error("the lease has lapsed")]
    LeaseLapsed,
    #[error("the leader at {leader} is lost: {error}")]
    LeaderLost { leader: String, error: CallError },
    #[error("the leader is refused: {0}")]
    Refused(#[from] LeaderRefusal),
}

/// Reason that a registration failed.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the leader is refused: {0}")]
    Refused(#[from] LeaderRefusal),
    #[error("cannot store the leader's term")]
    NotStorable(#[source] IdentityError),
    #[error(transparent)]
    Overtaken(#[from] Overtaken),
    #[error("a leader has called")]
    Signaled(LeaderSignal),
    #[error("the worker is shutting down")]
    Stopped,
}

impl SessionKeeper {
    /// Creates a keeper that knows the masters named by the operator and by an earlier leader.
    pub(crate) fn new(parts: SessionParts, masters: impl IntoIterator<Item = String>) -> Self {
        let SessionParts { introduction, attempts, identity, lease, usage, signals, stop } = parts;
        let mut finder = LeaderFinder::new(masters);
        finder.on_masters(identity.masters());
        Self {
            introduction,
            attempts,
            identity,
            lease,
            usage,
            signals,
            stop,
            finder,
            flapping: Backoff::new(FLAPPING_BASE, FLAPPING_CAP),
            complaints: Complaints::default(),
            waiting_told: false,
        }
    }

    /// Runs until it is stopped; an active session then ends with a goodbye.
    pub(crate) async fn run(mut self) {
        while let Some(address) = self.next_master().await {
            match self.register(&address).await {
                Ok(registered) => {
                    let began_at = Instant::now();
                    let end = Box::pin(self.keep(&registered)).await;
                    self.attempts.end_session();
                    self.on_session_ended(end, began_at).await;
                }
                Err(error) => {
                    self.attempts.end_session();
                    self.on_register_failed(&address, &error);
                }
            }
        }
    }

    /// Returns the next master to register with, or none when the worker stops.
    async fn next_master(&mut self) -> Option<String> {
        loop {
            if self.stop.is_cancelled() {
                return None;
            }
            match self.finder.next_step(rand::random()) {
                Step::Ask(address) => return Some(address),
                Step::Pause(pause) => self.pause(pause).await,
                Step::AwaitCall => {
                    if !std::mem::replace(&mut self.waiting_told, true) {
                        info!(worker = %self.introduction.worker_id, "waiting for a leader to call");
                    }
                    self.pause(Duration::MAX).await;
                }
            }
        }
    }

    /// Waits for that time, or until a leader calls or the worker stops.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            signal = next_signal(&mut self.signals) => self.on_signal(signal),
            () = self.stop.cancelled() => {}
        }
    }

    async fn register(&mut self, address: &str) -> Result<Registered, RegisterError> {
        self.attempts.fence();
        if tokio::time::timeout(FENCE_GRACE, self.attempts.fenced()).await.is_err() {
            warn!("killed attempts have not ended yet");
        }

        // A leader whose term cannot be stored is not asked: the registration alone would make this
        // worker look well.
        self.identity.ensure_storable().await.map_err(RegisterError::NotStorable)?;

        let client = MasterClient::new(&self.introduction.dialer, address)?;
        self.log_registering(address);
        let snapshot = self.attempts.begin_registration();
        let sent_at = clock::now();
        let met = self.identity.cluster_id();
        let call = client.register(&self.introduction, met, self.identity.term_seen(), snapshot);

        // The leader may have accepted the registration already, and must be told that the worker
        // leaves.
        let stopped = async {
            self.stop.cancelled().await;
            sleep(LAST_REGISTRATION_MAX).await;
        };
        let registered = tokio::select! {
            registered = call => registered?,
            signal = superseded(&mut self.signals, address) => {
                return Err(RegisterError::Signaled(signal));
            }
            () = stopped => return Err(RegisterError::Stopped),
        };

        self.identity.admit(registered.cluster, registered.session.term).await?;
        self.attempts.complete_registration(&Admission {
            session: registered.session,
            unwanted: &registered.unwanted,
            confirmed: &registered.confirmed,
            sent_at,
            grant: registered.grant,
        })?;
        self.on_registered(address, &registered).await;
        Ok(registered)
    }

    async fn on_registered(&mut self, address: &str, registered: &Registered) {
        let Session { epoch, leader, term } = registered.session;
        info!(worker = %self.introduction.worker_id, %leader, %term, %epoch, master = address,
            cluster = %registered.cluster, "worker registered");
        self.complaints.clear();
        self.waiting_told = false;
        self.finder.on_masters(registered.masters.iter().cloned());
        self.finder.on_found(registered.leader_address.clone());
        if let Err(error) = self.identity.remember_masters(registered.masters.clone()).await {
            warn!(%error, "cannot store the addresses of the masters");
        }
    }

    async fn on_session_ended(&mut self, end: SessionEnd, began_at: Instant) {
        match end {
            SessionEnd::Stopped => return,
            SessionEnd::Signaled(signal) => return self.on_signal(signal),
            again @ (SessionEnd::RegisterAgain | SessionEnd::DevicesChanged) => {
                info!(reason = %again, "registering again");
            }
            SessionEnd::LeaseLapsed => warn!("lease lapsed, looking for the leader"),
            SessionEnd::LeaderLost { leader, error } => {
                warn!(leader, %error, "leader lost, looking for it");
                self.finder.on_lost(leader);
                if let Some(leader) = error.leader() {
                    self.finder.on_hint(leader.to_owned());
                }
            }
            SessionEnd::Refused(error) => {
                let error = with_causes(&error);
                warn!(error, "leader refused, looking for another");
            }
        }

        if began_at.elapsed() < SHORT_SESSION {
            let pause = self.flapping.on_failed(rand::random());
            self.pause(pause).await;
        } else {
            self.flapping.on_succeeded();
        }
    }

    fn on_register_failed(&mut self, address: &str, error: &RegisterError) {
        match error {
            RegisterError::Signaled(signal) => return self.on_signal(signal.clone()),
            RegisterError::Call(CallError::Unregistered(_)) => {
                // Its tasks were queued again when it was unregistered.
                self.attempts.dismiss(DISMISSAL_GRACE);
                self.finder.on_turned_away(self.readmission());
            }
            // The verdict does not say whether the worker is registered, so attempts go on, at most
            // until the end of the lease.
            RegisterError::Call(CallError::NotAdmitted(_)) => {
                self.finder.on_turned_away(Readmission::Ask);
            }
            // The other worker of that name keeps it; this one is admitted when that lease is over.
            RegisterError::Call(CallError::NameInUse(_)) => {
                self.finder.on_turned_away(Readmission::AskSoon);
            }
            RegisterError::Call(call_error) => {
                if let Some(leader) = call_error.leader() {
                    self.finder.on_hint(leader.to_owned());
                }
            }
            RegisterError::Refused(_)
            | RegisterError::NotStorable(_)
            | RegisterError::Overtaken(_)
            | RegisterError::Stopped => {}
        }

        let error = with_causes(error);
        match self.complaints.record(&error, Instant::now()) {
            Some(failures) => warn!(master = address, error, failures, "not registered"),
            None => debug!(master = address, error, "not registered"),
        }
    }

    const fn readmission(&self) -> Readmission {
        match self.introduction.join_token {
            Some(_) => Readmission::Ask,
            None => Readmission::AwaitCall,
        }
    }

    fn on_signal(&mut self, signal: LeaderSignal) {
        match signal {
            LeaderSignal::Register(call) => {
                self.waiting_told = false;
                self.finder.on_called(call.address, call.masters);
            }
            LeaderSignal::Unregister(_) => {
                // The service has logged why.
                self.waiting_told = true;
                self.finder.on_turned_away(self.readmission());
            }
        }
    }

    fn log_registering(&self, address: &str) {
        let worker = &self.introduction.worker_id;
        if self.complaints.is_empty() {
            info!(%worker, master = address, "registering");
        } else {
            debug!(%worker, master = address, "registering");
        }
    }
}
