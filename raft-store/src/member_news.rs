//! Tells from two consecutive memberships who came, went, and got a vote. Pure.

use std::collections::{BTreeSet, VecDeque};

use cluster_state::MasterId;

use crate::log_node::{MasterNode, NodeId, VoteGiver};

/// A membership as Raft has it.
type Membership = openraft::Membership<NodeId, MasterNode>;

/// Change of one member, which is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberNews {
    /// Name of its master.
    pub name: MasterId,
    /// Its log.
    pub node: NodeId,
    pub what: MemberEvent,
    /// Author of the change; none if the member has asked for it.
    pub by: Option<VoteGiver>,
}

/// Event in a member's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberEvent {
    /// It has become a member.
    Added,
    /// It has got a vote.
    Promoted,
    /// It has given its place to the log of that master, and is no member any more.
    Replaced { by: MasterId },
    /// It is no member any more.
    Removed,
}

/// Number of masters that are remembered to have left: more than a cluster has members.
const LEFT_MAX: usize = 64;

/// Names of the masters that have left lately, the latest one last.
#[derive(Debug, Default)]
pub(crate) struct Departures(VecDeque<MasterId>);

impl Departures {
    /// Takes in a change.
    pub(crate) fn on_news(&mut self, news: &MemberNews) {
        self.0.retain(|name| *name != news.name);
        match news.what {
            MemberEvent::Removed | MemberEvent::Replaced { .. } => {
                self.0.push_back(news.name);
                if self.0.len() > LEFT_MAX {
                    self.0.pop_front();
                }
            }
            MemberEvent::Added | MemberEvent::Promoted => {}
        }
    }

    pub(crate) fn contains(&self, name: MasterId) -> bool {
        self.0.contains(&name)
    }
}

/// Returns the changes from one membership to the next.
pub(crate) fn between(before: &Membership, after: &Membership) -> Vec<MemberNews> {
    let mut news = Vec::new();
    for (node, record) in after.nodes() {
        let is_new = before.get_node(node).is_none();
        if is_new {
            news.push(told(*node, record, MemberEvent::Added, None));
        }
        let has_got_vote = goal(after).contains(node) && !goal(before).contains(node);
        if has_got_vote && !is_new {
            news.push(told(*node, record, MemberEvent::Promoted, record.vote_by));
        }
    }

    let gone = before.nodes().filter(|(node, _)| after.get_node(node).is_none());
    news.extend(gone.map(|(node, record)| match successor(before, after, *node, record) {
        Some((new, by)) => told(*node, record, MemberEvent::Replaced { by: new }, by),
        // Nobody else removes a member without a successor.
        None => told(*node, record, MemberEvent::Removed, Some(VoteGiver::Operator)),
    }));
    news
}

fn told(node: NodeId, record: &MasterNode, what: MemberEvent, by: Option<VoteGiver>) -> MemberNews {
    MemberNews { name: record.name_or(node), node, what, by }
}

/// Returns the voters that there are, or will be when a joint membership is left.
fn goal(membership: &Membership) -> BTreeSet<NodeId> {
    membership.get_joint_config().last().cloned().unwrap_or_default()
}

