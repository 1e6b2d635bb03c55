//! Hands leadership over on request.

use std::time::Duration;

use cluster_state::{MasterId, Term};
use tokio::time::Instant;

use super::Node;
use crate::leadership::Leadership;
use crate::membership::{self, LAG_MAX, Member};

/// Time in which a successor takes over: several elections.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);

/// Reason that leadership was not handed over, or not to the requested master.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Only the leader can hand over.
    #[error("this master does not lead")]
    NotLeader,
    /// No other voter is reachable and close enough.
    #[error("no other voter can take over: this master leads on")]
    NoSuccessor,
    /// The requested master is not a member.
    #[error("master {0} is not a member of this cluster")]
    NotAMember(MasterId),
    /// The requested master has no vote.
    #[error("master {0} is not a voter of this cluster")]
    NotAVoter(MasterId),
    /// The requested master is dead, frozen or cut off.
    #[error("master {0} does not answer: this master leads on")]
    Silent(MasterId),
    /// The requested master would have to catch up first.
    #[error("master {to} is {lag} entries behind, at most {max} are allowed: this master leads on")]
    Behind {
        to: MasterId,
        /// Entries that it lacks.
        lag: u64,
        max: u64,
    },
    /// The requested master could not take over, and another master was elected.
    #[error("master {asked} did not take over: master {leader} leads now")]
    AnotherLeads { asked: MasterId, leader: MasterId },
    /// It did not take over in time, and no leader is known.
    #[error("master {0} did not take over in time, and no master is known to lead")]
    TimedOut(MasterId),
}

impl TransferError {
    /// Returns true if it is certain that nothing has changed.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        match self {
            Self::NotLeader
            | Self::NoSuccessor
            | Self::NotAMember(_)
            | Self::NotAVoter(_)
            | Self::Silent(_)
            | Self::Behind { .. } => true,
            Self::AnotherLeads { .. } | Self::TimedOut(_) => false,
        }
    }
}

impl Node {
    /// Hands leadership to `to`, or to the voter with the longest log, and returns the leader once
    /// it has taken over. Raft itself would hand over to anybody and take no writes until an
    /// election has found another leader; on a single voter, never again.
    ///
    /// # Errors
    ///
    /// As [`TransferError`] says.
    pub async fn transfer_leader(&self, to: Option<MasterId>) -> Result<MasterId, TransferError> {
        let mut leadership = self.leadership();
        let Leadership::Leading { term } = *leadership.borrow_and_update() else {
            return Err(TransferError::NotLeader);
        };
        let successor = match to {
            Some(to) if to == self.id() => return Ok(to),
            Some(to) => self.member(to).ok_or(TransferError::NotAMember(to))?,
            None => self.find_successor(term).await.ok_or(TransferError::NoSuccessor)?,
        };
        self.check_can_take_over(&successor, term).await?;

        self.inner.hand_over.to(successor.node, term).await;
        let deadline = Instant::now() + TRANSFER_TIMEOUT;
        let taken_over = leadership.wait_for(|seen| match seen {
            Leadership::Following { .. } => true,
            // It may have been elected again, when the successor was not.
            Leadership::Leading { term: current } => *current > term,
            Leadership::Leaderless { .. } => false,
        });
        let leader = match tokio::time::timeout_at(deadline, taken_over).await {
            Ok(Ok(seen)) => seen.leader(self.id()),
            Ok(Err(_)) | Err(_) => self.leadership().borrow().leader(self.id()),
        };
        match (leader, to) {
            (Some(leader), Some(asked)) if leader != asked => {
                Err(TransferError::AnotherLeads { asked, leader })
            }
            (Some(leader), _) if leader == self.id() => {
                Err(TransferError::AnotherLeads { asked: successor.name, leader })
            }
            (Some(leader), _) => Ok(leader),
            (None, _) => Err(TransferError::TimedOut(successor.name)),
        }
    }

    async fn find_successor(&self, term: Term) -> Option<Member> {
        let others = self.members().into_iter().filter(|member| member.node != self.node_id());
        if others.filter(|member| member.is_voter).count() == 0 {
            return None;
        }
        let successor = self.inner.hand_over.successor(term).await?;
        self.inner.members.get(successor)
    }

    async fn check_can_take_over(&self, member: &Member, term: Term) -> Result<(), TransferError> {
        let to = member.name;
        if !member.is_voter {
            return Err(TransferError::NotAVoter(to));
        }
        let answers = self.inner.hand_over.answers(member.node, term).await;
        // A master that was frozen a moment ago has answered within the lease.
        if !answers || self.ask_status(member).await.is_none() {
            return Err(TransferError::Silent(to));
        }

        let status = membership::local_status(&self.inner.raft);
        let matched = status.matched.get(&member.node).map_or(0, |matched| matched.0);
        let lag = status.last_log.0.saturating_sub(matched);
        if lag > LAG_MAX {
            return Err(TransferError::Behind { to, lag, max: LAG_MAX });
        }
        Ok(())
    }
}
