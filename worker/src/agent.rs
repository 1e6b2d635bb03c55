//! The worker as a whole: started part by part, stopped in reverse.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::Incarnation;
use proto::convert::Invalid;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::attempts::Attempts;
use crate::config::{Config, ExecutorKind};
use crate::executor::{Environment, Executor, NoopExecutor, ProcessExecutor};
use crate::identity::Identity;
use crate::lease::{Deadline, Lease};
use crate::ledger::Ledger;
use crate::leftovers::ProcessRecords;
use crate::logs::{Logs, Retention};
use crate::session::{Health, Introduction, LeaderDesk, Server, SessionKeeper, SessionParts};
use crate::specs::{UsageMeter, detect};
use crate::spool::Spool;

pub use crate::identity::IdentityError;
pub use crate::leftovers::LeftoversError;
pub use crate::session::ServerError;
pub use crate::spool::SpoolError;

/// How often old logs are looked for.
const RETENTION_INTERVAL: Duration = Duration::from_mins(10);
/// How long killed attempts and the last outcomes may take at shutdown.
const LAST_OUTCOMES_MAX: Duration = Duration::from_secs(5);
/// How long open calls may take at shutdown.
const LAST_CALLS_MAX: Duration = Duration::from_secs(2);

/// A running worker.
#[derive(Debug)]
pub struct Agent {
    address: SocketAddr,
    attempts: Attempts,
    health: Health,
    session: TaskTracker,
    /// Parts without which the worker cannot go on.
    vital: JoinSet<Result<(), AgentError>>,
    minor: TaskTracker,
    stop_session: CancellationToken,
    stop_rest: CancellationToken,
}

