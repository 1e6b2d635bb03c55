//! The members of the cluster: shown, added, promoted, replaced and removed.

use std::time::Duration;

use cluster_state::LogIndex;
use proto::problem::{ErrorKind, Problem};
use raft_store::{
    Added, Leadership, MasterNode, Member, MemberOrder, MembershipError, NodeId, PeerStatus,
};
use tokio::time::Instant;

use super::{Answer, Operations, Reading, View};
use crate::membership_order::MembershipOrder;
use crate::peer::forwarded;
use crate::refusal;

/// Time for a successor to begin to lead and to change the membership.
const SUCCESSION_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the successor is asked again.
const SUCCESSION_PAUSE: Duration = Duration::from_millis(20);

/// Part that a member plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemberPart {
    Leader,
    Follower,
    Learner,
}

/// One member.
#[derive(Debug)]
pub(crate) struct MemberRow {
    pub(crate) member: Member,
    pub(crate) record: MasterNode,
    pub(crate) part: MemberPart,
    /// Its own account of itself; none if it cannot be reached.
    pub(crate) status: Option<PeerStatus>,
    /// Index up to which its log is that of the leader, where this master leads.
    pub(crate) matched: Option<LogIndex>,
    /// Number of committed entries that its log lacks, where this master leads.
    pub(crate) lag: Option<u64>,
}

/// Change of the membership that is committed.
#[derive(Debug)]
pub(crate) struct MembershipChanged {
    /// False if there was nothing to do.
    pub(crate) has_changed: bool,
    /// The member that was added, or has the vote now.
    pub(crate) member: Option<MemberRow>,
    pub(crate) warnings: Vec<String>,
}

/// The members as this master sees them, or as the leader does.
pub(crate) type Members = View<Vec<MemberRow>, forwarded::MemberList>;

/// A change that this master has made as the leader, or that another leader has made.
pub(crate) type Changed = View<MembershipChanged, forwarded::MemberChanged>;

impl Operations {
    /// Returns the members, as the leader sees them if it can be asked.
    pub(crate) async fn members(&self, reading: Reading) -> Result<Answer<Members>, Problem> {
        let mark = self.reach(reading).await?;
        if let Leadership::Following { .. } = self.leadership()
            && let Ok(members) = self.leader_peer().members().await
        {
            return Ok(mark.on(View::Leaders(members)));
        }
        Ok(mark.on(self.members_here().await))
    }

    /// Returns the members as this master sees them.
    pub(crate) async fn members_here(&self) -> Members {
        View::Own(self.member_rows().await)
    }

    async fn member_rows(&self) -> Vec<MemberRow> {
        let node = self.node();
        let mut statuses = node.peer_statuses().await;
        let own = node.local_status();
        statuses.insert(node.node_id(), Some(node.describe(&own)));
        let leader = self.leadership().leader_node(node.node_id());
        let leads = self.is_leading();

        let rows = node.members().into_iter().map(|member| {
            let id = member.node;
            let matched = match id == own.node {
                true => Some(own.last_log),
                false => own.matched.get(&id).copied().filter(|matched| matched.0 > 0),
            };
            let matched = matched.filter(|_| leads);
            let lag = matched.map(|matched| own.committed.0.saturating_sub(matched.0));
            let part = match (member.is_voter, leader == Some(id)) {
                (false, _) => MemberPart::Learner,
                (true, true) => MemberPart::Leader,
                (true, false) => MemberPart::Follower,
            };
            let record = node.record(id).unwrap_or_default();
            MemberRow { status: statuses.remove(&id).flatten(), record, part, matched, lag, member }
        });
        let mut rows = rows.collect::<Vec<_>>();
        rows.sort_by_key(|row| (row.member.name, row.part == MemberPart::Learner, row.member.node));
        rows
    }

    /// Changes the membership; the leader does, wherever it is.
    pub(crate) async fn change_members(
        &self,
        order: MembershipOrder,
    ) -> Result<Answer<Changed>, Problem> {
        let changed = if self.is_leading() {
            self.change_members_here(order).await?
        } else {
            View::Leaders(self.leader_peer().change_members(&order).await?)
        };
        Ok(self.mark().on(changed))
    }

