//! Type parameters of openraft for this cluster, and short names for the resulting types.

use cluster_state::{LogIndex, Rejection, Reply, Term};
use openraft::type_config::alias;
use openraft::vote::leader_id_std;
use serde::{Deserialize, Serialize};

pub use crate::log_node::{MasterNode, NodeId};
pub use crate::payload::Payload;

/// Reply to an applied entry; none for entries that are Raft's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outcome(pub Option<Result<Reply, Rejection>>);

openraft::declare_raft_types!(
    /// Raft as this cluster uses it: one leader per term, and each log is a node.
    pub TypeConfig:
        D = Payload,
        R = Outcome,
        NodeId = NodeId,
        Node = MasterNode,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, NodeId>,
);

/// A position in the log together with the term that wrote it.
pub type LogId = alias::LogIdOf<TypeConfig>;
/// One element of the log.
pub type Entry = alias::EntryOf<TypeConfig>;
/// The node that this one voted for, and whether a quorum did.
pub type Vote = alias::VoteOf<TypeConfig>;
/// The voters, and where each member is.
pub(crate) type Membership = openraft::Membership<NodeId, MasterNode>;
/// A membership and the entry that brought it.
pub type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
/// Position that a snapshot covers.
pub type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;

/// Creates a log id.
#[must_use]
pub fn log_id(term: Term, index: LogIndex) -> LogId {
    LogId::new(leader_id_std::CommittedLeaderId::new(term.0), index.0)
}

/// Returns the index after `last`; 0 when there is nothing yet.
pub(crate) fn next_index(last: Option<LogId>) -> u64 {
    last.map_or(0, |id| id.index.saturating_add(1))
}

/// Position up to which a master has applied the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppliedAt {
    /// Last applied entry; 0, which no command ever has, before the first.
    pub index: LogIndex,
    /// Term that wrote it.
    pub term: Term,
}

impl From<Option<LogId>> for AppliedAt {
    fn from(applied: Option<LogId>) -> Self {
        applied.map_or_else(Self::default, |id| Self {
            index: LogIndex(id.index),
            term: Term(id.leader_id.term),
        })
    }
}
