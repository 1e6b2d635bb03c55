//! Heartbeats: from a worker, or from a follower that relays those of many.

use std::sync::Arc;

use cluster_state::{
    Command, DisconnectReason, DisconnectWorkers, Epoch, HealthFinding, LossReason,
    RequeueAttempts, RequeueScope, WorkerId,
};
use proto::convert;
use proto::v1;
use tokio::time::Instant;

use super::{SessionError, WorkerSessions, cluster};
use crate::leader::state::LeaderState;

/// Standing of the session of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionStanding {
    /// The session is current, and its lease is renewed.
    Held,
    /// The session is over: the worker must register.
    Stale,
}

/// The answer to a follower that relayed heartbeats.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) leader: Option<v1::LeaderHeader>,
    pub(crate) masters: Vec<v1::MasterAddress>,
    /// Followers that workers should prefer for heartbeats.
    pub(crate) relays: Vec<String>,
    /// For each heartbeat, whether its worker must register again.
    pub(crate) verdicts: Vec<Result<bool, SessionError>>,
}

impl WorkerSessions {
    /// Renews a worker's lease, or ends its session. A renewal does not go through the log.
    pub(crate) async fn heartbeat(
        &self,
        request: v1::HeartbeatRequest,
    ) -> Result<v1::HeartbeatResponse, SessionError> {
        let leader = self.leading()?;
        leader.check_leadership().await?;
        let register_again = if request.goodbye {
            let ending = Arc::clone(&leader).on_goodbye(request);
            leader.see_through(ending).await?;
            false
        } else {
            leader.renew(&request)? == SessionStanding::Stale
        };
        Ok(v1::HeartbeatResponse {
            leader: leader.header(),
            masters: leader.masters(),
            relays: leader.relays(),
            register_again,
            ..v1::HeartbeatResponse::default()
        })
    }

    /// Renews the leases of many workers. A goodbye among the heartbeats counts as a heartbeat.
    /// Fails if none can be answered.
    pub(crate) async fn relayed(
        &self,
        heartbeats: &[v1::HeartbeatRequest],
    ) -> Result<Relayed, SessionError> {
        let leader = self.leading()?;
        leader.check_leadership().await?;
        let renewed = heartbeats.iter().map(|heartbeat| leader.renew(heartbeat));
        let verdicts =
            renewed.map(|renewed| renewed.map(|standing| standing == SessionStanding::Stale));
        Ok(Relayed {
            verdicts: verdicts.collect(),
            leader: leader.header(),
            masters: leader.masters(),
            relays: leader.relays(),
        })
    }
}

impl LeaderState {
    /// Checks that this master leads under a quorum lease: an acknowledged heartbeat lets a worker
    /// keep its attempts for another lease, and a leader that was frozen must not grant that,
    /// because its successor counts from an earlier time.
    async fn check_leadership(&self) -> Result<(), SessionError> {
        self.check_keeps_leading().await?;
        if self.node.holds_quorum_lease() { Ok(()) } else { Err(SessionError::NotLeading) }
    }

    /// Waits out a short loss of the quorum lease: a worker that was sent away would only search
    /// for a leader where there is none, and come back with a registration.
    pub(super) async fn check_keeps_leading(&self) -> Result<(), SessionError> {
        let keeps_leading = self.node.keeps_leading(self.term).await;
        if keeps_leading { Ok(()) } else { Err(SessionError::NotLeading) }
    }

    fn renew(&self, heartbeat: &v1::HeartbeatRequest) -> Result<SessionStanding, SessionError> {
        let (worker, epoch) = self.sender(heartbeat)?;
        // The state decides: the worker may have been unregistered meanwhile.
        let known = self.node.reader().with(|state| {
            let known = state.worker(&worker)?;
            let is_held = known.is_active() && known.epoch == epoch;
            is_held.then(|| (known.health.reported.clone(), state.owes_an_inventory(known)))
        });
        let is_held = known.is_some() && self.leases().renew(&worker, epoch, Instant::now());
        if let Some((recorded, owes_an_inventory)) = known {
            let recorded = recorded.as_ref().map(|trouble| trouble.detail.as_str());
            self.note_fitness(&worker, epoch, heartbeat.unfit.as_deref(), recorded);
            // Attempts that it never had can be requeued only once it says which ones it has.
            if owes_an_inventory {
                return Ok(SessionStanding::Stale);
            }
        }

        if !is_held {
            self.metrics.on_stale("heartbeat", 1);
            return Ok(SessionStanding::Stale);
        }
        self.usage.on_heartbeat(&worker, epoch, heartbeat, self.node.clock().now());
        Ok(SessionStanding::Held)
    }

    /// Posts what the worker says about its fitness, unless it is on record.
    fn note_fitness(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        said: Option<&str>,
        recorded: Option<&str>,
    ) {
        let said = said.map(|said| convert::unfitness(said.to_owned()));
        if said.as_deref() == recorded {
            return;
        }
        let finding = match said {
            Some(detail) => HealthFinding::Unfit { detail },
            None => HealthFinding::Fit,
        };
        self.findings.post(worker, epoch, finding);
    }

    /// Returns the sender of a heartbeat of this cluster.
    fn sender(&self, heartbeat: &v1::HeartbeatRequest) -> Result<(WorkerId, Epoch), SessionError> {
        self.check_cluster(cluster(&heartbeat.cluster_id)?)?;
        self.metrics.on_heartbeat();
        Ok((convert::id("/worker_id", &heartbeat.worker_id)?, Epoch(heartbeat.epoch)))
    }

    /// Ends the session of a worker that has shut down in good order and runs nothing any more.
    async fn on_goodbye(
        self: Arc<Self>,
        goodbye: v1::HeartbeatRequest,
    ) -> Result<(), SessionError> {
        let (worker, epoch) = self.sender(&goodbye)?;
        let incarnation = convert::id("/incarnation", &goodbye.incarnation)?;
        // The goodbye of a process that was replaced says nothing about the new one.
        let is_current = self.node.reader().with(|state| {
            state.worker(&worker).is_some_and(|known| {
                let holder = known.process.map(|process| process.incarnation);
                known.epoch == epoch && holder == Some(incarnation)
            })
        });
        if !is_current {
            return Ok(());
        }

        let disconnect = Command::DisconnectWorkers(DisconnectWorkers {
            term: self.term,
            workers: vec![(worker.clone(), epoch)],
            reason: DisconnectReason::Shutdown,
            last_heard: [(worker.clone(), self.node.clock().now())].into(),
        });
        self.node.propose_as_leader(self.term, &disconnect).await?;

        let requeue = Command::RequeueAttempts(RequeueAttempts {
            term: self.term,
            workers: vec![(worker.clone(), epoch)],
            reason: LossReason::WorkerShutdown,
            scope: RequeueScope::All,
            attempts_max: u32::MAX,
        });
        self.node.propose_as_leader(self.term, &requeue).await?;

        self.leases().on_expired(&worker, epoch);
        // A goodbye that arrives late must not end what has begun since.
        if !self.has_registered_since(&worker, epoch) {
            self.usage.forget(&worker);
            self.channels.close(&worker);
        }
        tracing::info!(%worker, %epoch, "worker said goodbye");
        Ok(())
    }

    /// Tells whether the worker has registered again since that epoch.
    fn has_registered_since(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        self.node
            .reader()
            .with(|state| state.worker(worker).is_some_and(|known| known.epoch > epoch))
    }
}
