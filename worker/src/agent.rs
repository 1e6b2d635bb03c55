//! The worker as a whole: starts its parts one by one and stops them in reverse order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{AddressSource, FinishedAttempt, Specs};
use proto::channel::Dialer;
use proto::convert::Invalid;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::attempts::Attempts;
use crate::certificates::TrustVersions;
use crate::config::{Config, ExecutorKind};
use crate::devices::{Devices, Offer};
use crate::executor::{Environment, Executor, NoopExecutor, Passed, ProcessExecutor};
use crate::fitness::{Probe, Verdict, Watch, WatchParts};
use crate::host::Host;
use crate::identity::Identity;
use crate::keeper::{Keeper, KeeperArgs};
use crate::lease::Lease;
use crate::ledger::{Bounds, Ledger};
use crate::leftovers::ProcessRecords;
use crate::logs::{Logs, Sweeper};
use crate::open_files::OpenFiles;
use crate::processes::HomeId;
use crate::session::{Health, Introduction, LeaderCalls, Server, SessionKeeper, SessionParts};
use crate::specs::{UsageMeter, detect};

mod duties;
mod equipment;
mod protection;
mod stores;

use duties::Duties;
use equipment::{open_cgroups, open_devices};
use protection::Protection;
use stores::{Stores, open_stores, running_dir};

pub use protection::ProtectionError;

pub use crate::cgroups::CgroupsError;
pub use crate::identity::IdentityError;
pub use crate::leftovers::LeftoversError;
pub use crate::session::ServerError;
pub use crate::spool::SpoolError;

/// A limit of open files that allows fewer attempts than this is logged.
const FEW_ATTEMPTS: usize = 1_000;
/// Limit, at shutdown, for killed attempts to end and their outcomes to be stored.
const LAST_OUTCOMES_MAX: Duration = Duration::from_secs(5);
/// Limit, at shutdown, for open calls to finish.
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

