//! Operations of users and operators, whatever protocol they speak: REST and gRPC both end here.

mod adoption;
mod answer;
mod audit;
mod backup;
mod certificate_status;
mod certificates;
mod cluster;
mod dependencies;
mod fingerprint;
mod jobs;
mod listing;
mod logs;
mod members;
mod named_queues;
mod orders;
mod orphans;
mod queue;
mod reading;
mod reconnect;
mod retry;
mod rotation;
mod rotation_progress;
mod scans;
mod schedules;
mod settings;
mod submission;
mod tasks;
mod tokens;
mod upgrade;
mod usage;
mod users;
mod views;
mod waits;
mod watch;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use cluster_state::MasterId;
use proto::problem::{ErrorKind, Problem};
use raft_store::{Leadership, Node};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use adoption::NewIssuer;
pub(crate) use answer::{Answer, Mark};
pub(crate) use audit::AuditPage;
pub(crate) use certificate_status::CertificateView;
pub(crate) use certificates::{CertificateOrder, IssuedChain};
pub(crate) use cluster::{Readiness, TermView};
use logs::LogChannels;
pub(crate) use logs::{LogPiece, LogRequest, LogScope};
pub(crate) use members::{Changed, MemberPart, MemberRow, Members};
pub(crate) use named_queues::ShownQueue;
pub(crate) use orphans::OrphanPage;
pub(crate) use queue::{ClassSummary, ExplainedTask, QueueSummary};
pub(crate) use reading::Reading;
use retry::RetryTurns;
pub(crate) use rotation::{NextStep, RotationOrder, TrustView};
pub(crate) use rotation_progress::RotationView;
use scans::Scans;
pub(crate) use schedules::{NextRun, SchedulePage, ShownSchedule};
pub(crate) use settings::SettingsChange;
pub(crate) use submission::SubmissionKey;
pub(crate) use tokens::NewToken;
pub(crate) use upgrade::{UpgradeMasterView, UpgradeView};
pub(crate) use users::{CallerIdentity, CreatedUserToken, UserTokens};
pub(crate) use views::{
    ClusterView, CreatedToken, Dependents, LeaderView, MemberView, ShownTask, TaskPage, TaskStatus,
    TaskView, Tokens, View, WorkerPage, WorkerView,
};
pub(crate) use waits::TaskWaits;
pub(crate) use watch::{Batch, TooSlow, WatchSlot, Watcher};
#[cfg(test)]
pub(crate) use workers::host_for_others;

use crate::events::{Events, UsageFeed};
use crate::issuer::Issuer;
use crate::leader::WorkerSessions;
pub(crate) use crate::leader::state::{Outcome as ReconnectOutcome, Target as ReconnectTarget};
use crate::metrics::Metrics;
use crate::peer::LeaderPeer;
use crate::trail::Trail;

/// Silence of a leader for which an election would long have been decided.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Performs operations for users and operators. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Operations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    node: Node,
    sessions: WorkerSessions,
    leader: LeaderPeer,
    waits: TaskWaits,
    events: Events,
    usage: UsageFeed,
    metrics: Metrics,
    issuer: Issuer,
    wait_slots: Semaphore,
    watch_slots: Arc<Semaphore>,
    log_slots: Arc<Semaphore>,
    log_channels: Arc<LogChannels>,
    backup_slots: Arc<Semaphore>,
    trail: Trail,
    tasks: TaskTracker,
    scans: Scans,
    retry_turns: RetryTurns,
    names: Names,
    started_at: Instant,
    stopping: CancellationToken,
}

/// Names of this master.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The cluster's name for people.
    pub(crate) cluster: String,
    /// HTTP address of this master.
    pub(crate) http_address: String,
}

/// Dependencies of operations.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) node: Node,
    pub(crate) sessions: WorkerSessions,
    pub(crate) leader: LeaderPeer,
    pub(crate) waits: TaskWaits,
    pub(crate) events: Events,
    pub(crate) usage: UsageFeed,
    pub(crate) metrics: Metrics,
    pub(crate) trail: Trail,
    /// The issuer of certificates on this master.
    pub(crate) issuer: Issuer,
    pub(crate) wait_requests: usize,
    /// Clients that may watch events at the same time.
    pub(crate) watchers: usize,
    pub(crate) log_streams: usize,
    /// Tasks that outlive the handlers of their requests.
    pub(crate) tasks: TaskTracker,
    pub(crate) names: Names,
    /// Cancelled when the master begins to stop.
    pub(crate) stopping: CancellationToken,
}

