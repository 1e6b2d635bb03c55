//! Admits masters without data: decides whether one may become a member, and in whose place.

use std::collections::BTreeSet;

use cluster_state::{ClusterId, Level, MasterId};
use proto::v1;

use super::{ABSENCE, Force, MemberChange, Membership, MembershipError};
use crate::leadership::Leadership;
use crate::log_node::{MasterNode, NodeId};
use crate::membership::Member;
use crate::node::Node;
use crate::node::founding::record_of;

/// Members that a cluster may have, those without a vote included: each is sent every entry, and more
/// voters only make writes slower.
const MEMBERS_MAX: usize = 15;

/// A master that asks to become a member.
#[derive(Debug, Clone)]
pub(crate) struct Joiner {
    node: NodeId,
    name: MasterId,
    record: MasterNode,
    /// True if it has named the id of this cluster.
    knows_cluster: bool,
    /// True if it is, or was, a member, and only says where it is.
    announces: bool,
}

impl Joiner {
    /// Reads a master's description of itself.
    ///
    /// # Errors
    ///
    /// If it cannot be a member for that alone.
    pub(crate) fn read(master: &v1::MasterDescription) -> Result<Self, String> {
        let (node, name) = (NodeId(master.node), MasterId(master.name));
        if node.0 == 0 || name.0 == 0 {
            return Err("a master has the id of its log, and a name".to_owned());
        }
        proto::channel::check_address(&master.address).map_err(|error| error.to_string())?;
        Ok(Self {
            node,
            name,
            record: record_of(name, master),
            knows_cluster: false,
            announces: false,
        })
    }

    /// Returns the same master as one that has named the id of this cluster.
    pub(crate) fn knowing_its_cluster(self) -> Self {
        Self { knows_cluster: true, ..self }
    }

    /// Returns the same master as one that has only said where it is.
    pub(crate) fn announcing(self, announces: bool) -> Self {
        Self { announces, ..self }
    }

    pub(super) const fn node(&self) -> NodeId {
        self.node
    }
}

/// Answer to a master that asks to become a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is a member of that cluster.
    Admitted(ClusterId),
    /// The leader at this address decides, if one is known.
    AskLeader(Option<String>),
    Refused(String),
    /// Its program cannot read what a cluster of this level stores.
    TooOld(Level),
}

impl Node {
    /// Admits a master without data, if this master leads.
    pub(crate) async fn admit(&self, joiner: Joiner) -> Admission {
        match self.try_to_admit(joiner).await {
            Ok(admission) => admission,
            Err(MembershipError::NotLeader) => Admission::AskLeader(None),
            Err(error) => Admission::Refused(error.to_string()),
        }
    }

    /// Does the same; an error says why the membership was not changed.
    pub(super) async fn try_to_admit(&self, joiner: Joiner) -> Result<Admission, MembershipError> {
        let leadership = *self.leadership().borrow();
        let (Leadership::Leading { .. }, Some(cluster)) = (leadership, self.cluster_id()) else {
            let leader = match leadership {
                Leadership::Following { node, .. } => self.inner.members.address(node),
                Leadership::Leading { .. } | Leadership::Leaderless { .. } => None,
            };
            return Ok(Admission::AskLeader(leader));
        };

        let membership = self.membership();
        let answers = |member: &Member| {
            member.node == self.node_id() || self.has_answered(member.node, ABSENCE)
        };
        let instead_of = match plan(&joiner, &membership, self.reader().level(), answers) {
            Plan::IsMember => {
                // Whoever knows but the cluster's name could send its members astray.
                if joiner.knows_cluster {
                    self.record_change(&membership, joiner).await;
                }
                return Ok(Admission::Admitted(cluster));
            }
            Plan::Refuse(reason) => return Ok(Admission::Refused(reason)),
            Plan::TooOld => return Ok(Admission::TooOld(self.reader().level())),
            Plan::Admit { instead_of } => instead_of,
        };

        let Joiner { node, name, record, .. } = joiner;
        tracing::info!(master = %name, %node, address = record.addr, "admitting a master");
        let change = MemberChange::Admit { node, record, instead_of };
        self.change_membership(&membership, &change, Force::No).await?;
        Ok(Admission::Admitted(cluster))
    }

    /// Records where a member is and what it runs, if the membership says otherwise.
    async fn record_change(&self, membership: &Membership, member: Joiner) {
        let Joiner { node, name, record, .. } = member;
        let Some(recorded) = self.inner.members.record(node) else { return };
        let record = record.with_vote_of(&recorded);
        if record == recorded {
            return;
        }
        // Connections to it keep the address that they were made for.
        self.inner.stores.book.on_found(node, &recorded.addr, &record.addr);
        tracing::info!(master = %name, address = record.addr, release = record.release, "a member has changed");
        let change = MemberChange::Describe { node, record };
        if let Err(error) = self.change_membership(membership, &change, Force::No).await {
            // It announces itself again.
            tracing::debug!(%error, "the membership is not changed");
        }
    }
}

