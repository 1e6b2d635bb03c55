//! Starts the leader's duties on winning an election, and stops them on losing it.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{BeginTerm, ClusterId, Command, LogIndex, Term};
use parking_lot::Mutex;
use raft_store::{Leadership, Loops, Node, ProposeError};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatcher::Dispatcher;
use super::duty::{Duty, drive};
use super::farewell::Farewell;
use super::health::HealthRecorder;
use super::jobs::JobRunner;
use super::liveness::{self, Liveness};
use super::reconnection::ReconnectionMonitor;
use super::schedule_runner::ScheduleRunner;
use super::scheduler::Scheduler;
use super::seeder::Seeder;
use super::sessions::WorkerSessions;
use super::state::{
    HealthFindings, LeaderState, LeaseTable, ReconnectHandle, ReconnectRequest, RefusedWorkers,
    Rest, Rivals, Undelivered, Usage, Wishes, WorkerChannels,
};
use super::ticker::Ticker;
use super::timekeeper::Timekeeper;
use crate::metrics::Metrics;
use crate::settings::SettingsInForce;

/// Watches leadership and runs the duties while this master leads.
#[derive(Debug)]
pub(crate) struct Supervisor {
    node: Node,
    settings: SettingsInForce,
    sessions: WorkerSessions,
    metrics: Metrics,
    loops: Loops,
    tasks: TaskTracker,
}

/// Running duties, in the order of their start, in which they are also stopped.
struct Duties {
    loops: Loops,
    leader: Arc<LeaderState>,
    under_way: Vec<(&'static str, CancellationToken, JoinHandle<()>)>,
}

/// Reason why the duties of a term ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another master leads, or no quorum has confirmed for a while that this one does.
    Lost,
    /// A worker obeys a newer leader: it must be confirmed that this master still leads.
    Challenged,
    /// The process ends.
    Shutdown,
}

/// Pause after a barrier that was not committed.
const TAKE_OVER_PAUSE: Duration = Duration::from_millis(50);

impl Supervisor {
    /// Returns a supervisor that has yet to run. `tasks` owns work that outlives the call that
    /// began it.
    #[must_use]
    pub(crate) fn new(
        node: Node,
        settings: SettingsInForce,
        sessions: WorkerSessions,
        metrics: Metrics,
        loops: Loops,
        tasks: TaskTracker,
    ) -> Self {
        Self { node, settings, sessions, metrics, loops, tasks }
    }

    /// Runs until cancelled. When it returns, no duty is running.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut leadership = self.node.leadership();

