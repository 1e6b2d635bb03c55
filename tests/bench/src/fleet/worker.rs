//! One simulated worker: registers when a leader calls, and then beats its heart.

use std::sync::Arc;
use std::time::Duration;

use credentials::Expected;
use parking_lot::{Mutex, MutexGuard};
use proto::channel::{Dialer, InvalidAddress};
use proto::relays::Relays;
use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;
use rand::RngExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;
use uuid::Uuid;

use super::counters::FleetCounters;
use super::known_leaders::{KnownLeaders, Session};

/// As patient as a real worker.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(8);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest pause until a worker that lost its leader asks the next master.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Results that wait to be reported; more are refused and come again.
const RESULTS_MAX: usize = 1_000;

/// State of a simulated worker, and its way to the masters.
#[derive(Debug)]
pub(super) struct SimulatedWorker {
    id: String,
    incarnation: String,
    leaders: Mutex<KnownLeaders>,
    /// The address of the leader that has called last, and then those of all masters.
    calls: watch::Sender<Option<Call>>,
    results: mpsc::Sender<v1::AttemptRef>,
}

/// A leader has said that it leads.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Address of the leader.
    pub(super) leader: String,
    /// Addresses of all masters.
    pub(super) masters: Vec<String>,
}

/// The part that talks to masters.
#[derive(Debug)]
pub(super) struct SessionLoop {
    worker: Arc<SimulatedWorker>,
    address: String,
    counters: Arc<FleetCounters>,
    calls: watch::Receiver<Option<Call>>,
    results: mpsc::Receiver<v1::AttemptRef>,
    masters: Vec<String>,
    asked: usize,
    sequence: u64,
}

/// A session that stands, and how it is kept.
struct Kept {
    relays: Relays,
    /// The relay in use, and where it is.
    relay: Option<(String, MasterServiceClient<Channel>)>,
    session: Session,
    cluster_id: String,
    heartbeat_interval: Duration,
}

/// Reason that a call to a master failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    #[error("the master refused")]
    Refused(#[from] Box<Status>),
    #[error("no answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    #[error("the answer makes no sense")]
    Answer,
}

impl SimulatedWorker {
    /// Creates a worker, and the loop that keeps its session.
    pub(super) fn new(
        id: String,
        address: String,
        counters: Arc<FleetCounters>,
    ) -> (Arc<Self>, SessionLoop) {
        let (calls, called) = watch::channel(None);
        let (results, finished) = mpsc::channel(RESULTS_MAX);
        let incarnation = Uuid::new_v4().to_string();
        let leaders = Mutex::default();
        let worker = Arc::new(Self { id, incarnation, leaders, calls, results });
        let session_loop = SessionLoop {
            worker: Arc::clone(&worker),
            address,
            counters,
            calls: called,
            results: finished,
            masters: Vec::new(),
            asked: 0,
            sequence: 0,
        };
        (worker, session_loop)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn incarnation(&self) -> &str {
        &self.incarnation
    }

    pub(super) fn leaders(&self) -> MutexGuard<'_, KnownLeaders> {
        self.leaders.lock()
    }

    /// Records a leader's call.
    pub(super) fn on_called(&self, call: Call) {
        self.calls.send_replace(Some(call));
    }

    /// Takes on an attempt, which ends at once; `false` when there are too many to be reported.
    pub(super) fn finish(&self, attempt: v1::AttemptRef) -> bool {
        self.results.try_send(attempt).is_ok()
    }
}

impl SessionLoop {
    /// Runs until the process ends.
    pub(super) async fn run(mut self) {
        let mut leader = None;
        loop {
            let address = match leader.take() {
                Some(address) => address,
                None => self.next_master().await,
            };
            let Ok(mut kept) = self.register(&address).await else { continue };
            self.worker.leaders().set_session(Some(kept.session));
            self.counters.on_session(kept.session.term);
            leader = self.keep(&mut kept).await;
            self.worker.leaders().set_session(None);
            self.counters.on_session_ended(kept.session.term);
        }
    }

    /// Returns the leader that calls, or after a pause the next known master.
    async fn next_master(&mut self) -> String {
        loop {
            let pause = RETRY_PAUSE_MAX.mul_f64(rand::rng().random_range(0.1..1.0));
            tokio::select! {
                Some(call) = called(&mut self.calls) => {
                    self.masters = call.masters;
                    return call.leader;
                }
                () = sleep(pause), if !self.masters.is_empty() => {}
            }
            self.asked = self.asked.wrapping_add(1);
            let master = self.masters.get(self.asked.checked_rem(self.masters.len()).unwrap_or(0));
            if let Some(master) = master {
                return master.clone();
            }
        }
    }

    async fn register(&mut self, address: &str) -> Result<Kept, CallError> {
        let mut client = MasterServiceClient::new(
            Dialer::plain().connect_lazily_unprobed(address, Expected::Master)?,
        );
        self.sequence += 1;
        let (cluster_id, term_seen) = {
            let leaders = self.worker.leaders();
            (leaders.cluster(), leaders.term_seen())
        };

        let request = v1::RegisterWorkerRequest {
            cluster_id,
            worker_id: self.worker.id.clone(),
            incarnation: self.worker.incarnation.clone(),
            address: self.address.clone(),
            specs: Some(specs()),
            term_seen,
            sequence: self.sequence,
            // Each has a directory of its own, and one start in it.
            data_id: self.worker.incarnation.clone(),
            start: 1,
            ..v1::RegisterWorkerRequest::default()
        };

        let answer = timeout(REGISTER_TIMEOUT, client.register_worker(request)).await?;
        let answer = answer.map_err(Box::new)?.into_inner();
        let header = answer.leader.ok_or(CallError::Answer)?;
        self.worker.leaders().admit(&header).map_err(|_| CallError::Answer)?;
        self.masters = answer.masters.into_iter().map(|master| master.address).collect();

        Ok(Kept {
            relays: Relays::new(&header.leader_address, &answer.relays, rand::random()),
            relay: None,
            session: Session { leader: header.leader_id, term: header.term, epoch: answer.epoch },
            cluster_id: header.cluster_id,
            heartbeat_interval: Duration::from_millis(answer.heartbeat_interval_ms.max(10)),
        })
    }

