//! Signs of life: from a worker, or from a follower that passes on those of many.

use std::sync::Arc;

use cluster_state::{
    Command, DisconnectReason, DisconnectWorkers, Epoch, HealthFinding, LossReason,
    RequeueAttempts, RequeueScope, WorkerId,
};
use proto::convert;
use proto::v1;
use tokio::time::Instant;

use super::{Lead, SessionError, WorkerSessions, cluster};

/// What a heartbeat meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its session stands, and its lease is renewed.
    Held,
    /// It is of no session that stands.
    Stale,
}

/// The answer to a follower that passed heartbeats on.
#[derive(Debug)]
pub(crate) struct Relayed {
    /// Who answers.
    pub(crate) leader: Option<v1::LeaderHeader>,
    /// Every master.
    pub(crate) masters: Vec<v1::MasterAddress>,
    /// The followers that heartbeats may be sent to.
    pub(crate) relays: Vec<String>,
    /// For each heartbeat, whether its worker is to register again.
    pub(crate) verdicts: Vec<Result<bool, SessionError>>,
}

impl WorkerSessions {
    /// A sign of life. Never goes through the log.
    pub(crate) async fn heartbeat(
        &self,
        request: v1::HeartbeatRequest,
    ) -> Result<v1::HeartbeatResponse, SessionError> {
        let lead = self.lead()?;
        lead.check_leadership().await?;
        let register_again = match request.goodbye {
            true => {
                let leave = Arc::clone(&lead).take_leave(request);
                lead.see_through(leave).await?;
                false
            }
            false => lead.renew(&request)? == Standing::Stale,
        };
        let (leader, masters, relays) = (lead.header(), lead.masters(), lead.relays());
        Ok(v1::HeartbeatResponse { leader, masters, register_again, relays })
    }

    /// Signs of life of many workers. A goodbye among them is taken for a sign of life. Fails when
    /// none of them can be answered.
    pub(crate) async fn relayed(
        &self,
        heartbeats: &[v1::HeartbeatRequest],
    ) -> Result<Relayed, SessionError> {
        let lead = self.lead()?;
        lead.check_leadership().await?;
        let renewed = heartbeats.iter().map(|heartbeat| lead.renew(heartbeat));
        let verdicts = renewed.map(|renewed| renewed.map(|standing| standing == Standing::Stale));
        Ok(Relayed {
            verdicts: verdicts.collect(),
            leader: lead.header(),
            masters: lead.masters(),
            relays: lead.relays(),
        })
    }
}

impl Lead {
    /// An acknowledged heartbeat lets a worker keep its attempts for another lease. A leader that
    /// was frozen must not grant that: its successor counts from an earlier time.
    async fn check_leadership(&self) -> Result<(), SessionError> {
        self.check_keeps_leading().await?;
        if self.node.holds_quorum_lease() { Ok(()) } else { Err(SessionError::NotLeading) }
    }

    /// Waits out a short loss of the quorum lease: a worker that was sent away would only look for
    /// a leader that there is not, and come back with a registration.
    pub(super) async fn check_keeps_leading(&self) -> Result<(), SessionError> {
        let keeps_leading = self.node.keeps_leading(self.term).await;
        if keeps_leading { Ok(()) } else { Err(SessionError::NotLeading) }
    }

    fn renew(&self, heartbeat: &v1::HeartbeatRequest) -> Result<Standing, SessionError> {
        let (worker, epoch) = self.sender(heartbeat)?;
        // The registry has the last word: the worker may have been unregistered meanwhile.
        let known = self.node.reader().with(|state| {
            let known = state.worker(&worker)?;
            let is_held = known.is_active() && known.epoch == epoch;
            is_held.then(|| (known.health.reported.clone(), state.owes_an_inventory(known)))
        });
        let is_held = known.is_some() && self.leases().renew(&worker, epoch, Instant::now());
        if let Some((recorded, owes_an_inventory)) = known {
            let recorded = recorded.as_ref().map(|trouble| trouble.detail.as_str());
            self.note_fitness(&worker, epoch, heartbeat.unfit.as_deref(), recorded);
            // Only when it says what it has can others be given what it never had.
            if owes_an_inventory {
                return Ok(Standing::Stale);
            }
        }
        if !is_held {
            self.metrics.on_stale("heartbeat", 1);
            return Ok(Standing::Stale);
        }
        self.usage.on_heartbeat(&worker, epoch, heartbeat, self.node.clock().now());
        Ok(Standing::Held)
    }

    /// Has recorded what the worker says of itself, where that is news.
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

    fn sender(&self, heartbeat: &v1::HeartbeatRequest) -> Result<(WorkerId, Epoch), SessionError> {
        self.check_cluster(cluster(&heartbeat.cluster_id)?)?;
        self.metrics.on_heartbeat();
        Ok((convert::id("/worker_id", &heartbeat.worker_id)?, Epoch(heartbeat.epoch)))
    }

    /// A worker shut down in good order: nothing runs there any more.
    async fn take_leave(
        self: Arc<Self>,
        goodbye: v1::HeartbeatRequest,
    ) -> Result<(), SessionError> {
        let (worker, epoch) = self.sender(&goodbye)?;
        let incarnation = convert::id("/incarnation", &goodbye.incarnation)?;
        let known = self.node.reader().with(|state| {
            // One of a process that has been replaced since says nothing about the new one.
            let known = state.worker(&worker).filter(|known| {
                let holder = known.process.map(|process| process.incarnation);
                known.epoch == epoch && holder == Some(incarnation)
            })?;
            Some(()).filter(|()| known.epoch == epoch)
        });
        let Some(()) = known else { return Ok(()) };
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
        // A goodbye that was long under way must not end what has begun since.
        if !self.has_registered_since(&worker, epoch) {
            self.usage.forget(&worker);
            self.channels.close(&worker);
        }
        tracing::info!(%worker, %epoch, "worker said goodbye");
        Ok(())
    }

    fn has_registered_since(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        self.node
            .reader()
            .with(|state| state.worker(worker).is_some_and(|known| known.epoch > epoch))
    }
}