        // A worker's word against this master's is checked once a term: a worker that is wrong
        // about the term must not keep the cluster without duties.
        let mut doubted = None;
        while let Some(term) = next_term(&mut leadership, &stop).await {
            let established = tokio::select! {
                () = stop.cancelled() => return,
                established = self.establish(term) => established,
            };
            let (leader, requests) = match established {
                Ok(established) => established,
                Err(error) => {
                    tracing::warn!(%term, %error, "cannot take over leadership");
                    tokio::time::sleep(TAKE_OVER_PAUSE).await;
                    continue;
                }
            };

            let may_doubt = doubted != Some(term);
            match self.lead(&leader, requests, &mut leadership, may_doubt, &stop).await {
                End::Lost => {}
                End::Challenged => doubted = Some(term),
                End::Shutdown => return,
            }
        }
    }

    /// Runs the duties of one term until it ends. When this returns, none is running.
    async fn lead(
        &self,
        leader: &Arc<LeaderState>,
        requests: mpsc::Receiver<ReconnectRequest>,
        leadership: &mut watch::Receiver<Leadership>,
        may_doubt: bool,
        stop: &CancellationToken,
    ) -> End {
        let term = leader.term;
        tracing::info!(%term, "leadership established");
        let duties = self.start(leader, requests);
        let end = watch_over(leadership, leader, may_doubt, stop).await;

        self.sessions.set(None);
        duties.stop().await;
        self.node.clock().end_term();
        tracing::info!(%term, ?end, "duties stopped");
        end
    }

    /// Commits the barrier of the term, so that everything before it is applied and everything
    /// of older leaders refused, then builds the volatile state.
    async fn establish(
        &self,
        term: Term,
    ) -> Result<(Arc<LeaderState>, mpsc::Receiver<ReconnectRequest>), ProposeError> {
        self.node.begin_log_time().await;
        let cluster = ClusterId(uuid::Uuid::new_v4().as_u128());
        let live_bytes_max = self.settings.own().limits.live_bytes;
        let barrier =
            Command::BeginTerm(BeginTerm { term, leader: self.node.id(), cluster, live_bytes_max });
        self.node.propose_as_leader(term, &barrier).await?;

        let mut leases = LeaseTable::default();
        // Every clock restarts: each active worker gets one full timeout under this leader, and
        // each inactive worker that still holds attempts one full lease.
        let now = (Instant::now(), self.node.clock().now());
        let rivals = self.node.reader().with(|state| {
            liveness::follow(&mut leases, state, LogIndex(0), &self.settings, now);
            Rivals::inherited(state, now.0)
        });
        let (reconnect, requests) = ReconnectHandle::new();
        let leader = LeaderState {
            node: self.node.clone(),
            term,
            settings: self.settings.clone(),
            leases: Mutex::new(leases),
            leases_changed: Notify::new(),
            challenged: Notify::new(),
            rest: Rest::default(),
            refused: RefusedWorkers::default(),
            rivals,
            tasks: self.tasks.clone(),
            channels: WorkerChannels::new(self.node.dialer().clone()),
            usage: Usage::default(),
            findings: HealthFindings::default(),
            undelivered: Undelivered::default(),
            wishes: Wishes::default(),
            reconnect,
            metrics: self.metrics.clone(),
        };
        Ok((Arc::new(leader), requests))
    }

    /// Starts the duties: queue processor, reconnection monitor, then those that follow from them.
    fn start(
        &self,
        leader: &Arc<LeaderState>,
        requests: mpsc::Receiver<ReconnectRequest>,
    ) -> Duties {
        // From here on workers may register: the monitor is about to call them.
        self.sessions.set(Some(Arc::clone(leader)));

        let mut duties = Duties::new(self.loops.clone(), Arc::clone(leader));
        let settings = || self.settings.clone();
        duties.start(Scheduler::new(Arc::clone(leader), settings()));
        duties.start(ReconnectionMonitor::start(Arc::clone(leader), requests));
        duties.start(Dispatcher::new(Arc::clone(leader)));
        duties.start(Liveness::new(Arc::clone(leader)));
        duties.start(HealthRecorder::new(Arc::clone(leader)));
        duties.start(Farewell::new(Arc::clone(leader)));
        duties.start(Ticker::new(self.node.clone(), leader.term, settings()));
        let metrics = self.metrics.clone();
        duties.start(ScheduleRunner::new(self.node.clone(), leader.term, metrics.clone()));
        duties.start(Timekeeper::new(self.node.clone(), metrics, settings()));
        duties.start(Seeder::new(self.node.clone(), leader.term, settings()));
        duties.start(JobRunner::new(self.node.clone(), leader.term));
        duties
    }
}

impl Duties {
    const fn new(loops: Loops, leader: Arc<LeaderState>) -> Self {
        Self { loops, leader, under_way: Vec::new() }
    }

    /// Starts a duty.
    fn start<D: Duty>(&mut self, duty: D) {
        let (applied, rest) = (self.leader.node.reader().watch_applied(), self.leader.rest.watch());
        let loops = self.loops.apart();
        let running = loops.spawn(D::NAME, |stop| drive(duty, applied, rest, stop));
        self.under_way.push((D::NAME, loops.stop().clone(), running));
    }

    /// Stops all duties, one after the other, and waits for each.
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

/// Waits until this master leads, and returns the term.
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
    leader: &LeaderState,
    may_doubt: bool,
    stop: &CancellationToken,
) -> End {
    let still_led = Leadership::Leading { term: leader.term };
    loop {
        tokio::select! {
            () = stop.cancelled() => return End::Shutdown,
            () = leader.challenged.notified(), if may_doubt => return End::Challenged,
            lost = leadership.wait_for(|seen| *seen != still_led) => if lost.is_err() {
                return End::Lost;
            },
        }

        let rest = leader.rest.begin();
        let keeps_leading = tokio::select! {
            () = stop.cancelled() => return End::Shutdown,
            keeps_leading = leader.node.keeps_leading(leader.term) => keeps_leading,
        };
        if !keeps_leading {
            return End::Lost;
        }

        // No heartbeat was acknowledged meanwhile, so the workers are not to blame for the silence.
        let rested = rest.elapsed();
        leader.leases().on_rested(rested);
        rest.end();
        tracing::info!(term = %leader.term, ?rested, "the quorum lease is back: the duties go on");
    }
}