    /// Beats and reports until the session ends; the leader that has called, if that is why.
    async fn keep(&mut self, kept: &mut Kept) -> Option<String> {
        // Workers of a real fleet did not all start in the same moment.
        let period = kept.heartbeat_interval;
        let phase = period.mul_f64(rand::rng().random_range(0.0..1.0));
        let mut beats = interval_at(Instant::now() + phase, period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);

        let worker = Arc::clone(&self.worker);
        loop {
            tokio::select! {
                call = called(&mut self.calls) => {
                    return call.map(|call| call.leader);
                }
                _ = beats.tick() => {
                    let answer = kept.beat(&worker).await?;
                    let header = answer.leader?;
                    let is_obeyed = worker.leaders().admit(&header).is_ok();
                    if answer.register_again || !is_obeyed {
                        return Some(header.leader_address).filter(|_| is_obeyed);
                    }
                    self.masters = answer.masters.into_iter().map(|one| one.address).collect();
                    kept.relays.on_answered(&header.leader_address, &answer.relays);
                    self.follow(&mut kept.session, &header);
                    self.counters.on_heartbeat();
                }
                Some(attempt) = self.results.recv() => {
                    kept.report(&worker, attempt).await?;
                }
            }
        }
    }

    /// Moves the session to a new leader that accepts a heartbeat.
    fn follow(&self, session: &mut Session, header: &v1::LeaderHeader) {
        if session.term == header.term {
            return;
        }
        self.counters.on_session_ended(session.term);
        (session.leader, session.term) = (header.leader_id, header.term);
        self.worker.leaders().set_session(Some(*session));
        self.counters.on_session(session.term);
    }
}

impl Kept {
    /// Sends a heartbeat by any way that leads to a leader.
    async fn beat(&mut self, worker: &SimulatedWorker) -> Option<v1::HeartbeatResponse> {
        loop {
            let request = heartbeat(worker, self.session, &self.cluster_id);
            let mut client = self.relay().ok()?;
            match timeout(HEARTBEAT_TIMEOUT, client.send_heartbeat(request)).await {
                Ok(Ok(answer)) => return Some(answer.into_inner()),
                Ok(Err(_)) | Err(_) => self.relays.on_failed().then_some(())?,
            }
        }
    }

    fn relay(&mut self) -> Result<MasterServiceClient<Channel>, InvalidAddress> {
        let address = self.relays.current();
        if let Some((open, client)) = &self.relay
            && open == address
        {
            return Ok(client.clone());
        }
        let client = MasterServiceClient::new(
            Dialer::plain().connect_lazily_unprobed(address, Expected::Master)?,
        );
        self.relay = Some((address.to_owned(), client.clone()));
        Ok(client)
    }

    /// Reports to the leader over a connection that is closed afterwards.
    async fn report(&self, worker: &SimulatedWorker, attempt: v1::AttemptRef) -> Option<()> {
        let channel =
            Dialer::plain().connect_lazily_unprobed(self.relays.leader(), Expected::Master).ok()?;
        let request = completion(worker, self.session, &self.cluster_id, attempt);
        let mut client = MasterServiceClient::new(channel);
        let call = client.report_task_completion(request);
        timeout(REGISTER_TIMEOUT, call).await.ok()?.ok().map(drop)
    }
}

/// Waits for a leader to call.
async fn called(calls: &mut watch::Receiver<Option<Call>>) -> Option<Call> {
    calls.changed().await.ok()?;
    calls.borrow_and_update().clone()
}

fn specs() -> v1::WorkerSpecs {
    v1::WorkerSpecs {
        total: Some(v1::Resources {
            cpu: Some(8.0),
            memory_mb: Some(16_384),
            storage_mb: Some(512_000),
            gpu: Some(0),
            ..v1::Resources::default()
        }),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..v1::WorkerSpecs::default()
    }
}

fn heartbeat(worker: &SimulatedWorker, session: Session, cluster_id: &str) -> v1::HeartbeatRequest {
    let percent = || rand::rng().random_range(0.0..100.0);
    v1::HeartbeatRequest {
        cluster_id: cluster_id.to_owned(),
        worker_id: worker.id.clone(),
        incarnation: worker.incarnation.clone(),
        epoch: session.epoch,
        usage: Some(v1::WorkerUsage {
            cpu_percent: percent(),
            memory_percent: percent(),
            storage_percent: percent(),
            gpu_percent: 0.0,
        }),
        ..v1::HeartbeatRequest::default()
    }
}

fn completion(
    worker: &SimulatedWorker,
    session: Session,
    cluster_id: &str,
    attempt: v1::AttemptRef,
) -> v1::ReportTaskCompletionRequest {
    let outcome = Some(v1::finished_attempt::Outcome::ExitCode(0));
    v1::ReportTaskCompletionRequest {
        cluster_id: cluster_id.to_owned(),
        worker_id: worker.id.clone(),
        epoch: session.epoch,
        finished: vec![v1::FinishedAttempt {
            attempt: Some(attempt),
            outcome,
            ..v1::FinishedAttempt::default()
        }],
        ..v1::ReportTaskCompletionRequest::default()
    }
}