/// Why the worker does not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Processes of an earlier start are still there.
    #[error(transparent)]
    Leftovers(#[from] LeftoversError),
    /// What it is to offer is not valid.
    #[error("invalid specs: {0}")]
    Specs(#[from] Invalid),
    /// Unconfirmed results cannot be read.
    #[error("cannot open the spool")]
    Spool(#[source] io::Error),
    /// Results cannot be kept.
    #[error(transparent)]
    Store(#[from] SpoolError),
    /// It cannot serve.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A part panicked.
    #[error("a part of the worker failed")]
    Part(#[from] JoinError),
}

/// What is on disk, opened.
struct Stores {
    identity: Arc<Identity>,
    records: ProcessRecords,
    spool: Spool,
    ledger: Ledger,
}

impl Agent {
    /// Starts a worker.
    pub async fn start(config: &Config) -> Result<Self, AgentError> {
        // First, so that nothing is written when the address is taken.
        let server = Server::bind(config.listen).await?;
        let for_disk = config.clone();
        let stores = tokio::task::spawn_blocking(move || open_stores(&for_disk)).await??;
        let address = server.address();
        let Stores { identity, records, spool, ledger } = stores;

        let logs = Logs::new(config.data_dir.join("tasks"), config.limits.log_bytes_max);
        let (ended_tx, ended) = mpsc::unbounded_channel();
        let executor = match config.executor {
            ExecutorKind::Noop => Executor::Noop(NoopExecutor::new(ended_tx)),
            ExecutorKind::Process => {
                let worker_id = config.worker_id.clone();
                let environment = Environment { worker_id, incarnation: identity.incarnation() };
                Executor::Process(ProcessExecutor::new(
                    environment,
                    logs.clone(),
                    records,
                    ended_tx,
                ))
            }
        };
        let lease = Arc::new(Lease::default());
        let attempts = Attempts::new(ledger, Arc::clone(&lease), executor, spool);
        let (summons_tx, summons) = watch::channel(None);
        let (stop_session, stop_rest) = (CancellationToken::new(), CancellationToken::new());

        let desk = LeaderDesk {
            worker_id: config.worker_id.clone(),
            identity: Arc::clone(&identity),
            attempts: attempts.clone(),
            logs: logs.clone(),
            summons: summons_tx,
            stop: stop_rest.clone(),
        };
        let (serving, health) = server.serve(desk, stop_rest.clone()).await?;
        let mut vital = JoinSet::new();
        vital.spawn(async { Ok(serving.await?) });
        vital.spawn(settle(attempts.clone(), ended, stop_rest.clone()));
        let minor = TaskTracker::new();
        for deadline in [Deadline::Disconnect, Deadline::Lease] {
            let lease = Arc::clone(&lease);
            minor.spawn(fence(attempts.clone(), lease, deadline, stop_rest.clone()));
        }
        minor.spawn(remove_old_logs(logs, retention(config), stop_rest.clone()));

        let introduction = Introduction {
            worker_id: config.worker_id.clone(),
            incarnation: identity.incarnation(),
            address: config.advertise.clone().unwrap_or_else(|| address.to_string()),
            specs: detect(config)?,
            join_token: config.join_token.clone(),
            registrations: Arc::default(),
        };
        log_start(&introduction, address);
        let keeper = SessionKeeper::new(
            SessionParts {
                introduction,
                attempts: attempts.clone(),
                identity,
                lease,
                usage: UsageMeter::new(config.data_dir.clone()),
                summons,
                stop: stop_session.clone(),
            },
            config.masters.iter().cloned(),
        );
        let session = TaskTracker::new();
        session.spawn(keeper.run());
        session.close();
        Ok(Self { address, attempts, health, session, vital, minor, stop_session, stop_rest })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the worker cannot go on.
    pub async fn failed(&mut self) -> AgentError {
        loop {
            match self.vital.join_next().await {
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return error.into(),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops in order: takes on nothing more, ends what runs, reports, says goodbye.
    pub async fn stop(&mut self, grace: Duration) {
        self.health.set_closing().await;
        self.attempts.close(grace);
        if timeout(grace + LAST_OUTCOMES_MAX, self.attempts.idle()).await.is_err() {
            self.kill().await;
        }
        if timeout(LAST_OUTCOMES_MAX, self.attempts.stored()).await.is_err() {
            warn!("last outcomes not stored");
        }
        self.stop_session.cancel();
        self.session.wait().await;
        self.stop_rest.cancel();
        self.minor.close();
        self.minor.wait().await;
        let last_calls = async { while self.vital.join_next().await.is_some() {} };
        if timeout(LAST_CALLS_MAX, last_calls).await.is_err() {
            self.vital.shutdown().await;
        }
        info!("worker stopped");
    }

    /// Ends everything that runs without waiting for its consent.
    pub async fn kill(&self) {
        self.attempts.kill_all();
        if timeout(LAST_OUTCOMES_MAX, self.attempts.idle()).await.is_err() {
            warn!("attempts are still there after a kill");
        }
    }
}

/// Leftovers die before anything else happens: from the registration on, their tasks are others'.
fn open_stores(config: &Config) -> Result<Stores, AgentError> {
    let incarnation = Incarnation(uuid::Uuid::new_v4().as_u128());
    let identity = Identity::open(&config.data_dir, &config.worker_id, incarnation)?;
    let records = ProcessRecords::open(&config.data_dir.join("running"))?;
    records.kill_leftovers(identity.earlier_incarnation())?;
    identity.begin_incarnation()?;
    let (spool, unconfirmed) =
        Spool::open(&config.data_dir.join("spool")).map_err(AgentError::Spool)?;
    let ledger = Ledger::restore(config.limits.attempts_max, unconfirmed);
    Ok(Stores { identity: Arc::new(identity), records, spool, ledger })
}

fn retention(config: &Config) -> Retention {
    Retention { age: config.retention.age, attempts_max: config.retention.attempts }
}

fn log_start(introduction: &Introduction, address: SocketAddr) {
    let total = &introduction.specs.total;
    info!(
        %address,
        worker = %introduction.worker_id,
        advertise = introduction.address,
        incarnation = %introduction.incarnation,
        cpu_milli = total.cpu_milli,
        memory_mb = total.memory_mib,
        storage_mb = total.storage_mib,
        gpu = total.gpu,
        "worker listening"
    );
}

async fn settle(
    attempts: Attempts,
    ended: mpsc::UnboundedReceiver<cluster_state::FinishedAttempt>,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    tokio::select! {
        error = attempts.settle(ended) => Err(error.into()),
        () = stop.cancelled() => Ok(()),
    }
}

async fn fence(attempts: Attempts, lease: Arc<Lease>, deadline: Deadline, stop: CancellationToken) {
    let fencing = async {
        loop {
            lease.passed(deadline).await;
            attempts.fence();
            lease.renewed(deadline).await;
        }
    };
    tokio::select! {
        () = fencing => {}
        () = stop.cancelled() => {}
    }
}

async fn remove_old_logs(logs: Logs, retention: Retention, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(RETENTION_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let logs = logs.clone();
        let removal = tokio::task::spawn_blocking(move || logs.remove_old(retention));
        if let Err(error) = removal.await {
            warn!(%error, "old logs not removed");
        }
    }
}
