//! What workers tell the leader: registration, heartbeats, results.

use std::sync::Arc;

use cluster_state::{
    ClusterId, Command, Epoch, FinishAttempts, FinishVerdict, Reply, Term, Timestamp, WorkerId,
};
use parking_lot::{Mutex, MutexGuard};
use proto::convert::{self, Invalid};
use proto::v1;
use raft_store::{Node, ProposeError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::admission::Knocks;
use super::channels::WorkerChannels;
use super::health::Findings;
use super::leases::LeaseTable;
use super::reconnection::ReconnectHandle;
use super::rest::Rest;
use super::rivals::Rivals;
use super::undelivered::Undelivered;
use super::usage::Usage;
use crate::metrics::Metrics;

mod heartbeats;
mod registration;

pub(crate) use heartbeats::Relayed;

/// Why a worker's call achieved nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    /// This master does not lead, or is still taking over.
    #[error("this master does not lead")]
    NotLeading,
    /// The worker belongs to another cluster.
    #[error("this is cluster {ours}, the worker belongs to {theirs}")]
    WrongCluster {
        /// Ours.
        ours: ClusterId,
        /// What the worker said.
        theirs: ClusterId,
    },
    /// The worker has seen a newer leader than this one.
    #[error("the worker has seen term {seen}, this leader's is {ours}")]
    NewerTerm {
        /// What it has seen.
        seen: Term,
        /// Ours.
        ours: Term,
    },
    /// The message makes no sense.
    #[error("{0}")]
    Malformed(#[from] Invalid),
    /// The command was not committed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The state machine answered something that does not belong to the command.
    #[error("unexpected reply")]
    UnexpectedReply,
}

/// The volatile part of one term of leadership.
#[derive(Debug)]
pub(crate) struct Lead {
    /// Proposes and reads.
    pub(crate) node: Node,
    /// The term led.
    pub(crate) term: Term,
    /// Whom the leader hears from.
    pub(crate) leases: Mutex<LeaseTable>,
    /// Told when a deadline may have come nearer.
    pub(crate) leases_changed: Notify,
    /// Told when a worker obeys a newer leader.
    pub(crate) challenged: Notify,
    /// Whether the duties rest.
    pub(crate) rest: Rest,
    /// Connections to workers.
    pub(crate) channels: WorkerChannels,
    /// What workers report of their machines.
    pub(crate) usage: Usage,
    /// What was found out about workers and is to be recorded.
    pub(crate) findings: Findings,
    /// Orders that workers do not carry out.
    pub(crate) undelivered: Undelivered,
    /// Who was turned away.
    pub(crate) knocks: Knocks,
    /// Who wants a name that is taken.
    pub(crate) rivals: Rivals,
    /// What goes on when the call that began it is dropped.
    pub(crate) tasks: TaskTracker,
    /// Has the reconnection monitor go to workers at once.
    pub(crate) reconnect: ReconnectHandle,
    /// Counts what happens.
    pub(crate) metrics: Metrics,
}

impl Lead {
    /// The lease table, for a moment.
    pub(crate) fn leases(&self) -> MutexGuard<'_, LeaseTable> {
        self.leases.lock()
    }

    /// Who speaks, for every call to a worker; nothing while the cluster has no id.
    #[must_use]
    pub(crate) fn header(&self) -> Option<v1::LeaderHeader> {
        let id = self.node.id();
        Some(v1::LeaderHeader {
            cluster_id: self.cluster()?.to_string(),
            term: self.term.0,
            leader_id: id.0,
            leader_address: self.node.member_address(id)?,
        })
    }

    /// When the worker was last heard from under this leader.
    #[must_use]
    pub(crate) fn last_heard(&self, worker: &WorkerId) -> Option<Timestamp> {
        let silence = self.leases().silence(worker, Instant::now())?;
        Some(self.node.clock().now().before(silence))
    }

    /// All masters, for workers to turn to.
    #[must_use]
    pub(crate) fn masters(&self) -> Vec<v1::MasterAddress> {
        let members = self.node.members().into_iter();
        members
            .map(|member| v1::MasterAddress { id: member.id.0, address: member.address })
            .collect()
    }

    /// The followers that workers had better send their heartbeats to.
    #[must_use]
    pub(crate) fn relays(&self) -> Vec<String> {
        self.node.answering_members().into_iter().map(|member| member.address).collect()
    }

    /// A worker has refused this leader because it has seen a newer term.
    pub(crate) fn on_newer_term(&self, worker: &WorkerId, seen: u64) {
        // A refusal that names no newer term proves nothing against this leader.
        if seen <= self.term.0 {
            tracing::warn!(%worker, seen, ours = %self.term, "a worker refuses its leader's term");
            return;
        }
        tracing::warn!(%worker, seen, ours = %self.term, "a worker obeys a newer leader");
        self.doubt_leadership();
    }

    /// Somebody has seen a newer term: whether this master still leads is to be confirmed.
    pub(crate) fn doubt_leadership(&self) {
        self.metrics.on_stale("leader-term", 1);
        self.challenged.notify_one();
    }

    /// The cluster's id as the state has it: the barrier that this leader committed fixed it.
    fn cluster(&self) -> Option<ClusterId> {
        self.node.reader().with(|state| state.meta().cluster)
    }
}

