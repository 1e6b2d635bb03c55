//! Members of the cluster and the progress of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster_state::{LogIndex, MasterId, Term};
use openraft::async_runtime::{Instant, WatchReceiver};
use openraft::{RaftState, ServerState};
use proto::v1;

use crate::network::address_book::AddressBook;
use crate::network::plausibility::Known;
use crate::raft::Raft;
use crate::types::{MasterNode, NodeId, TypeConfig};

/// A membership as Raft has it.
type Stored = openraft::Membership<NodeId, MasterNode>;

/// A master of the effective membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its log, as Raft knows it.
    pub node: NodeId,
    /// Configured name. While one log replaces another, both have the same.
    pub name: MasterId,
    /// `host:port` of its gRPC server.
    pub address: String,
    /// Zone that it is in, if it was told.
    pub zone: Option<String>,
    /// True if it counts in a quorum.
    pub is_voter: bool,
}

/// A master's Raft role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Leads its term.
    Leader,
    /// Votes, and replicates what the leader sends.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Replicates without a vote.
    Learner,
    /// Has stopped.
    Stopped,
}

impl From<Role> for v1::MasterRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Leader => Self::Leader,
            Role::Follower => Self::Follower,
            Role::Candidate => Self::Candidate,
            Role::Learner => Self::Learner,
            Role::Stopped => Self::Stopped,
        }
    }
}

/// Progress of this master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalStatus {
    /// Log of this master.
    pub node: NodeId,
    pub role: Role,
    /// Newest term that it has seen.
    pub term: Term,
    /// Leader that it believes in.
    pub leader: Option<NodeId>,
    /// Last entry of its log.
    pub last_log: LogIndex,
    /// Last entry that it knows to be committed.
    pub committed: LogIndex,
    /// Last entry that it has applied.
    pub applied: LogIndex,
    /// Last entry that its newest snapshot covers.
    pub snapshot: Option<LogIndex>,
    /// Last entry that it has purged from its log.
    pub purged: Option<LogIndex>,
    /// For a leader, time since a quorum answered it; for any other, time since a leader was heard.
    /// None before the first time.
    pub last_contact: Option<Duration>,
    /// For a leader: last entry of each other member's log that matches its own.
    pub matched: BTreeMap<NodeId, LogIndex>,
}

/// The effective membership, always current.
#[derive(Clone)]
pub(crate) struct Members {
    raft: Raft,
    book: Arc<AddressBook>,
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all()).finish()
    }
}

impl Members {
    pub(crate) const fn new(raft: Raft, book: Arc<AddressBook>) -> Self {
        Self { raft, book }
    }

    pub(crate) fn all(&self) -> Vec<Member> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters = membership.voter_ids().collect::<Vec<_>>();
        let member = |(id, node): (&NodeId, &MasterNode)| Member {
            node: *id,
            name: node.name_or(*id),
            address: self.book.address(*id, &node.addr),
            zone: node.zone.clone(),
            is_voter: voters.contains(id),
        };
        membership.nodes().map(member).collect()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<Member> {
        self.all().into_iter().find(|member| member.node == id)
    }

    /// Returns the member of that name: the voter, while a learner is to replace it.
    pub(crate) fn named(&self, name: MasterId) -> Option<Member> {
        let of_that_name = self.all().into_iter().filter(|member| member.name == name);
        of_that_name.max_by_key(|member| member.is_voter)
    }

    /// Returns what the membership records of a member.
    pub(crate) fn record(&self, id: NodeId) -> Option<MasterNode> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&id).cloned()
    }

    pub(crate) fn address(&self, id: NodeId) -> Option<String> {
        Some(self.book.address(id, &self.record(id)?.addr))
    }
}

/// Returns whether a log is a member, as long as its removal is not committed; none when Raft has
/// ended.
pub(crate) async fn belongs(raft: &Raft, node: NodeId) -> Option<bool> {
    let look = move |state: &RaftState<TypeConfig>| {
        let (committed, effective) =
            (state.membership_state.committed(), state.membership_state.effective());
        is_in(node, [committed.membership(), effective.membership()])
    };
    raft.with_raft_state(look).await.ok()
}

