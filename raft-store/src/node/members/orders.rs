//! Carries out operators' orders about members, which name masters and not logs.

use cluster_state::MasterId;

use super::turn::Turn;
use super::{ABSENCE, Force, MemberChange, Membership, MembershipError};
use crate::membership::Member;
use crate::node::Node;

/// Order of an operator about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberOrder {
    /// A vote for a master.
    Promote(MasterId),
    /// The vote of a master, which leaves, for another. If both are one name, its new log gets the
    /// vote of its old one.
    Replace { old: MasterId, new: MasterId },
    /// Removal of a master, with every log of that name.
    Remove(MasterId),
}

impl Node {
    /// Carries out an order, and returns true if that took a change. An order that is
    /// carried out already succeeds. While another change is under way, the order waits for its turn.
    ///
    /// # Errors
    ///
    /// As [`MembershipError`] says.
    pub async fn order_members(
        &self,
        order: MemberOrder,
        force: Force,
    ) -> Result<bool, MembershipError> {
        let turn = Turn::begin();
        let mut has_changed = false;
        loop {
            let seen = self.membership();
            let answers = |member: &Member| {
                member.node == self.node_id() || self.has_answered(member.node, ABSENCE)
            };
            let step = match next_step(order, &seen, answers) {
                // The last log of that name is removed, now or by an order whose outcome was unknown.
                Err(MembershipError::NotAMember(_)) if has_changed || self.has_removed(order) => {
                    return Ok(has_changed);
                }
                Err(error) if has_changed => {
                    return Err(MembershipError::Unknown(error.to_string()));
                }
                Err(error) => return Err(error),
                Ok(None) => return Ok(has_changed),
                Ok(Some(step)) => step,
            };
            match self.change_membership(&seen, &step, force).await {
                Ok(()) => {
                    tracing::info!(?order, ?step, "an operator has changed the membership");
                    has_changed = true;
                }
                Err(error) => {
                    let is_turn_of_another = error == MembershipError::InProgress;
                    if is_turn_of_another && turn.may_be_tried_again().await {
                        continue;
                    }
                    return Err(match has_changed {
                        true => MembershipError::Unknown(error.to_string()),
                        false => error,
                    });
                }
            }
        }
    }

    /// Returns true if the order is a removal that was carried out, as far as this master remembers.
    fn has_removed(&self, order: MemberOrder) -> bool {
        match order {
            MemberOrder::Remove(name) => self.reader().has_left(name),
            MemberOrder::Promote(_) | MemberOrder::Replace { .. } => false,
        }
    }
}

