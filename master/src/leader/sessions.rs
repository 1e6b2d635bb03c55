//! Sessions of workers with the leader: registration, heartbeats, results.

use std::sync::Arc;

use cluster_state::{
    Ahead, AttemptOutcome, AttemptRef, ClusterId, Command, Epoch, FinishAttempts, FinishVerdict,
    FinishedAttempt, LossReason, Reply, Resources, StartAttempts, Term, Timestamp, WorkerId,
};
use parking_lot::Mutex;
use proto::convert::{self, Invalid};
use proto::v1;
use raft_store::ProposeError;
use tokio::time::Instant;

use super::placement::Wish;
use super::state::{LeaderState, WorkerTrust};

mod heartbeats;
mod registration;

pub(crate) use heartbeats::Relayed;

/// Reason why a worker's call had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    /// This master does not lead, or is still taking over.
    #[error("this master does not lead")]
    NotLeading,
    /// The worker belongs to another cluster.
    #[error("this is cluster {ours}, the worker belongs to {theirs}")]
    WrongCluster {
        /// This leader's cluster.
        ours: ClusterId,
        /// The worker's cluster.
        theirs: ClusterId,
    },
    /// The worker has seen a newer leader than this one.
    #[error("the worker has seen term {seen}, this leader's is {ours}")]
    NewerTerm {
        /// The term that the worker has seen.
        seen: Term,
        /// This leader's term.
        ours: Term,
    },
    /// The message is malformed.
    #[error("{0}")]
    Malformed(#[from] Invalid),
    /// The command was not committed.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The state machine's reply does not belong to the command.
    #[error("unexpected reply")]
    UnexpectedReply,
}

/// Answers the calls of workers while this master leads. Clones share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerSessions {
    leader: Arc<Mutex<Option<Arc<LeaderState>>>>,
}

impl WorkerSessions {
    /// Begins or ends a term of leadership.
    pub(crate) fn set(&self, leader: Option<Arc<LeaderState>>) {
        *self.leader.lock() = leader;
    }

    /// Returns the state of the current term, or [`SessionError::NotLeading`].
    pub(crate) fn leading(&self) -> Result<Arc<LeaderState>, SessionError> {
        let leader = self.leader.lock().clone();
        leader.ok_or(SessionError::NotLeading)
    }

    /// Returns the time of the worker's last heartbeat, which only the leader knows.
    #[must_use]
    pub(crate) fn last_heartbeat(&self, worker: &WorkerId) -> Option<Timestamp> {
        self.leading().ok()?.last_heard(worker)
    }

    /// Returns the end of the worker's certificate, which only the leader knows.
    #[must_use]
    pub(crate) fn certificate_end(&self, worker: &WorkerId) -> Option<Timestamp> {
        self.leading().ok()?.usage.certificate_end(worker)
    }

    /// Returns what a worker trusts in the session of that epoch, which only the leader knows.
    #[must_use]
    pub(crate) fn trust(&self, worker: &WorkerId, epoch: Epoch) -> Option<WorkerTrust> {
        self.leading().ok()?.usage.trust(worker, epoch)
    }

    /// Returns the earliest end of a certificate among workers; none on a follower.
    #[must_use]
    pub(crate) fn first_certificate_end(&self) -> Option<Timestamp> {
        self.leading().ok()?.usage.first_certificate_end()
    }

