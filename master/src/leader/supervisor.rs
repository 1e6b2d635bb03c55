//! Takes up the leader's duties and lays them down again.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{ClusterId, Command, LeaseTimes, LogIndex, Term};
use parking_lot::Mutex;
use raft_store::{Leadership, Loops, Node, ProposeError};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Knocks;
use super::channels::WorkerChannels;
use super::dispatcher::Dispatcher;
use super::driver::drive;
use super::farewell::Farewell;
use super::health::{Findings, HealthRecorder};
use super::leases::LeaseTable;
use super::liveness::{self, Liveness};
use super::placement::Strategy;
use super::reconnection::{Demand, ReconnectConfig, ReconnectHandle, ReconnectionMonitor};
use super::rest::Rest;
use super::rivals::Rivals;
use super::scheduler::Scheduler;
use super::sessions::{Lead, WorkerSessions};
use super::ticker::{Retention, Ticker};
use super::timekeeper::Timekeeper;
use super::undelivered::Undelivered;
use super::usage::Usage;
use crate::metrics::Metrics;

/// What the duties are told.
#[derive(Debug, Clone)]
pub(crate) struct DutyConfig {
    /// The time limits that workers live under.
    pub(crate) times: LeaseTimes,
    /// How long orders cannot be delivered before a worker is unreachable.
    pub(crate) unreachable_after: Duration,
    /// Attempts of lost workers given to others per second in a mass loss.
    pub(crate) mass_loss_requeue_rate: u32,
    /// The reconnection monitor's.
    pub(crate) reconnect: ReconnectConfig,
    /// How workers are preferred.
    pub(crate) strategy: Strategy,
    /// How long finished tasks are kept.
    pub(crate) retention: Retention,
    /// Bytes of memory that live tasks may take.
    pub(crate) live_bytes_max: u64,
}

/// Watches leadership and runs the duties while this master leads.
#[derive(Debug)]
pub(crate) struct Supervisor {
    node: Node,
    config: DutyConfig,
    sessions: WorkerSessions,
    metrics: Metrics,
    loops: Loops,
    tasks: TaskTracker,
}

/// Duties under way, in the order in which they were started, which is the order in which they
/// are stopped.
struct Duties {
    loops: Loops,
    under_way: Vec<(&'static str, CancellationToken, JoinHandle<()>)>,
}

/// Why the duties of a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another leads, or no quorum has confirmed for a while that this master does.
    Lost,
    /// A worker obeys a newer leader: whether this one still leads is to be confirmed.
    Challenged,
    /// The process ends.
    Shutdown,
}

/// After a barrier that was not committed.
const TAKE_OVER_PAUSE: Duration = Duration::from_millis(50);

impl Supervisor {
    /// A supervisor that has yet to run. `tasks` are calls that outlive those who make them.
    #[must_use]
    pub(crate) fn new(
        node: Node,
        config: DutyConfig,
        sessions: WorkerSessions,
        metrics: Metrics,
        loops: Loops,
        tasks: TaskTracker,
    ) -> Self {
        Self { node, config, sessions, metrics, loops, tasks }
    }