/// Returns the next change that an order takes; none when it is done.
fn next_step(
    order: MemberOrder,
    seen: &Membership,
    answers: impl Fn(&Member) -> bool,
) -> Result<Option<MemberChange>, MembershipError> {
    let voter = |name| seen.members.iter().find(|member| member.name == name && member.is_voter);
    let learner = |name| seen.members.iter().find(|member| member.name == name && !member.is_voter);
    let refused = |why: String| Err(MembershipError::Refused(why));

    match order {
        MemberOrder::Promote(name) => match (voter(name), learner(name)) {
            (None, None) => Err(MembershipError::NotAMember(name)),
            (Some(_), None) => Ok(None),
            (None, Some(new)) => Ok(Some(MemberChange::Promote(new.node))),
            (Some(old), Some(_)) if answers(old) => refused(format!(
                "master {name} answers at {}, and keeps its vote: stop it to give the vote to its new \
                 data directory",
                old.address
            )),
            (Some(old), Some(new)) => {
                Ok(Some(MemberChange::Replace { old: old.node, new: new.node }))
            }
        },
        MemberOrder::Replace { old, new } if old == new => match (voter(old), learner(new)) {
            (None, None) => Err(MembershipError::NotAMember(old)),
            (Some(_), None) | (None, Some(_)) => {
                refused(format!("there is one master {old}: start its replacement, empty"))
            }
            (Some(_), Some(_)) => next_step(MemberOrder::Promote(new), seen, answers),
        },
        MemberOrder::Replace { old, new } => match (voter(old), voter(new), learner(new)) {
            (_, None, None) => Err(MembershipError::NotAMember(new)),
            (Some(old), None, Some(new)) => {
                Ok(Some(MemberChange::Replace { old: old.node, new: new.node }))
            }
            (Some(_), Some(_), _) => {
                refused(format!("master {new} has a vote already: remove master {old}"))
            }
            (None, _, _) if learner(old).is_some() => {
                refused(format!("master {old} has no vote to give: remove it"))
            }
            (None, Some(_), _) => Ok(None),
            (None, None, Some(_)) => Err(MembershipError::NotAMember(old)),
        },
        MemberOrder::Remove(name) => {
            // The vote first: if it cannot be taken, nothing has changed.
            let member = voter(name).or_else(|| learner(name));
            let member = member.ok_or(MembershipError::NotAMember(name))?;
            Ok(Some(MemberChange::Remove(member.node)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_node::NodeId;

    const ONE: MasterId = MasterId(1);
    const THREE: MasterId = MasterId(3);
    const FOUR: MasterId = MasterId(4);
    const FIVE: MasterId = MasterId(5);

    fn member(node: u64, name: MasterId, is_voter: bool) -> Member {
        let address = format!("10.0.0.{node}:1");
        Member { node: NodeId(node), name, address, zone: None, is_voter }
    }

    /// Decides in a cluster of the voters 1 and 3, a new log of master 3, and the learner 4.
    fn step(order: MemberOrder, answering: &[u64]) -> Result<Option<MemberChange>, String> {
        let members = vec![
            member(1, ONE, true),
            member(3, THREE, true),
            member(30, THREE, false),
            member(40, FOUR, false),
        ];
        let seen = Membership { members, is_joint: false, at: None };
        let answers = |member: &Member| answering.contains(&member.node.0);
        next_step(order, &seen, answers).map_err(|error| error.to_string())
    }

    fn replace(old: u64, new: u64) -> Result<Option<MemberChange>, String> {
        Ok(Some(MemberChange::Replace { old: NodeId(old), new: NodeId(new) }))
    }

    fn refused<T>(why: &str) -> Result<T, String> {
        Err(why.to_owned())
    }

    #[test]
    fn a_master_without_a_vote_is_promoted_once() {
        assert_eq!(
            step(MemberOrder::Promote(FOUR), &[]),
            Ok(Some(MemberChange::Promote(NodeId(40))))
        );
        assert_eq!(step(MemberOrder::Promote(ONE), &[]), Ok(None), "it has a vote");
        let nobody = "there is no master 5 in this cluster";
        assert_eq!(step(MemberOrder::Promote(FIVE), &[]), refused(nobody));
    }

    #[test]
    fn a_new_log_gets_the_vote_of_its_silent_predecessor() {
        assert_eq!(step(MemberOrder::Promote(THREE), &[1]), replace(3, 30));
        assert_eq!(step(MemberOrder::Replace { old: THREE, new: THREE }, &[1]), replace(3, 30));
        let present = "master 3 answers at 10.0.0.3:1, and keeps its vote: stop it to give the vote to \
                       its new data directory";
        assert_eq!(step(MemberOrder::Promote(THREE), &[3]), refused(present));
    }

    #[test]
    fn a_vote_goes_from_one_master_to_another() {
        let of = |old, new| step(MemberOrder::Replace { old, new }, &[]);
        assert_eq!(of(THREE, FOUR), replace(3, 40));
        assert_eq!(of(FIVE, ONE), Ok(None), "as it is after a replacement");
        assert_eq!(of(FIVE, FOUR), refused("there is no master 5 in this cluster"));
        assert_eq!(of(THREE, FIVE), refused("there is no master 5 in this cluster"));
        assert_eq!(of(FOUR, ONE), refused("master 4 has no vote to give: remove it"));
        assert_eq!(of(THREE, ONE), refused("master 1 has a vote already: remove master 3"));
        assert_eq!(of(ONE, ONE), refused("there is one master 1: start its replacement, empty"));
    }

    #[test]
    fn a_removed_master_loses_its_vote_first() {
        let removal = |node| Ok(Some(MemberChange::Remove(NodeId(node))));
        assert_eq!(step(MemberOrder::Remove(THREE), &[]), removal(3));
        assert_eq!(step(MemberOrder::Remove(FOUR), &[]), removal(40));
    }
}