/// Returns whether one of the memberships names a log. A removal that is not committed may never be,
/// and an admission that is not committed is not to be undone.
fn is_in<'a>(node: NodeId, memberships: impl IntoIterator<Item = &'a Stored>) -> bool {
    memberships.into_iter().any(|membership| membership.get_node(&node).is_some())
}

/// Entries that a member which keeps up may lack: as many as a busy leader appends within some
/// milliseconds. A learner that becomes a voter counts as a slow one for them, and a leader that hands
/// over takes no writes until its successor has them.
pub const LAG_MAX: u64 = 1_000;

/// Returns the voter to hand leadership to: the eligible one with the longest matching log.
pub(crate) fn best_successor(
    raft: &Raft,
    comes_into_question: impl Fn(NodeId) -> bool,
) -> Option<NodeId> {
    let status = local_status(raft);
    let others = raft.voter_ids().filter(|voter| *voter != status.node);
    others
        .filter(|voter| comes_into_question(*voter))
        .filter_map(|voter| status.matched.get(&voter).map(|matched| (*matched, voter)))
        .max()
        .map(|(_, id)| id)
}

/// Returns the knowledge of this master when a message of `sender` arrives. While it has no
/// membership, `is_first` tells who belongs to the cluster.
pub(crate) fn known_of(raft: &Raft, sender: NodeId, is_first: impl Fn(NodeId) -> bool) -> Known {
    let committed = raft.data_metrics().borrow_watched().local_committed;
    let (id, term, membership_at, named) = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let named = membership.nodes().next().map(|_| membership.get_node(&sender).is_some());
        let membership_at = metrics.membership_config.log_id().map(|id| id.index);
        (metrics.id, metrics.vote.leader_id.term, membership_at, named)
    };
    // Asked after the metrics are given back: it takes a lock of its own.
    let is_member = named.unwrap_or_else(|| is_first(sender));
    Known { id, term, committed, is_member, membership_at }
}

pub(crate) fn local_status(raft: &Raft) -> LocalStatus {
    // Computed before the metrics are borrowed: it borrows them itself, and a second borrow waits
    // behind a writer that waits for the first.
    let last_contact = quorum_age(raft);
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let index = |id: &Option<crate::types::LogId>| LogIndex(id.as_ref().map_or(0, |id| id.index));

    let role = match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    };

    let matched = metrics.replication.iter().flatten();
    LocalStatus {
        node: metrics.id,
        role,
        term: Term(metrics.current_term),
        leader: metrics.current_leader,
        last_log: LogIndex(metrics.last_log_index.unwrap_or(0)),
        committed: index(&metrics.cluster_committed),
        applied: index(&metrics.last_applied),
        snapshot: metrics.snapshot.as_ref().map(|id| LogIndex(id.index)),
        purged: metrics.purged.as_ref().map(|id| LogIndex(id.index)),
        last_contact,
        matched: matched.map(|(id, matched)| (*id, index(matched))).collect(),
    }
}

/// Returns the age of the latest quorum of answers to this leader.
pub(crate) fn quorum_age(raft: &Raft) -> Option<Duration> {
    let leader = raft.as_leader().ok()?;
    // A single voter is a quorum: it asks nobody, so nobody answers.
    if raft.voter_ids().eq([*raft.node_id()]) {
        return Some(Duration::ZERO);
    }
    Some(leader.last_quorum_acked()?.elapsed())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(nodes: &[u64]) -> Stored {
        let voters = nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let record = |node: &u64| (NodeId(*node), MasterNode::at(MasterId(*node), "10.0.0.1:1"));
        Stored::new(vec![voters], nodes.iter().map(record).collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn a_member_belongs_until_its_removal_is_committed() {
        let (before, after) = (of(&[1, 2, 3]), of(&[1, 2]));
        assert!(is_in(NodeId(3), [&before, &after]), "its removal is not committed");
        assert!(!is_in(NodeId(3), [&after, &after]));
        assert!(is_in(NodeId(3), [&after, &before]), "its admission is not committed");
    }
}