    /// Runs until cancelled. When it returns, no duty is under way.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut leadership = self.node.leadership();
        // A worker's word against ours is looked into once a term: a worker that is wrong about
        // the term must not keep the cluster without duties.
        let mut doubted = None;
        while let Some(term) = next_term(&mut leadership, &stop).await {
            let established = tokio::select! {
                () = stop.cancelled() => return,
                established = self.establish(term) => established,
            };
            let (lead, demanded) = match established {
                Ok(established) => established,
                Err(error) => {
                    tracing::warn!(%term, %error, "cannot take over leadership");
                    tokio::time::sleep(TAKE_OVER_PAUSE).await;
                    continue;
                }
            };
            let may_doubt = doubted != Some(term);
            match self.lead(&lead, demanded, &mut leadership, may_doubt, &stop).await {
                End::Lost => {}
                End::Challenged => doubted = Some(term),
                End::Shutdown => return,
            }
        }
    }

    /// Runs the duties of one term until it ends. When this returns, none is under way.
    async fn lead(
        &self,
        lead: &Arc<Lead>,
        demanded: mpsc::Receiver<Demand>,
        leadership: &mut watch::Receiver<Leadership>,
        may_doubt: bool,
        stop: &CancellationToken,
    ) -> End {
        let term = lead.term;
        tracing::info!(%term, "leadership established");
        let duties = self.start(lead, demanded);
        let end = watch_over(leadership, lead, may_doubt, stop).await;
        self.sessions.set(None);
        duties.stop().await;
        self.node.clock().end_term();
        tracing::info!(%term, ?end, "duties stopped");
        end
    }

    /// Commits the barrier of the term, so that everything before it is applied and everything
    /// of older leaders refused, then builds the volatile view.
    async fn establish(
        &self,
        term: Term,
    ) -> Result<(Arc<Lead>, mpsc::Receiver<Demand>), ProposeError> {
        self.node.begin_log_time().await;
        let cluster = ClusterId(uuid::Uuid::new_v4().as_u128());
        let live_bytes_max = self.config.live_bytes_max;
        let leader = self.node.id();
        let barrier = Command::BeginTerm { term, leader, cluster, live_bytes_max };
        self.node.propose_as_leader(term, &barrier).await?;

        let mut leases = LeaseTable::new(self.config.times);
        // Every clock starts anew: each active worker gets one full timeout under this leader, and
        // each inactive one that still holds attempts one full lease.
        let now = (Instant::now(), self.node.clock().now());
        let rivals = self.node.reader().with(|state| {
            liveness::follow(&mut leases, state, LogIndex(0), now);
            Rivals::inherited(state, now.0)
        });
        let (reconnect, demanded) = ReconnectHandle::new();
        let lead = Lead {
            node: self.node.clone(),
            term,
            leases: Mutex::new(leases),
            leases_changed: Notify::new(),
            challenged: Notify::new(),
            rest: Rest::default(),
            knocks: Knocks::default(),
            rivals,
            tasks: self.tasks.clone(),
            channels: WorkerChannels::default(),
            usage: Usage::default(),
            findings: Findings::default(),
            undelivered: Undelivered::default(),
            reconnect,
            metrics: self.metrics.clone(),
        };
        Ok((Arc::new(lead), demanded))
    }

    /// Starts the duties: queue processor, reconnection monitor, then those that follow from them.
    fn start(&self, lead: &Arc<Lead>, demanded: mpsc::Receiver<Demand>) -> Duties {
        let reader = self.node.reader();
        // From here on workers may register: the monitor is about to call them.
        self.sessions.set(Some(Arc::clone(lead)));

        let mut duties = Duties { loops: self.loops.clone(), under_way: Vec::new() };
        let scheduler = Scheduler::new(self.node.clone(), lead.term, self.config.strategy);
        duties.spawn("scheduler", |stop| {
            drive(scheduler, reader.watch_applied(), lead.rest.watch(), stop)
        });
        let monitor = ReconnectionMonitor::new(Arc::clone(lead), self.config.reconnect.clone());
        duties.spawn("reconnection monitor", |stop| {
            monitor.run(demanded, reader.watch_applied(), stop)
        });
        let dispatcher = Dispatcher::new(Arc::clone(lead), self.config.unreachable_after);
        duties.spawn("dispatcher", |stop| dispatcher.run(reader.watch_applied(), stop));
        let liveness = Liveness::new(Arc::clone(lead), self.config.mass_loss_requeue_rate);
        duties.spawn("liveness", |stop| liveness.run(reader.watch_applied(), stop));
        let health = HealthRecorder::new(Arc::clone(lead));
        duties.spawn("health", |stop| health.run(reader.watch_applied(), stop));
        let farewell = Farewell::new(Arc::clone(lead));
        duties.spawn("farewell", |stop| farewell.run(reader.watch_applied(), stop));
        let ticker = Ticker::new(self.node.clone(), lead.term, self.config.retention);
        duties
            .spawn("ticker", |stop| drive(ticker, reader.watch_applied(), lead.rest.watch(), stop));
        let timekeeper = Timekeeper::new(self.node.clone(), self.metrics.clone());
        duties.spawn("timekeeper", |stop| timekeeper.run(stop));
        duties
    }
}

impl Duties {
    fn spawn<F>(&mut self, name: &'static str, duty: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let loops = self.loops.apart();
        let running = loops.spawn(name, duty);
        self.under_way.push((name, loops.stop().clone(), running));
    }

    async fn stop(self) {
        for (name, stop, running) in self.under_way {
            stop.cancel();
            // A panic in a duty has ended the process already: see the panic hook.
            if let Err(error) = running.await {
                tracing::error!(duty = name, %error, "duty ended badly");
            }
        }
    }
}

async fn next_term(
    leadership: &mut watch::Receiver<Leadership>,
    stop: &CancellationToken,
) -> Option<Term> {
    tokio::select! {
        () = stop.cancelled() => None,
        led = leadership.wait_for(Leadership::is_leading) => led.ok().map(|led| led.term()),
    }
}

/// Watches a term until it is over. While the quorum lease is away for a moment, the duties rest.
async fn watch_over(
    leadership: &mut watch::Receiver<Leadership>,
    lead: &Lead,
    may_doubt: bool,
    stop: &CancellationToken,
) -> End {
    let still_led = Leadership::Leading { term: lead.term };
    loop {
        tokio::select! {
            () = stop.cancelled() => return End::Shutdown,
            () = lead.challenged.notified(), if may_doubt => return End::Challenged,
            lost = leadership.wait_for(|seen| *seen != still_led) => if lost.is_err() {
                return End::Lost;
            },
        }
        let rest = lead.rest.begin();
        let keeps_leading = tokio::select! {
            () = stop.cancelled() => return End::Shutdown,
            keeps_leading = lead.node.keeps_leading(lead.term) => keeps_leading,
        };
        if !keeps_leading {
            return End::Lost;
        }
        // No heartbeat was acknowledged meanwhile, so the silence is not the workers'.
        let rested = rest.elapsed();
        lead.leases().on_rested(rested);
        rest.end();
        tracing::info!(term = %lead.term, ?rested, "the quorum lease is back: the duties go on");
    }
}
