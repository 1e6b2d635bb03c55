//! Changes the membership: one change at a time, and each only if the quorum that it leaves answers.

mod addition;
mod admission;
mod arithmetic;
mod orders;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster_state::{ClusterId, MasterId, Term};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::Precondition;
use openraft::vote::leader_id_std::CommittedLeaderId;
use tokio::time::Instant;

pub use self::addition::Added;
pub(crate) use self::admission::{Admission, Joiner};
use self::arithmetic::{Quorum, TooFew};
pub use self::orders::MemberOrder;
use super::Node;
use crate::error::StorageError;
use crate::leadership::Leadership;
use crate::log_node::{MasterNode, NodeId, VoteGiver};
use crate::membership::{self, LAG_MAX, Member};
use crate::types::{LogId, TypeConfig};

/// Silence after which a member counts as absent, so that another log may take its place: several
/// leases, so that a member that is only slow keeps it.
pub(super) const ABSENCE: Duration = Duration::from_secs(2);

/// Time to wait for members' answers before a change is refused for the lack of them.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Time after which the outcome of a change is unknown. It is committed, or not, all the same.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The effective membership, as the base of a change.
#[derive(Debug, Clone)]
pub struct Membership {
    /// Every member, by log.
    pub members: Vec<Member>,
    /// True while a change of voters is half done.
    pub is_joint: bool,
    /// Position of the entry that brought it.
    at: Option<LogId>,
}

/// A change of the membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// Adds a member without a vote. It takes the place of other members without one.
    Admit { node: NodeId, record: MasterNode, instead_of: BTreeSet<NodeId> },
    /// Gives a member a vote.
    Promote(NodeId),
    /// Gives a member the vote of another, which leaves.
    Replace { old: NodeId, new: NodeId },
    /// Removes a member.
    Remove(NodeId),
    /// Records another address, zone or release of a member.
    Describe { node: NodeId, record: MasterNode },
    /// Completes a change of voters that another leader has left half done.
    Finish,
}

/// Choice to make a change although too few of the voters that it leaves answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

/// Reason that the membership was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader can change it; nothing has changed.
    #[error("this master does not lead")]
    NotLeader,
    /// Another change is under way; nothing has changed.
    #[error("another change of the membership is under way")]
    InProgress,
    /// The learner has not caught up; nothing has changed.
    #[error("master {name} is {lag} entries behind, at most {max} are allowed: it has no vote yet")]
    Behind { name: MasterId, lag: u64, max: u64 },
    /// The learner does not answer; nothing has changed.
    #[error("master {0} does not answer: it has no vote yet")]
    Silent(MasterId),
    /// No member has that name; nothing has changed.
    #[error("there is no master {0} in this cluster")]
    NotAMember(MasterId),
    /// The order does not fit the membership, or the master that it is about; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// Too few voters would answer; nothing has changed.
    #[error("{0}")]
    TooFew(#[from] TooFew),
    /// A cluster needs a voter; nothing has changed.
    #[error("master {0} is the only voter: a cluster needs one")]
    OnlyVoter(MasterId),
    /// This leader cannot remove itself: it has to hand over first; nothing has changed.
    #[error("master {0} leads: it has to hand over first")]
    Leads(MasterId),
    /// It may or may not have changed: the leader was lost on the way.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

impl MemberChange {
    /// Returns the log that is no member after the change.
    const fn removes(&self) -> Option<NodeId> {
        match self {
            Self::Replace { old: gone, .. } | Self::Remove(gone) => Some(*gone),
            Self::Admit { .. } | Self::Promote(_) | Self::Describe { .. } | Self::Finish => None,
        }
    }
}

impl MembershipError {
    /// Returns true if it is certain that nothing has changed.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        match self {
            Self::NotLeader
            | Self::InProgress
            | Self::Behind { .. }
            | Self::Silent(_)
            | Self::NotAMember(_)
            | Self::Refused(_)
            | Self::TooFew(_)
            | Self::OnlyVoter(_)
            | Self::Leads(_) => true,
            Self::Unknown(_) => false,
        }
    }

    /// Returns true if the change may be allowed when members have answered.
    const fn may_be_a_lack_of_answers(&self) -> bool {
        match self {
            Self::TooFew(_) | Self::Silent(_) | Self::Behind { .. } => true,
            Self::NotLeader
            | Self::InProgress
            | Self::NotAMember(_)
            | Self::Refused(_)
            | Self::OnlyVoter(_)
            | Self::Leads(_)
            | Self::Unknown(_) => false,
        }
    }
}

