//! Raft's nodes: each is a log, and carries the name and the addresses of the master that has it.

use std::fmt;
use std::ops::Range;

use cluster_state::{Level, MasterId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identity of a log. It is drawn when a data directory is made, and dies with it: an empty
/// directory is never the node that it replaces, whatever its master is called.
///
/// Release 0.2.0 gave a log the number of its master. Such a log keeps it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Range of drawn identities: none is the number of a master, and each is exact as a signed
    /// number, too.
    const DRAWN: Range<u64> = 1 << 32..1 << 63;

    /// Draws the identity of a new log.
    #[must_use]
    pub fn draw() -> Self {
        // Each half of a UUID has bits that are fixed, at different places.
        Self::of_random(Uuid::new_v4().as_u64_pair().1 ^ Uuid::new_v4().as_u64_pair().0)
    }

    /// Returns the identity that follows from a random number.
    #[must_use]
    pub const fn of_random(number: u64) -> Self {
        Self(Self::DRAWN.start + number % (Self::DRAWN.end - Self::DRAWN.start))
    }

    /// Returns true if the log has the number of its master, as release 0.2.0 made it.
    const fn is_numbered(self) -> bool {
        self.0 < Self::DRAWN.start
    }
}

impl From<u64> for NodeId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_numbered() { self.0.fmt(f) } else { write!(f, "{:016x}", self.0) }
    }
}

/// A member of the cluster, as the replicated membership describes it. In the log it is JSON, of
/// which release 0.2.0 reads the address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterNode {
    /// `host:port` of its gRPC server.
    pub addr: String,
    /// Configured name; absent in what release 0.2.0 has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<MasterId>,
    /// `host:port` of its HTTP server; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub http: String,
    /// Zone that it is in, if it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Version of its program; empty if unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release: String,
    /// Highest feature level that its program can run, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level_max: Option<Level>,
    /// Author of its latest promotion to a voter; none for a first member, and if it has no vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vote_by: Option<VoteGiver>,
}

/// Author of a change of votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoteGiver {
    Operator,
    Autopilot,
}

impl MasterNode {
    /// Returns the description of a master of which nothing but name and address is known.
    #[must_use]
    pub fn at(name: MasterId, addr: impl Into<String>) -> Self {
        Self { addr: addr.into(), name: Some(name), ..Self::default() }
    }

    /// Returns the same description with what is no master's own affair as `recorded`.
    #[must_use]
    pub(crate) fn with_vote_of(self, recorded: &Self) -> Self {
        Self { vote_by: recorded.vote_by, ..self }
    }

    /// Returns the name of the master whose log is `id`.
    #[must_use]
    pub fn name_or(&self, id: NodeId) -> MasterId {
        self.name.unwrap_or(MasterId(id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_drawn_identity_is_the_number_of_a_master() {
        let drawn = (0..1_000).map(|_| NodeId::draw()).collect::<Vec<_>>();
        assert!(drawn.iter().all(|id| !id.is_numbered() && id.0 < 1 << 63), "{drawn:?}");
        assert_ne!(drawn.first(), drawn.get(1));
    }

    #[test]
    fn a_member_that_an_earlier_release_wrote_has_its_number_for_a_name() {
        let written = serde_json::from_str::<MasterNode>(r#"{"addr":"10.0.0.2:50051"}"#).unwrap();
        assert_eq!(written.name_or(NodeId(2)), MasterId(2));
        assert_eq!(serde_json::to_string(&written).unwrap(), r#"{"addr":"10.0.0.2:50051"}"#);

        let named = MasterNode::at(MasterId(2), "10.0.0.2:50051");
        let text = serde_json::to_string(&named).unwrap();
        assert_eq!(text, r#"{"addr":"10.0.0.2:50051","name":2}"#);
        assert_eq!(serde_json::from_str::<MasterNode>(&text).unwrap(), named);
        assert_eq!(named.name_or(NodeId(1 << 40)), MasterId(2));
    }
}
