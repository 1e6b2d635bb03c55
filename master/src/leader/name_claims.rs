//! Reports workers that claim the name of another one.

use std::sync::Arc;

use cluster_state::{Command, NoteRival, Rejection, WorkerId};
use raft_store::ProposeError;
use tokio::time::Instant;

use super::state::LeaderState;

impl LeaderState {
    /// Reports a worker that claims a taken name: once in the log and in the history, and in the
    /// record of the name for as long as the claims go on.
    pub(super) fn on_claim_refused(
        self: &Arc<Self>,
        worker: &WorkerId,
        address: &str,
        rejection: &Rejection,
    ) {
        self.metrics.on_stale("duplicate-name", 1);
        if !self.rivals.on_claim(worker, Instant::now()) {
            return;
        }
        tracing::warn!(%worker, address, %rejection, "two workers use one name");
        let leader = Arc::clone(self);
        let (worker, address) = (worker.clone(), address.to_owned());
        self.tasks.spawn(async move {
            if let Err(error) = leader.note_rival(&worker, Some(address)).await {
                tracing::warn!(%worker, %error, "cannot record that two workers use one name");
                leader.rivals.forget(&worker);
            }
        });
    }

    /// Forgets the rivals that have given up.
    pub(super) async fn review_rivals(&self, now: Instant) -> Result<(), ProposeError> {
        for worker in self.rivals.given_up(now) {
            match self.note_rival(&worker, None).await {
                // The name itself is gone.
                Ok(()) | Err(ProposeError::Rejected { .. }) => self.rivals.forget(&worker),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn note_rival(
        &self,
        worker: &WorkerId,
        address: Option<String>,
    ) -> Result<(), ProposeError> {
        let command =
            Command::NoteRival(NoteRival { term: self.term, worker: worker.clone(), address });
        self.node.propose_as_leader(self.term, &command).await.map(drop)
    }
}