    /// Settles results of attempts before it returns. After an error the worker reports them again.
    pub(crate) async fn report(
        &self,
        request: v1::ReportTaskCompletionRequest,
    ) -> Result<v1::ReportTaskCompletionResponse, SessionError> {
        let leader = self.leading()?;
        leader.check_keeps_leading().await?;
        leader.check_cluster(cluster(&request.cluster_id)?)?;

        let worker: WorkerId = convert::id("/worker_id", &request.worker_id)?;
        let epoch = Epoch(request.epoch);
        let confirmed = request.finished.iter().filter_map(|one| one.attempt.clone()).collect();
        let mut attempts = convert::finished_attempts(request.finished)?;
        leader.make_readable(&mut attempts);
        let started = convert::attempt_refs(request.started)?;
        if leader.holds_session(&worker, epoch) {
            let most = usize::try_from(request.wants_ahead).unwrap_or(usize::MAX);
            let places = leader.places(&attempts);
            let wish = Wish { worker: worker.clone(), epoch, most, places };
            leader.wishes.put(wish, Instant::now());
        }
        if !attempts.is_empty() {
            let command =
                Command::FinishAttempts(FinishAttempts { worker: worker.clone(), epoch, attempts });
            let committed = leader.node.propose_as_leader(leader.term, &command).await?;
            if let Reply::Finished(verdicts) = committed.reply {
                leader.count_stale(&verdicts);
            }
        }
        leader.record_starts(&worker, epoch, &started).await?;

        // Results under a past registration may still count under the next one: the worker keeps
        // them until it has registered.
        if !leader.holds_session(&worker, epoch) {
            return Ok(v1::ReportTaskCompletionResponse::default());
        }
        let started = leader.on_record(&worker, epoch, started);
        let started = started.into_iter().map(Into::into).collect();
        Ok(v1::ReportTaskCompletionResponse { confirmed, started })
    }
}

impl LeaderState {
    /// Refuses a worker of another cluster. A worker that has met no leader belongs to none yet.
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

    /// Completes work that must not stop when its call is dropped, because the caller has died or
    /// hung up.
    async fn see_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SessionError>> + Send + 'static,
    ) -> Result<T, SessionError> {
        // The task is never aborted, and a panic ends the process.
        self.tasks.spawn(work).await.unwrap_or(Err(SessionError::NotLeading))
    }

    /// Tells whether the worker is active in that registration.
    fn holds_session(&self, worker: &WorkerId, epoch: Epoch) -> bool {
        self.node.reader().with(|state| {
            state.worker(worker).is_some_and(|known| known.is_active() && known.epoch == epoch)
        })
    }

    /// Replaces and leaves out what members of an older release could not read: nobody was given anything
    /// ahead then, and results are kept since.
    pub(super) fn make_readable(&self, attempts: &mut [FinishedAttempt]) {
        if self.node.reader().with(|state| state.meta().level) >= Ahead::LEVEL {
            return;
        }
        for attempt in attempts {
            if attempt.outcome == AttemptOutcome::Lost(LossReason::NotStarted) {
                attempt.outcome = AttemptOutcome::Lost(LossReason::UnknownToWorker);
            }
            attempt.report = None;
        }
    }

    /// Returns the resources that attempts which have ended leave to others.
    fn places(&self, ended: &[FinishedAttempt]) -> Vec<Resources> {
        self.node.reader().with(|state| {
            let has_run =
                ended.iter().filter(|one| !matches!(one.outcome, AttemptOutcome::Lost(_)));
            let tasks = has_run.filter_map(|one| state.task(one.attempt.task));
            tasks.map(|task| task.spec.class.resources.clone()).collect()
        })
    }

    /// Records that attempts which waited at the worker have begun.
    async fn record_starts(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        started: &[AttemptRef],
    ) -> Result<(), SessionError> {
        if started.is_empty() {
            return Ok(());
        }
        let (worker, attempts) = (worker.clone(), started.to_vec());
        let command = StartAttempts { term: self.term, worker, epoch, attempts };
        self.node.propose_as_leader(self.term, &Command::StartAttempts(command)).await?;
        Ok(())
    }

    /// Returns the attempts that have begun as far as the state knows, or that it does not wait for.
    fn on_record(
        &self,
        worker: &WorkerId,
        epoch: Epoch,
        mut started: Vec<AttemptRef>,
    ) -> Vec<AttemptRef> {
        self.node.reader().with(|state| {
            started.retain(|one| {
                let live = state.task(one.task).and_then(|task| task.live_attempt());
                !live.is_some_and(|live| {
                    live.is_owned_by(one.attempt, worker, epoch) && live.started_at.is_none()
                })
            });
        });
        started
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
