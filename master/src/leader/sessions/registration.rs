//! A worker's registration: admitted, committed, answered.

use std::sync::Arc;

use cluster_state::{
    AttemptVerdict, Command, ConnectWorker, Reply, Resources, Resume, Worker, millis,
};
use proto::convert::Registration;
use proto::v1;
use tokio::time::Instant;

use super::{Lead, SessionError, WorkerSessions};
use crate::leader::leases::Patience;

impl WorkerSessions {
    /// Opens a session: reconciles what the worker says with the state.
    pub(crate) async fn register(
        &self,
        request: v1::RegisterWorkerRequest,
    ) -> Result<v1::RegisterWorkerResponse, SessionError> {
        let lead = self.lead()?;
        lead.check_keeps_leading().await?;
        let registration = Registration::try_from(request)?;
        lead.check_cluster(registration.cluster)?;
        if registration.term_seen > lead.term {
            lead.challenged.notify_one();
            lead.metrics.on_stale("leader-term", 1);
            return Err(SessionError::NewerTerm { seen: registration.term_seen, ours: lead.term });
        }
        let command = lead.admit(registration)?;
        let connect = Arc::clone(&lead).connect(command);
        lead.see_through(connect).await
    }
}

impl Lead {
    /// Commits a registration, and does what follows from it.
    async fn connect(
        self: Arc<Self>,
        command: ConnectWorker,
    ) -> Result<v1::RegisterWorkerResponse, SessionError> {
        let (worker, incarnation) = (command.worker.clone(), command.process.incarnation);
        let (total, address) = (command.specs.total.clone(), command.address.clone());
        let finished = command.finished.clone();
        let received_at = Instant::now();
        let before = self.node.reader().with(|state| state.worker(&worker).cloned());
        if before.as_ref().is_none_or(|known| !known.is_active()) {
            // What is left of another session, be it of another worker of that name.
            self.usage.forget(&worker);
        }
        let connect = Command::ConnectWorker(command);
        let committed = self.node.propose_as_leader(self.term, &connect).await?;
        let Reply::Connected(resume) = committed.reply else {
            return Err(SessionError::UnexpectedReply);
        };

        let was = before.and_then(|before| before.process).map(|process| process.incarnation);
        if was != Some(incarnation) {
            // Another process may run on another machine of the same name.
            self.channels.close(&worker);
        }
        self.count_stale(&resume.finished);
        if let Some(after) = self.node.reader().with(|state| state.worker(&worker).cloned()) {
            self.listen(&after, &resume, received_at);
        }
        self.knocks.forget(&worker);
        let Resources { cpu_milli, memory_mib, storage_mib, gpu, .. } = total;
        tracing::info!(%worker, epoch = %resume.epoch, address, cpu_milli, memory_mib, storage_mib,
            gpu, "worker registered");

        let killed = resume.running.iter().filter(|(_, verdict)| *verdict == AttemptVerdict::Kill);
        let kill = killed.map(|(attempt, _)| (*attempt).into()).collect::<Vec<_>>();
        if !kill.is_empty() {
            self.metrics.on_stale("running-attempt", kill.len());
        }
        let times = self.leases().times();
        Ok(v1::RegisterWorkerResponse {
            leader: self.header(),
            masters: self.masters(),
            relays: self.relays(),
            epoch: resume.epoch.0,
            heartbeat_interval_ms: millis(times.heartbeat_interval),
            heartbeat_timeout_ms: millis(times.heartbeat_timeout),
            lease_ms: millis(times.lease),
            kill,
            confirmed: finished.iter().map(|one| one.attempt.into()).collect(),
        })
    }

    /// Begins the worker's lease, unless it is over again already.
    fn listen(&self, worker: &Worker, resume: &Resume, received_at: Instant) {
        if worker.epoch != resume.epoch || !worker.is_active() {
            return;
        }
        let now = (Instant::now(), self.node.clock().now());
        let mut leases = self.leases();
        let patience = Patience::with(worker, leases.times(), now);
        leases.on_connected(&worker.id, worker.epoch, patience, received_at);
        drop(leases);
        self.leases_changed.notify_one();
        if worker.rival.is_none() {
            self.rivals.forget(&worker.id);
        }
    }
}