/// Reason that the worker does not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Processes of an earlier start are still there.
    #[error(transparent)]
    Leftovers(#[from] LeftoversError),
    /// Attempts cannot have control groups.
    #[error(transparent)]
    Cgroups(#[from] CgroupsError),
    /// Its certificate cannot be used.
    #[error(transparent)]
    Protection(#[from] ProtectionError),
    /// The machine's resources, as configured or detected, are not valid.
    #[error("invalid specs: {0}")]
    Specs(#[from] Invalid),
    /// Unconfirmed results cannot be read.
    #[error("cannot open the spool")]
    Spool(#[source] io::Error),
    /// Results cannot be kept.
    #[error(transparent)]
    Store(#[from] SpoolError),
    /// No process would end its tasks if it were killed.
    #[error("cannot start the keeper of this worker")]
    Keeper(#[source] io::Error),
    /// The worker would not learn of children that end.
    #[error("cannot wait for the end of processes")]
    Signals(#[source] io::Error),
    /// The worker cannot serve.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A part panicked.
    #[error("a part of the worker failed")]
    Part(#[from] JoinError),
}

impl Agent {
    /// Starts a worker.
    #[expect(clippy::too_many_lines, reason = "parts start one by one, in an order that matters")]
    pub async fn start(config: &Config, host: Host) -> Result<Self, AgentError> {
        // First, so that nothing is written when the address is taken.
        let server = Server::bind(config.listen).await?;
        let (stop_session, stop_rest) = (CancellationToken::new(), CancellationToken::new());
        let minor = TaskTracker::new();
        let protection = Protection::load(config, &minor, &stop_rest).await?;
        let for_disk = config.clone();
        let stores = tokio::task::spawn_blocking(move || open_stores(&for_disk)).await??;
        let devices = open_devices(config).await;
        let address = server.address();
        let Stores { identity, home, records, leftovers, retention, disk, spool, unconfirmed } =
            stores;

        // Before the keeper starts, which belongs into the group of the worker.
        let cgroups = open_cgroups(config, home).await?;
        // Before any task, so that no task ever runs without a keeper.
        let args = KeeperArgs::new(running_dir(config), home, identity.incarnation());
        start_keeper(&host, args, &minor, &stop_rest)?;

        let logs = logs(config, host.open_files);
        let environment =
            Environment { cgroups, ..environment(config, &host, home, &identity, devices.clone()) };
        let Running { executor, ended, starts } =
            executor(config, environment, logs.clone(), records, &host);
        let (leftovers, unfit) = leftovers.unzip();
        let children = Arc::clone(&host.children);
        let probe = Probe::new(config.data_dir.clone(), children, leftovers);
        let (watch, unfit) = Watch::new(WatchParts { unfit, probe, starts, disk });
        let lease = Arc::new(Lease::default());
        let specs = detect(config, attempts_max(config, host.open_files))?;
        let offer = devices.offer();
        let bounds = bounds(config, &specs, &offer.borrow());
        let ledger = Ledger::restore(bounds, unconfirmed);
        let attempts = Attempts::new(ledger, Arc::clone(&lease), executor, spool, unfit.clone());
        let (signals_tx, signals) = watch::channel(None);

        let leader_calls = LeaderCalls {
            worker_id: config.worker_id.clone(),
            identity: Arc::clone(&identity),
            attempts: attempts.clone(),
            logs: logs.clone(),
            signals: signals_tx,
            stop: stop_rest.clone(),
        };
        let Protection { dialer, acceptor, trust } = protection;
        let serving = server.serve(leader_calls, acceptor, stop_rest.clone());
        let (serving, health) = Box::pin(serving).await?;
        let mut vital = JoinSet::new();
        vital.spawn(async { Ok(Box::pin(serving).await?) });
        vital.spawn(follow_ends(attempts.clone(), ended, stop_rest.clone()));
        let orphans = duties::reap_orphans(host.children, stop_rest.clone());
        vital.spawn(async { orphans.await.map_err(AgentError::Signals) });
        let told = unfit.clone();
        let duties = Duties {
            attempts: attempts.clone(),
            lease: Arc::clone(&lease),
            sweeper: Sweeper::new(logs, retention),
            health: health.clone(),
            watch,
            unfit,
            devices,
        };
        duties.spawn(&minor, &stop_rest);

        let introduction = introduce(config, &identity, address, (specs, offer), told);
        log_start(&introduction, address);
        let keeper = SessionKeeper::new(
            SessionParts {
                introduction: Introduction { dialer, trust, ..introduction },
                attempts: attempts.clone(),
                identity,
                lease,
                usage: UsageMeter::new(config.data_dir.clone()),
                signals,
                stop: stop_session.clone(),
            },
            config.masters.iter().cloned(),
        );
        let session = TaskTracker::new();
        session.spawn(keeper.run());
        session.close();
        Ok(Self { address, attempts, health, session, vital, minor, stop_session, stop_rest })
    }

    /// Returns the address on which the worker listens.
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

    /// Stops in order: accepts nothing more, ends attempts, reports their results, says goodbye.
    pub async fn stop(&mut self, grace: Duration) {
        self.health.set_closing().await;
        self.attempts.close(grace);
        if timeout(grace + LAST_OUTCOMES_MAX, self.attempts.idle()).await.is_err() {
            self.kill().await;
        }

        let attempts = self.attempts.clone();
        duties::blocking(move || attempts.kill_strays()).await;
        if timeout(LAST_OUTCOMES_MAX, self.attempts.stored()).await.is_err() {
            warn!("cannot store the last outcomes");
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

    /// Kills everything immediately.
    pub async fn kill(&self) {
        self.attempts.kill_all();
        if timeout(LAST_OUTCOMES_MAX, self.attempts.idle()).await.is_err() {
            warn!("attempts have not ended after a kill");
        }
    }
}

/// Starts the program that keeps watch over the worker, if there is one.
fn start_keeper(
    host: &Host,
    args: KeeperArgs,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), AgentError> {
    let Some(program) = host.keeper.clone() else { return Ok(()) };
    let keeper = Keeper::start(program, args, Arc::clone(&host.children));
    tasks.spawn(keeper.map_err(AgentError::Keeper)?.keep_up(stop.clone()));
    Ok(())
}

/// An executor and the channel on which it reports the ends of attempts.
struct Running {
    executor: Executor,
    ended: mpsc::UnboundedReceiver<FinishedAttempt>,
    starts: mpsc::UnboundedReceiver<Verdict>,
}

fn logs(config: &Config, open_files: OpenFiles) -> Logs {
    Logs::new(&config.data_dir, config.limits.log_bytes_max, open_files.readers_max())
}

fn environment(
    config: &Config,
    host: &Host,
    home: HomeId,
    identity: &Identity,
    devices: Devices,
) -> Environment {
    Environment {
        worker_id: config.worker_id.clone(),
        home,
        incarnation: identity.incarnation(),
        passed: Passed::with(config.pass_env.clone()),
        open_files: host.open_files.before(),
        devices,
        cgroups: None,
    }
}

fn executor(
    config: &Config,
    environment: Environment,
    logs: Logs,
    records: ProcessRecords,
    host: &Host,
) -> Running {
    let (ended_tx, ended) = mpsc::unbounded_channel();
    let (starts_tx, starts) = mpsc::unbounded_channel();
    let executor = match config.executor {
        ExecutorKind::Noop => Executor::Noop(NoopExecutor::new(ended_tx)),
        ExecutorKind::Process => Executor::Process(ProcessExecutor::new(
            environment,
            logs,
            records,
            Arc::clone(&host.children),
            ended_tx,
            starts_tx,
        )),
    };
    Running { executor, ended, starts }
}

fn bounds(config: &Config, specs: &Specs, offer: &Offer) -> Bounds {
    Bounds {
        attempts_max: usize::try_from(specs.total.slots).unwrap_or(usize::MAX),
        total: offer.amend(specs.total.clone()),
        unconfirmed_bytes_max: config.limits.spool_bytes_max,
    }
}

fn attempts_max(config: &Config, open_files: OpenFiles) -> usize {
    let wanted = config.limits.attempts_max;
    match config.executor {
        ExecutorKind::Noop => wanted,
        ExecutorKind::Process => {
            let possible = open_files.attempts_max();
            if possible < wanted.min(FEW_ATTEMPTS) {
                warn!(
                    open_files = open_files.limit(),
                    attempts_max = possible,
                    "the limit of open files is low: few attempts can run at a time"
                );
            }
            wanted.min(possible)
        }
    }
}

fn introduce(
    config: &Config,
    identity: &Identity,
    address: SocketAddr,
    (specs, offer): (Specs, watch::Receiver<Offer>),
    unfit: watch::Receiver<Option<String>>,
) -> Introduction {
    Introduction {
        worker_id: config.worker_id.clone(),
        incarnation: identity.incarnation(),
        data: identity.data(),
        start: identity.start(),
        address_source: match config.advertise {
            Some(_) => AddressSource::Advertised,
            None => AddressSource::Detected,
        },
        address: config.advertise.clone().unwrap_or_else(|| address.to_string()),
        specs,
        offer,
        dialer: Dialer::plain(),
        trust: TrustVersions::default(),
        join_token: config.join_token.clone(),
        registrations: Arc::default(),
        unfit,
    }
}

fn log_start(introduction: &Introduction, address: SocketAddr) {
    let total = introduction.offer.borrow().amend(introduction.specs.total.clone());
    info!(
        %address,
        worker = %introduction.worker_id,
        advertise = introduction.address,
        incarnation = %introduction.incarnation,
        cpu_milli = total.cpu_milli,
        memory_mb = total.memory_mib,
        storage_mb = total.storage_mib,
        gpu = total.gpu,
        others = ?total.custom,
        "worker listening"
    );
}

async fn follow_ends(
    attempts: Attempts,
    ended: mpsc::UnboundedReceiver<FinishedAttempt>,
    stop: CancellationToken,
) -> Result<(), AgentError> {
    tokio::select! {
        error = attempts.follow_ends(ended) => Err(error.into()),
        () = stop.cancelled() => Ok(()),
    }
}