impl Node {
    /// Returns the effective membership.
    #[must_use]
    pub fn membership(&self) -> Membership {
        let metrics = self.inner.raft.server_metrics();
        let (is_joint, at) = {
            let metrics = metrics.borrow_watched();
            let stored = &metrics.membership_config;
            (stored.membership().get_joint_config().len() > 1, *stored.log_id())
        };
        Membership { members: self.members(), is_joint, at }
    }

    /// Changes the membership that an operator has seen, and returns when the change is committed.
    ///
    /// # Errors
    ///
    /// As [`MembershipError`] says. If another change has come first, nothing has changed.
    pub async fn change_membership(
        &self,
        seen: &Membership,
        change: &MemberChange,
        force: Force,
    ) -> Result<(), MembershipError> {
        self.change_membership_by(VoteGiver::Operator, seen, change, force).await
    }

    /// Does the same in somebody's name.
    pub(super) async fn change_membership_by(
        &self,
        by: VoteGiver,
        seen: &Membership,
        change: &MemberChange,
        force: Force,
    ) -> Result<(), MembershipError> {
        let _turn = self.inner.changing.lock().await;
        let Leadership::Leading { term } = *self.leadership().borrow() else {
            return Err(MembershipError::NotLeader);
        };
        if self.membership().at != seen.at {
            return Err(MembershipError::InProgress);
        }
        let check = || self.check_change(seen, change, force, term);
        if check().is_err_and(|error| error.may_be_a_lack_of_answers()) {
            // A new leader has only begun to hear answers.
            let answered = self.acks().until(|| check().is_ok());
            tokio::time::timeout(ANSWERS_WITHIN, answered).await.ok();
        }
        check()?;

        let preconditions = [
            Precondition::CommittedLeaderId { committed_leader_id: CommittedLeaderId::new(term.0) },
            Precondition::LastMembershipLogId { last_membership_log_id: seen.at },
        ];
        let record = |node| self.inner.members.record(node).unwrap_or_default();
        let steps = steps_of(seen, change, |node| MasterNode { vote_by: Some(by), ..record(node) });
        let changed = self.raft().change_membership_if(steps, false, preconditions);
        match tokio::time::timeout(COMMIT_TIMEOUT, changed).await {
            Ok(Ok(_)) => {
                if let Some(gone) = change.removes().and_then(|gone| seen.get(gone)) {
                    self.tasks().spawn(self.clone().say_farewell(gone.clone()));
                }
                Ok(())
            }
            Ok(Err(error)) => Err(self.refusal_of(seen, error)),
            Err(_) => Err(MembershipError::Unknown("not committed in time".to_owned())),
        }
    }

    /// Returns the reason that a change has failed: once the membership has moved on, the first of its
    /// two entries may be there.
    fn refusal_of(
        &self,
        seen: &Membership,
        error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>,
    ) -> MembershipError {
        let reason = reason_of(error);
        if reason.is_certain() && self.membership().at != seen.at {
            return MembershipError::Unknown(reason.to_string());
        }
        reason
    }

    /// Returns true while this master, as the leader, changes the membership.
    pub(super) fn is_changing_membership(&self) -> bool {
        self.inner.changing.try_lock().is_err()
    }

    fn check_change(
        &self,
        seen: &Membership,
        change: &MemberChange,
        force: Force,
        term: Term,
    ) -> Result<(), MembershipError> {
        let me = self.node_id();
        if seen.is_joint && *change != MemberChange::Finish {
            return Err(MembershipError::InProgress);
        }
        let before = seen.voters();
        let after = match change {
            MemberChange::Admit { .. } | MemberChange::Describe { .. } | MemberChange::Finish => {
                return Ok(());
            }
            MemberChange::Promote(new) => {
                self.check_has_caught_up(seen, *new)?;
                before.iter().copied().chain([*new]).collect::<BTreeSet<_>>()
            }
            MemberChange::Replace { old, new } => {
                self.check_has_caught_up(seen, *new)?;
                let kept = before.iter().copied().filter(|voter| voter != old);
                kept.chain([*new]).collect()
            }
            MemberChange::Remove(old) => {
                before.iter().copied().filter(|voter| voter != old).collect()
            }
        };
        if after.is_empty() {
            return Err(MembershipError::OnlyVoter(self.id()));
        }
        if after != before && force == Force::No {
            let keeps_up = |voter: &NodeId| {
                *voter == me
                    || arithmetic::keeps_up(
                        self.inner.hand_over.is_answering(*voter, term),
                        self.lag_of(*voter),
                    )
            };
            let count = |voters: &BTreeSet<NodeId>| Quorum::count(voters, keeps_up);
            arithmetic::check(count(&before), count(&after))?;
        }
        let is_leaving = before.contains(&me) && !after.contains(&me);
        if is_leaving { Err(MembershipError::Leads(self.id())) } else { Ok(()) }
    }