/// Decision about a joiner.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    IsMember,
    Admit { instead_of: BTreeSet<NodeId> },
    Refuse(String),
    TooOld,
}

fn plan(
    joiner: &Joiner,
    membership: &Membership,
    level: Level,
    answers: impl Fn(&Member) -> bool,
) -> Plan {
    let members = &membership.members;
    if members.iter().any(|member| member.node == joiner.node) {
        return Plan::IsMember;
    }
    if joiner.announces {
        return Plan::Refuse("its log is not a member".to_owned());
    }
    if joiner.record.level_max.is_none_or(|known| known < level) {
        return Plan::TooOld;
    }

    let (namesakes, others): (Vec<_>, Vec<_>) =
        members.iter().partition(|member| member.name == joiner.name);
    if let Some(present) = namesakes.iter().find(|member| answers(member)) {
        return Plan::Refuse(format!(
            "master {} is a member and answers at {}: another master needs another node_id; if its \
             data directory is to be replaced by this empty one, stop it first",
            present.name, present.address
        ));
    }
    if let Some(other) = others.iter().find(|member| member.address == joiner.record.addr) {
        return Plan::Refuse(format!(
            "{} is the address of master {}, which is a member: remove it first",
            other.address, other.name
        ));
    }
    if others.len() >= MEMBERS_MAX {
        return Plan::Refuse(format!("the cluster has {} members: remove one first", others.len()));
    }
    // A voter keeps its place until the new log has everything.
    let learners = namesakes.into_iter().filter(|member| !member.is_voter);
    Plan::Admit { instead_of: learners.map(|member| member.node).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: u64, name: u64, is_voter: bool) -> Member {
        let address = format!("10.0.0.{node}:1");
        Member { node: NodeId(node), name: MasterId(name), address, zone: None, is_voter }
    }

    fn joiner(name: u64, address: &str) -> Joiner {
        let record = MasterNode {
            level_max: Some(Level(2)),
            release: "0.3.0".to_owned(),
            ..MasterNode::at(MasterId(name), address)
        };
        Joiner {
            node: NodeId(1 << 40),
            name: MasterId(name),
            record,
            knows_cluster: false,
            announces: false,
        }
    }

    /// Decides in a cluster of the voters 1, 2 and 3 and the learner 4; these nodes answer.
    fn decide(joiner: &Joiner, level: u8, answering: &[u64]) -> Plan {
        let voters = (1..=3).map(|number| member(number, number, true));
        let members = voters.chain([member(40, 4, false)]).collect();
        let membership = Membership { members, is_joint: false, at: None };
        plan(joiner, &membership, Level(level), |member| answering.contains(&member.node.0))
    }

    fn refusal(joiner: &Joiner, level: u8) -> String {
        match decide(joiner, level, &[1, 2]) {
            Plan::Refuse(reason) => reason,
            other @ (Plan::IsMember | Plan::Admit { .. } | Plan::TooOld) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_removed_master_that_says_where_it_is_stays_removed() {
        let removed = joiner(5, "10.0.0.5:1").announcing(true);
        assert_eq!(refusal(&removed, 2), "its log is not a member");
        let member = Joiner { node: NodeId(3), ..joiner(3, "10.0.0.9:1").announcing(true) };
        assert_eq!(decide(&member, 2, &[1, 2]), Plan::IsMember);
    }

    fn admitted(instead_of: &[u64]) -> Plan {
        Plan::Admit { instead_of: instead_of.iter().copied().map(NodeId).collect() }
    }

    #[test]
    fn a_new_name_is_admitted() {
        assert_eq!(decide(&joiner(5, "10.0.0.5:1"), 2, &[1, 2, 3]), admitted(&[]));
    }

    #[test]
    fn an_empty_directory_waits_beside_the_silent_voter_of_its_name() {
        assert_eq!(decide(&joiner(3, "10.0.0.3:1"), 2, &[1, 2]), admitted(&[]));
    }

    #[test]
    fn it_takes_the_place_of_a_silent_learner() {
        assert_eq!(decide(&joiner(4, "10.0.0.40:1"), 2, &[1, 2]), admitted(&[40]));
    }

    #[test]
    fn a_name_that_is_in_use_is_refused() {
        assert_eq!(
            refusal(&joiner(2, "10.0.0.9:1"), 2),
            "master 2 is a member and answers at 10.0.0.2:1: another master needs another node_id; \
             if its data directory is to be replaced by this empty one, stop it first"
        );
    }

    #[test]
    fn an_address_that_is_in_use_is_refused() {
        assert_eq!(
            refusal(&joiner(5, "10.0.0.2:1"), 2),
            "10.0.0.2:1 is the address of master 2, which is a member: remove it first"
        );
    }

    #[test]
    fn a_release_that_cannot_read_the_cluster_is_refused() {
        assert_eq!(decide(&joiner(5, "10.0.0.5:1"), 3, &[1, 2]), Plan::TooOld);
    }
}