    /// Changes the membership as the leader. A leader that is to leave hands over first.
    pub(crate) async fn change_members_here(
        &self,
        order: MembershipOrder,
    ) -> Result<Changed, Problem> {
        let has_changed = match &order {
            MembershipOrder::Add { name, address } => {
                self.node().add_member(*name, address).await.map(|added| added == Added::Now)
            }
            MembershipOrder::Change { order, force } => {
                self.node().order_members(*order, *force).await
            }
        };
        match has_changed {
            Ok(has_changed) => Ok(View::Own(self.changed(&order, has_changed).await)),
            Err(MembershipError::Leads(_)) => {
                let handed_over = self.node().transfer_leader(None).await;
                handed_over.map_err(|error| refusal::of_transfer(&error))?;
                Ok(View::Leaders(self.have_successor_change(&order).await?))
            }
            Err(error) => Err(refusal::of_membership(&error)),
        }
    }

    /// Passes the order on to the master that leads now, which may only have begun to.
    async fn have_successor_change(
        &self,
        order: &MembershipOrder,
    ) -> Result<forwarded::MemberChanged, Problem> {
        let deadline = Instant::now() + SUCCESSION_TIMEOUT;
        loop {
            match self.leader_peer().change_members(order).await {
                Err(problem)
                    if matches!(problem.kind, ErrorKind::NoLeader | ErrorKind::NotLeader)
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(SUCCESSION_PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    async fn changed(&self, order: &MembershipOrder, has_changed: bool) -> MembershipChanged {
        let name = match order {
            MembershipOrder::Add { name, .. } => Some(*name),
            MembershipOrder::Change { order, .. } => match order {
                MemberOrder::Promote(name) | MemberOrder::Replace { new: name, .. } => Some(*name),
                MemberOrder::Remove(_) => None,
            },
        };
        let rows = self.member_rows().await;
        let warnings = warnings(&self.expected_voters(&rows));
        let member = rows.into_iter().rfind(|row| name == Some(row.member.name));
        MembershipChanged { has_changed, member, warnings }
    }

    /// Returns the voters there will be when the autopilot has done what it does by itself.
    fn expected_voters(&self, rows: &[MemberRow]) -> Vec<NodeId> {
        let autopilot = self.node().autopilot();
        let (voters, learners): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| row.part != MemberPart::Learner);
        let room = match (autopilot.enabled, autopilot.voters) {
            (false, _) => 0,
            (true, 0) => usize::MAX,
            (true, wanted) => {
                usize::try_from(wanted).unwrap_or(usize::MAX).saturating_sub(voters.len())
            }
        };
        let names = voters.iter().map(|row| row.member.name).collect::<Vec<_>>();
        let coming = learners.iter().filter(|row| !names.contains(&row.member.name)).take(room);
        voters.iter().chain(coming).map(|row| row.member.node).collect()
    }
}

/// Says what is wrong with that number of voters.
fn warnings(voters: &[NodeId]) -> Vec<String> {
    let count = voters.len();
    let quorum = count / 2 + 1;
    let warning = match count {
        2 => {
            "2 voters are no safer than 1: nothing is accepted while one of them is away; add a third"
                .to_owned()
        }
        _ if count > 0 && count.is_multiple_of(2) => format!(
            "{count} voters go on without {} of them, no more than {} voters do, and each write waits \
             for {quorum}: add or remove one",
            count - quorum,
            count - 1
        ),
        _ => return Vec::new(),
    };
    vec![warning]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u64) -> Vec<String> {
        warnings(&(1..=count).map(NodeId).collect::<Vec<_>>())
    }

    #[test]
    fn an_even_number_of_voters_is_warned_of() {
        assert_eq!([of(1), of(3), of(5)].concat(), [""; 0]);
        assert_eq!(
            of(2),
            [
                "2 voters are no safer than 1: nothing is accepted while one of them is away; add a third"
            ]
        );
        assert_eq!(
            of(4),
            [
                "4 voters go on without 1 of them, no more than 3 voters do, and each write waits for 3: \
              add or remove one"
            ]
        );
    }
}
