//! Decides whether the disks of the masters have room for new tasks.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster_state::{MasterId, Term};
use openraft::async_runtime::WatchReceiver;

use crate::disk_space::DiskSpace;
use crate::hand_over::HandOver;
use crate::log_node::NodeId;
use crate::membership::{self, LAG_MAX};
use crate::raft::Raft;
use crate::shortages::Shortages;

/// A disk that is in the way of new tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) master: MasterId,
    /// Bytes that are free on its disk.
    pub(crate) free: u64,
}

/// Room on the disks of this master and its followers.
#[derive(Clone)]
pub(crate) struct Room {
    pub(crate) raft: Raft,
    pub(crate) space: DiskSpace,
    /// Free bytes below which this master is short of room.
    pub(crate) free_min: u64,
    pub(crate) shortages: Arc<Shortages>,
    pub(crate) hand_over: HandOver,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("free_min", &self.free_min).finish_non_exhaustive()
    }
}

impl Room {
    /// Returns the bytes that are free on this master's disk, if it is short of room.
    pub(crate) fn own_shortage(&self) -> Option<u64> {
        self.space.free_bytes().filter(|free| *free < self.free_min)
    }

    /// Returns the disk that is in the way of new tasks, if this master leads.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        let own = self.own_shortage();
        if own.is_none() && !self.shortages.is_any() {
            return None;
        }

        // Cloned, because the closure below takes locks of its own.
        let (me, term, membership) = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            let term = Term(metrics.vote.leader_id.term);
            (metrics.id, term, metrics.membership_config.membership().clone())
        };
        let voters = membership.get_joint_config();
        let disk_of = |node: NodeId| match self.shortages.of(node) {
            _ if !self.hand_over.is_answering(node, term) => Disk::Silent,
            Some(free) => Disk::Short { free },
            None => Disk::Roomy,
        };
        let (node, free) = in_the_way(voters, (me, own), disk_of)?;
        let master = membership.get_node(&node).map_or(MasterId(node.0), |one| one.name_or(node));
        Some(Shortage { master, free })
    }

    /// Returns a voter that keeps up and may lead in place of this master, whose disk is short of room.
    pub(crate) fn roomier_voter(&self, term: Term) -> Option<NodeId> {
        self.own_shortage()?;
        let status = membership::local_status(&self.raft);
        let keeps_up = |node| {
            let matched = status.matched.get(&node);
            matched.is_some_and(|at| status.committed.0.saturating_sub(at.0) <= LAG_MAX)
        };
        let has_room = |node| {
            self.hand_over.is_answering(node, term)
                && self.shortages.of(node).is_none()
                && keeps_up(node)
        };
        membership::best_successor(&self.raft, has_room)
    }
}

/// Disk of a voter, as the leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    /// It has room, or its master runs a release that does not say.
    Roomy,
    /// It is short of room.
    Short { free: u64 },
    /// Its master does not answer.
    Silent,
}

/// Returns the fullest disk that new tasks would need: the leader's, or any that is short of room while
/// the voters with room are no quorum.
fn in_the_way(
    configurations: &[BTreeSet<NodeId>],
    (me, own): (NodeId, Option<u64>),
    disk_of: impl Fn(NodeId) -> Disk,
) -> Option<(NodeId, u64)> {
    if let Some(free) = own {
        return Some((me, free));
    }
    let needed = configurations.iter().flat_map(|voters| {
        let disks =
            voters.iter().filter(|voter| **voter != me).map(|voter| (*voter, disk_of(*voter)));
        let disks = disks.collect::<Vec<_>>();
        let mine = usize::from(voters.contains(&me));
        let roomy = disks.iter().filter(|(_, disk)| *disk == Disk::Roomy).count() + mine;
        let short = disks.into_iter().filter_map(|(voter, disk)| match disk {
            Disk::Short { free } => Some((voter, free)),
            Disk::Roomy | Disk::Silent => None,
        });
        let is_quorum = roomy > voters.len() / 2;
        short.filter(move |_| !is_quorum).collect::<Vec<_>>()
    });
    needed.min_by_key(|(_, free)| *free)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(1);

    fn voters(numbers: &[u64]) -> BTreeSet<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    fn short(free: u64) -> Disk {
        Disk::Short { free }
    }

    /// Returns what is in the way in a cluster of three, whose followers have these disks.
    fn of_three(own: Option<u64>, two: Disk, three: Disk) -> Option<(u64, u64)> {
        let disk_of = |node: NodeId| if node.0 == 2 { two } else { three };
        let found = in_the_way(&[voters(&[1, 2, 3])], (ME, own), disk_of);
        found.map(|(node, free)| (node.0, free))
    }

    #[test]
    fn a_full_minority_is_in_nobodys_way() {
        assert_eq!(of_three(None, Disk::Roomy, Disk::Roomy), None);
        assert_eq!(of_three(None, Disk::Roomy, short(7)), None);
        let five = [voters(&[1, 2, 3, 4, 5])];
        let disk_of = |node: NodeId| if node.0 < 4 { Disk::Roomy } else { short(7) };
        assert_eq!(in_the_way(&five, (ME, None), disk_of), None);
    }

    #[test]
    fn a_full_disk_that_a_quorum_needs_is_in_the_way() {
        assert_eq!(of_three(None, short(9), short(7)), Some((3, 7)));
        assert_eq!(of_three(None, Disk::Silent, short(7)), Some((3, 7)));
        assert_eq!(of_three(Some(5), Disk::Roomy, Disk::Roomy), Some((1, 5)));
    }

    #[test]
    fn silence_is_another_trouble() {
        assert_eq!(of_three(None, Disk::Silent, Disk::Silent), None);
    }

    #[test]
    fn while_voters_change_a_quorum_of_each_configuration_is_needed() {
        let joint = [voters(&[1, 2, 3]), voters(&[1, 4, 5])];
        let disk_of = |node: NodeId| if node.0 < 4 { Disk::Roomy } else { short(node.0) };
        assert_eq!(in_the_way(&joint, (ME, None), disk_of), Some((NodeId(4), 4)));
    }
}