/// Where workers' calls arrive. Answers only while this master leads.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerSessions {
    lead: Arc<Mutex<Option<Arc<Lead>>>>,
}

impl WorkerSessions {
    /// Begins or ends a term of leadership.
    pub(crate) fn set(&self, lead: Option<Arc<Lead>>) {
        *self.lead.lock() = lead;
    }

    /// The term of leadership under way, or [`SessionError::NotLeading`].
    pub(crate) fn lead(&self) -> Result<Arc<Lead>, SessionError> {
        let lead = self.lead.lock().clone();
        lead.ok_or(SessionError::NotLeading)
    }

    /// When the worker was last heard from; known to the leader alone.
    #[must_use]
    pub(crate) fn last_heartbeat(&self, worker: &WorkerId) -> Option<Timestamp> {
        self.lead().ok()?.last_heard(worker)
    }

    /// Settles results of attempts before it returns. After an error the worker reports them again.
    pub(crate) async fn report(
        &self,
        request: v1::ReportTaskCompletionRequest,
    ) -> Result<v1::ReportTaskCompletionResponse, SessionError> {
        let lead = self.lead()?;
        lead.check_keeps_leading().await?;
        lead.check_cluster(cluster(&request.cluster_id)?)?;
        let worker: WorkerId = convert::id("/worker_id", &request.worker_id)?;
        let epoch = Epoch(request.epoch);
        let confirmed = request.finished.iter().filter_map(|one| one.attempt.clone()).collect();
        let attempts = convert::finished_attempts(request.finished)?;
        let command =
            Command::FinishAttempts(FinishAttempts { worker: worker.clone(), epoch, attempts });
        let committed = lead.node.propose_as_leader(lead.term, &command).await?;
        if let Reply::Finished(verdicts) = committed.reply {
            lead.count_stale(&verdicts);
        }
        // Results that came under a registration that is over may still count under the next one:
        // the worker keeps them until it has registered.
        let confirmed = if lead.holds_session(&worker, epoch) { confirmed } else { Vec::new() };
        Ok(v1::ReportTaskCompletionResponse { confirmed })
    }
}

impl Lead {
    /// A worker that has never met a leader belongs nowhere yet.
    fn check_cluster(&self, theirs: Option<ClusterId>) -> Result<(), SessionError> {
        let Some(ours) = self.cluster() else { return Err(SessionError::NotLeading) };
        match theirs {
            Some(theirs) if theirs != ours => {
                self.metrics.on_stale("cluster", 1);
                Err(SessionError::WrongCluster { ours, theirs })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Does work that must not end half way when the call that asks for it is dropped, because the
    /// caller has died or does not want to wait any longer.
    async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SessionError>> + Send + 'static,
    ) -> Result<T, SessionError> {
        // It is never aborted, and a panic ends the process.
        self.tasks.spawn(work).await.unwrap_or(Err(SessionError::NotLeading))
    }

    fn holds_session(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        self.node.reader().with(|state| {
            state.worker(worker).is_some_and(|known| known.is_active() && known.epoch == epoch)
        })
    }

    fn count_stale(&self, verdicts: &[FinishVerdict]) {
        let stale = verdicts.iter().filter(|verdict| **verdict == FinishVerdict::Stale).count();
        if stale > 0 {
            self.metrics.on_stale("completion", stale);
        }
    }
}

fn cluster(text: &str) -> Result<Option<ClusterId>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    convert::id("/cluster_id", text).map(Some)
}