    fn check_has_caught_up(&self, seen: &Membership, new: NodeId) -> Result<(), MembershipError> {
        let name = seen.get(new).map_or(MasterId(new.0), |member| member.name);
        if !self.has_answered(new, ABSENCE) {
            return Err(MembershipError::Silent(name));
        }
        let everything = membership::local_status(self.raft()).committed.0;
        let lag = self.lag_of(new).unwrap_or(everything);
        if lag > LAG_MAX {
            return Err(MembershipError::Behind { name, lag, max: LAG_MAX });
        }
        Ok(())
    }

    /// Returns, on a leader, the number of committed entries that a member's log lacks; none if the
    /// member has never answered it.
    #[must_use]
    pub fn lag_of(&self, node: NodeId) -> Option<u64> {
        let status = membership::local_status(self.raft());
        let matched = status.matched.get(&node)?;
        Some(status.committed.0.saturating_sub(matched.0))
    }

    /// Returns true if a member has answered this leader within `within`.
    #[must_use]
    pub fn has_answered(&self, node: NodeId, within: Duration) -> bool {
        let Leadership::Leading { term } = *self.leadership().borrow() else { return false };
        let from = Instant::now().checked_sub(within);
        from.is_some_and(|from| self.acks().has_answered_since(node, term.0, from))
    }

    /// Takes the id of the cluster that has admitted this master without data.
    pub(crate) async fn enter(&self, cluster: ClusterId) -> Result<(), StorageError> {
        self.inner.stores.log.set_cluster_id(cluster).await?;
        self.inner.identity.learn(cluster);
        Ok(())
    }
}

impl Membership {
    /// Returns the member whose log is `node`.
    #[must_use]
    pub fn get(&self, node: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node == node)
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.members.iter().filter(|member| member.is_voter).map(|member| member.node).collect()
    }
}

/// Returns what Raft is to do; `voter` describes a log that gets a vote.
fn steps_of(
    seen: &Membership,
    change: &MemberChange,
    voter: impl Fn(NodeId) -> MasterNode,
) -> ChangeMembers<NodeId, MasterNode> {
    let described = |node| ChangeMembers::SetNodes(BTreeMap::from([(node, voter(node))]));
    match change {
        MemberChange::Admit { node, record, instead_of } => ChangeMembers::Batch(vec![
            ChangeMembers::RemoveNodes(instead_of.clone()),
            ChangeMembers::AddNodes(BTreeMap::from([(*node, record.clone())])),
        ]),
        MemberChange::Promote(node) => ChangeMembers::Batch(vec![
            described(*node),
            ChangeMembers::AddVoterIds(BTreeSet::from([*node])),
        ]),
        MemberChange::Replace { old, new } => ChangeMembers::Batch(vec![
            described(*new),
            ChangeMembers::AddVoterIds(BTreeSet::from([*new])),
            ChangeMembers::RemoveVoters(BTreeSet::from([*old])),
        ]),
        // A voter that is removed does not stay without a vote, because nothing is retained.
        MemberChange::Remove(node) if seen.voters().contains(node) => {
            ChangeMembers::RemoveVoters(BTreeSet::from([*node]))
        }
        MemberChange::Remove(node) => ChangeMembers::RemoveNodes(BTreeSet::from([*node])),
        MemberChange::Describe { node, record } => {
            ChangeMembers::SetNodes(BTreeMap::from([(*node, record.clone())]))
        }
        MemberChange::Finish => ChangeMembers::AddVoterIds(BTreeSet::new()),
    }
}

fn reason_of(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MembershipError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => MembershipError::NotLeader,
        RaftError::APIError(
            ClientWriteError::PreconditionFailed(_)
            | ClientWriteError::ChangeMembershipError(
                ChangeMembershipError::InProgress(_)
                | ChangeMembershipError::UncommittedLeaderLog(_),
            ),
        ) => MembershipError::InProgress,
        RaftError::APIError(
            other @ (ClientWriteError::LogEntryDiscarded(_)
            | ClientWriteError::ChangeMembershipError(_)),
        ) => MembershipError::Unknown(other.to_string()),
        RaftError::Fatal(fatal) => MembershipError::Unknown(fatal.to_string()),
    }
}
