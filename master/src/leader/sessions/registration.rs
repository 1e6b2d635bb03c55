//! Registers workers: admits, commits, answers.

use std::sync::Arc;

use cluster_state::{
    AttemptVerdict, Command, ConnectWorker, Reply, Resources, Resume, Worker, millis,
};
use proto::convert::Registration;
use proto::v1;
use tokio::time::Instant;

use super::{SessionError, WorkerSessions};
use crate::leader::state::{LeaderState, Patience};

impl WorkerSessions {
    /// Opens a session: reconciles the worker's account with the state.
    pub(crate) async fn register(
        &self,
        request: v1::RegisterWorkerRequest,
    ) -> Result<v1::RegisterWorkerResponse, SessionError> {
        let leader = self.leading()?;
        leader.check_keeps_leading().await?;
        let registration = Registration::try_from(request)?;
        leader.check_cluster(registration.cluster)?;
        if registration.term_seen > leader.term {
            leader.challenged.notify_one();
            leader.metrics.on_stale("leader-term", 1);
            return Err(SessionError::NewerTerm {
                seen: registration.term_seen,
                ours: leader.term,
            });
        }
        let mut command = leader.admit(registration)?;
        leader.make_readable(&mut command.finished);
        let connect = Arc::clone(&leader).connect(command);
        leader.see_through(connect).await
    }
}

impl LeaderState {
    /// Commits a registration, begins the lease, and builds the answer.
    async fn connect(
        self: Arc<Self>,
        command: ConnectWorker,
    ) -> Result<v1::RegisterWorkerResponse, SessionError> {
        let (worker, incarnation) = (command.worker.clone(), command.process.incarnation);
        let granted = command.granted;
        let (total, address) = (command.specs.total.clone(), command.address.clone());
        let finished = command.finished.clone();
        let received_at = Instant::now();
        let before = self.node.reader().with(|state| state.worker(&worker).cloned());
        if before.as_ref().is_none_or(|known| !known.is_active()) {
            // Drop usage from an earlier session, which may have been another worker with this
            // name.
            self.usage.forget(&worker);
        }
        let connect = Command::ConnectWorker(command);
        let committed = self.node.propose_as_leader(self.term, &connect).await?;
        let Reply::Connected(resume) = committed.reply else {
            return Err(SessionError::UnexpectedReply);
        };

        let was = before.and_then(|before| before.process).map(|process| process.incarnation);
        if was != Some(incarnation) {
            // Another process may run on another machine with the same name.
            self.channels.close(&worker);
        }
        self.count_stale(&resume.finished);
        if let Some(after) = self.node.reader().with(|state| state.worker(&worker).cloned()) {
            self.listen(&after, &resume, received_at);
        }
        self.refused.forget(&worker);
        let Resources { cpu_milli, memory_mib, storage_mib, gpu, .. } = total;
        tracing::info!(%worker, epoch = %resume.epoch, address, cpu_milli, memory_mib, storage_mib,
            gpu, "worker registered");

        let killed = resume.running.iter().filter(|(_, verdict)| *verdict == AttemptVerdict::Kill);
        let kill = killed.map(|(attempt, _)| (*attempt).into()).collect::<Vec<_>>();
        if !kill.is_empty() {
            self.metrics.on_stale("running-attempt", kill.len());
        }
        Ok(v1::RegisterWorkerResponse {
            leader: self.header(),
            masters: self.masters(),
            relays: self.relays(),
            epoch: resume.epoch.0,
            heartbeat_interval_ms: millis(granted.heartbeat_interval),
            heartbeat_timeout_ms: millis(granted.heartbeat_timeout),
            lease_ms: millis(granted.lease),
            kill,
            confirmed: finished.iter().map(|one| one.attempt.into()).collect(),
        })
    }

    /// Begins the worker's lease, unless the session is over already.
    fn listen(&self, worker: &Worker, resume: &Resume, received_at: Instant) {
        if worker.epoch != resume.epoch || !worker.is_active() {
            return;
        }
        let now = (Instant::now(), self.node.clock().now());
        let patience = Patience::with(worker, self.worker_settings().times(), now);
        let mut leases = self.leases();
        leases.on_connected(&worker.id, worker.epoch, patience, received_at);
        drop(leases);
        self.leases_changed.notify_one();
        if worker.rival.is_none() {
            self.rivals.forget(&worker.id);
        }
    }
}
