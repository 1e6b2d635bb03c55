//! Handing leadership over.

use std::time::Duration;

use cluster_state::MasterId;
use tokio::time::Instant;

use super::Node;
use crate::leadership::Leadership;
use crate::membership;

/// How long a successor may take: several elections.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Only the leader can hand over.
    #[error("this master does not lead")]
    NotLeader,
    /// There is no other voter that is reachable and close enough.
    #[error("no other voter can take over")]
    NoSuccessor,
    /// The one asked for is not a voter.
    #[error("master {0} is not a voter of this cluster")]
    NotAVoter(MasterId),
    /// It did not take over in time; the leader leads on.
    #[error("master {0} did not take over in time")]
    TimedOut(MasterId),
}

impl Node {
    /// Hands leadership to `to`, or to the voter with the longest log, and returns who leads when
    /// it has taken over.
    ///
    /// # Errors
    ///
    /// As [`TransferError`] says.
    pub async fn transfer_leader(&self, to: Option<MasterId>) -> Result<MasterId, TransferError> {
        let mut leadership = self.leadership();
        if !leadership.borrow_and_update().is_leading() {
            return Err(TransferError::NotLeader);
        }
        let to = match to {
            Some(to) if to == self.id() => return Ok(to),
            Some(to) if self.members().iter().any(|m| m.id == to && m.is_voter) => to,
            Some(to) => return Err(TransferError::NotAVoter(to)),
            None => self.successor().await.ok_or(TransferError::NoSuccessor)?,
        };
        let deadline = Instant::now() + TRANSFER_TIMEOUT;
        let started = self.inner.raft.trigger().transfer_leader(to.0).await;
        started.map_err(|_| TransferError::NotLeader)?;
        let taken_over = leadership.wait_for(|seen| match seen {
            Leadership::Following { .. } => true,
            Leadership::Leading { .. } | Leadership::Leaderless { .. } => false,
        });
        match tokio::time::timeout_at(deadline, taken_over).await {
            Ok(Ok(seen)) => match *seen {
                Leadership::Following { leader, .. } => Ok(leader),
                Leadership::Leading { .. } | Leadership::Leaderless { .. } => Ok(to),
            },
            Ok(Err(_)) | Err(_) => Err(TransferError::TimedOut(to)),
        }
    }

    /// The voter with the longest log of those that answer now: nobody waits for one that is gone.
    async fn successor(&self) -> Option<MasterId> {
        let answers = self.peer_statuses().await;
        let answered = |id| answers.get(&id).is_some_and(Option::is_some);
        membership::best_successor(&self.inner.raft, answered)
    }
}