/// Returns the master whose log has taken the place of one that is gone, and who has decided that.
fn successor(
    before: &Membership,
    after: &Membership,
    gone: NodeId,
    record: &MasterNode,
) -> Option<(MasterId, Option<VoteGiver>)> {
    let configs = before.get_joint_config();
    let was_voter = configs.first().is_some_and(|voters| voters.contains(&gone));
    let new = if was_voter {
        // The change began with both of them.
        let old_voters = configs.first()?;
        goal(before).into_iter().find(|node| !old_voters.contains(node))?
    } else {
        let name = record.name_or(gone);
        let is_new = |node: &NodeId| before.get_node(node).is_none();
        after
            .nodes()
            .find(|(id, new)| is_new(id) && new.name_or(**id) == name)
            .map(|(id, _)| *id)?
    };
    let record = after.get_node(&new)?;
    Some((record.name_or(new), if was_voter { record.vote_by } else { None }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const AUTOPILOT: Option<VoteGiver> = Some(VoteGiver::Autopilot);
    const OPERATOR: Option<VoteGiver> = Some(VoteGiver::Operator);

    /// A membership of these voters, one set or two, and these logs, which the numbers name.
    fn of(configs: &[&[u64]], nodes: &[u64]) -> Membership {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let record = |node: &u64| {
            let record = MasterNode::at(MasterId(node % 10), "10.0.0.1:1");
            (NodeId(*node), MasterNode { vote_by: AUTOPILOT, ..record })
        };
        let configs = configs.iter().map(|voters| ids(voters)).collect::<Vec<_>>();
        Membership::new(configs, nodes.iter().map(record).collect::<BTreeMap<_, _>>()).unwrap()
    }

    fn news(before: &Membership, after: &Membership) -> Vec<(u64, MemberEvent, Option<VoteGiver>)> {
        between(before, after).into_iter().map(|news| (news.node.0, news.what, news.by)).collect()
    }

    #[test]
    fn a_master_is_added_and_promoted_once() {
        let two = of(&[&[1, 2]], &[1, 2]);
        let joined = of(&[&[1, 2]], &[1, 2, 3]);
        let joint = of(&[&[1, 2], &[1, 2, 3]], &[1, 2, 3]);
        let three = of(&[&[1, 2, 3]], &[1, 2, 3]);
        assert_eq!(news(&two, &joined), [(3, MemberEvent::Added, None)]);
        assert_eq!(news(&joined, &joint), [(3, MemberEvent::Promoted, AUTOPILOT)]);
        assert_eq!(news(&joint, &three), []);
    }

    #[test]
    fn a_master_is_removed_once_its_vote_is_gone() {
        let joint = of(&[&[1, 2, 3], &[1, 2]], &[1, 2, 3]);
        assert_eq!(news(&of(&[&[1, 2, 3]], &[1, 2, 3]), &joint), []);
        let left = of(&[&[1, 2]], &[1, 2]);
        assert_eq!(news(&joint, &left), [(3, MemberEvent::Removed, OPERATOR)]);
        let with_learner = of(&[&[1, 2]], &[1, 2, 4]);
        assert_eq!(news(&with_learner, &left), [(4, MemberEvent::Removed, OPERATOR)]);
    }

    #[test]
    fn whoever_has_left_is_remembered_until_it_comes_back() {
        let mut left = Departures::default();
        let happens = |left: &mut Departures, name, what| {
            left.on_news(&MemberNews { name: MasterId(name), node: NodeId(name), what, by: None });
        };
        happens(&mut left, 3, MemberEvent::Removed);
        assert!(left.contains(MasterId(3)) && !left.contains(MasterId(4)));
        happens(&mut left, 3, MemberEvent::Added);
        assert!(!left.contains(MasterId(3)));
        for name in 1_000..1_100 {
            happens(&mut left, name, MemberEvent::Removed);
        }
        assert!(left.contains(MasterId(1_099)) && !left.contains(MasterId(1_000)), "it is bounded");
    }

    #[test]
    fn a_successor_is_named() {
        let joint = of(&[&[1, 2, 3], &[1, 2, 4]], &[1, 2, 3, 4]);
        let after = of(&[&[1, 2, 4]], &[1, 2, 4]);
        let replaced = MemberEvent::Replaced { by: MasterId(4) };
        assert_eq!(news(&joint, &after), [(3, replaced, AUTOPILOT)]);

        let waiting = of(&[&[1, 2]], &[1, 2, 3]);
        let emptied = of(&[&[1, 2]], &[1, 2, 13]);
        let replaced = MemberEvent::Replaced { by: MasterId(3) };
        assert_eq!(news(&waiting, &emptied), [(13, MemberEvent::Added, None), (3, replaced, None)]);
    }
}