impl Operations {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            node,
            sessions,
            leader,
            waits,
            events,
            usage,
            metrics,
            trail,
            issuer,
            wait_requests,
            watchers,
            log_streams,
            tasks,
            names,
            stopping,
        } = parts;
        let wait_slots = Semaphore::new(wait_requests.min(Semaphore::MAX_PERMITS));
        let watch_slots = Arc::new(Semaphore::new(watchers.min(Semaphore::MAX_PERMITS)));
        let log_slots = Arc::new(Semaphore::new(log_streams.min(Semaphore::MAX_PERMITS)));
        let log_channels = Arc::new(LogChannels::new(node.dialer().clone()));
        let started_at = Instant::now();
        let shared = Shared {
            node,
            sessions,
            leader,
            waits,
            events,
            usage,
            metrics,
            issuer,
            wait_slots,
            watch_slots,
            log_slots,
            log_channels,
            backup_slots: backup::slots(),
            trail,
            tasks,
            scans: Scans::default(),
            retry_turns: RetryTurns::default(),
            names,
            started_at,
            stopping,
        };
        Self { shared: Arc::new(shared) }
    }

    /// This master's part in the cluster.
    pub(crate) fn node(&self) -> &Node {
        &self.shared.node
    }

    /// The sessions of workers, which only a leader has.
    pub(crate) fn sessions(&self) -> &WorkerSessions {
        &self.shared.sessions
    }

    /// Client of the leader, where another master leads.
    pub(crate) fn leader_peer(&self) -> &LeaderPeer {
        &self.shared.leader
    }

    /// Returns the leadership, as far as this master may believe it: a leader that has not been
    /// heard for long may no longer lead.
    pub(crate) fn leadership(&self) -> Leadership {
        let seen = *self.node().leadership().borrow();
        match seen {
            Leadership::Following { term, .. } if self.silence() > SILENCE_MAX => {
                Leadership::Leaderless { term }
            }
            Leadership::Leading { .. }
            | Leadership::Following { .. }
            | Leadership::Leaderless { .. } => seen,
        }
    }

    /// Returns the time since a leader was heard.
    fn silence(&self) -> Duration {
        let last_contact = self.node().local_status().last_contact;
        last_contact.unwrap_or_else(|| self.shared.started_at.elapsed())
    }

    /// Returns true if this master leads.
    pub(crate) fn is_leading(&self) -> bool {
        self.leadership().is_leading()
    }

    /// Returns the leader, as far as this master may believe in one.
    pub(crate) fn leader(&self) -> Option<MasterId> {
        match self.leadership() {
            Leadership::Leading { .. } => Some(self.node().id()),
            Leadership::Following { leader, .. } => Some(leader),
            Leadership::Leaderless { .. } => None,
        }
    }

    /// Returns the events of the cluster, as this master has applied them.
    pub(crate) fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Cancelled when the master begins to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.shared.stopping
    }

    /// Returns the address of the leader, if it is another master.
    pub(crate) fn other_leader_address(&self) -> Option<String> {
        match self.leadership() {
            Leadership::Following { node, .. } => self.node().member_address(node),
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => None,
        }
    }

    /// A place among the requests that wait for something to happen, of which memory allows only
    /// so many.
    fn wait_slot(&self) -> Result<WaitSlot<'_>, Problem> {
        let permit = self.shared.wait_slots.try_acquire().map_err(|_| {
            Problem::new(ErrorKind::Overloaded, "too many requests are waiting on this master")
        })?;
        self.shared.metrics.on_wait_began();
        Ok(WaitSlot { metrics: &self.shared.metrics, _permit: permit })
    }
}

/// Held by a request while it waits.
#[derive(Debug)]
struct WaitSlot<'a> {
    metrics: &'a Metrics,
    _permit: SemaphorePermit<'a>,
}

impl Drop for WaitSlot<'_> {
    fn drop(&mut self) {
        self.metrics.on_wait_ended();
    }
}
