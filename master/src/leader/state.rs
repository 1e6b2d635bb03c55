//! The state that the leader keeps in memory for one term.

mod channels;
mod findings;
mod leases;
mod reconnect;
mod refused_workers;
mod rest;
mod rivals;
mod undelivered;
mod usage;
mod wishes;

use cluster_state::{ClusterId, Term, Timestamp, WorkerId, WorkerSettings};
use parking_lot::{Mutex, MutexGuard};
use proto::v1;
use raft_store::Node;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::settings::SettingsInForce;

pub(crate) use self::channels::WorkerChannels;
pub(crate) use self::findings::HealthFindings;
pub(crate) use self::leases::{Lapsed, LeaseTable, Patience};
pub(crate) use self::reconnect::{
    Outcome, Outcomes, ReconnectError, ReconnectHandle, ReconnectRequest, Target,
};
pub(crate) use self::refused_workers::RefusedWorkers;
pub(crate) use self::rest::{Rest, until_over};
pub(crate) use self::rivals::Rivals;
pub(crate) use self::undelivered::{SetbackKind, Undelivered};
pub(crate) use self::usage::{Usage, WorkerTrust};
pub(crate) use self::wishes::Wishes;

/// The volatile state of one term of leadership, shared by the duties and the sessions of workers.
///
/// Other parts of its behavior are in `admission`, `name_claims` and `sessions`.
#[derive(Debug)]
pub(crate) struct LeaderState {
    pub(crate) node: Node,
    pub(crate) term: Term,
    pub(crate) settings: SettingsInForce,
    pub(crate) leases: Mutex<LeaseTable>,
    /// Notified when a deadline of a lease may have come nearer.
    pub(crate) leases_changed: Notify,
    /// Notified when a worker obeys a newer leader.
    pub(crate) challenged: Notify,
    pub(crate) rest: Rest,
    /// Connections to workers.
    pub(crate) channels: WorkerChannels,
    /// Reports of workers about their machines.
    pub(crate) usage: Usage,
    /// Findings about the health of workers that are not in the log yet.
    pub(crate) findings: HealthFindings,
    /// Orders that workers do not carry out.
    pub(crate) undelivered: Undelivered,
    /// Workers that want attempts ahead of the room for them.
    pub(crate) wishes: Wishes,
    pub(crate) refused: RefusedWorkers,
    pub(crate) rivals: Rivals,
    /// Work that goes on when the call that began it is dropped.
    pub(crate) tasks: TaskTracker,
    /// Requests to the reconnection monitor.
    pub(crate) reconnect: ReconnectHandle,
    pub(crate) metrics: Metrics,
}

impl LeaderState {
    /// Locks the lease table.
    pub(crate) fn leases(&self) -> MutexGuard<'_, LeaseTable> {
        self.leases.lock()
    }

    /// Returns the settings in force about workers. Locks the state.
    pub(crate) fn worker_settings(&self) -> WorkerSettings {
        self.node.reader().with(|state| self.settings.of(state).worker)
    }

    /// Returns the header that names this leader in calls to workers; none while the cluster has no
    /// id.
    #[must_use]
    pub(crate) fn header(&self) -> Option<v1::LeaderHeader> {
        let id = self.node.id();
        Some(v1::LeaderHeader {
            cluster_id: self.cluster()?.to_string(),
            term: self.term.0,
            leader_id: id.0,
            leader_address: self.node.member(id)?.address,
        })
    }

    /// Returns the time of the worker's last heartbeat under this leader.
    #[must_use]
    pub(crate) fn last_heard(&self, worker: &WorkerId) -> Option<Timestamp> {
        let silence = self.leases().silence(worker, Instant::now())?;
        Some(self.node.clock().now().before(silence))
    }

    /// Returns the addresses of all masters.
    #[must_use]
    pub(crate) fn masters(&self) -> Vec<v1::MasterAddress> {
        let members = self.node.members().into_iter();
        members
            .map(|member| v1::MasterAddress { id: member.name.0, address: member.address })
            .collect()
    }

    /// Returns the followers that workers should prefer for heartbeats.
    #[must_use]
    pub(crate) fn relays(&self) -> Vec<String> {
        self.node.answering_members().into_iter().map(|member| member.address).collect()
    }

    /// Handles the refusal of a worker that has seen a newer term.
    pub(crate) fn on_newer_term(&self, worker: &WorkerId, seen: u64) {
        // A refusal that names no newer term proves nothing against this leader.
        if seen <= self.term.0 {
            tracing::warn!(%worker, seen, ours = %self.term, "a worker refuses its leader's term");
            return;
        }
        tracing::warn!(%worker, seen, ours = %self.term, "a worker obeys a newer leader");
        self.doubt_leadership();
    }

    /// Has the supervisor confirm that this master still leads, because a newer term was seen.
    pub(crate) fn doubt_leadership(&self) {
        self.metrics.on_stale("leader-term", 1);
        self.challenged.notify_one();
    }

    /// Returns the cluster's id as the state has it: this leader's barrier fixed it.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.node.reader().with(|state| state.meta().cluster)
    }
}
