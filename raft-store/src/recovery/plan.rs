//! Chooses the directory from which a recovery goes on. Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cluster_state::{ClusterId, MasterId};

use crate::calls;
use crate::inspection::{Content, Inspection};
use crate::log_node::NodeId;

/// Choice of a directory, and what follows from it.
#[derive(Debug, Clone)]
pub struct RecoveryPlan<'a> {
    /// Directory with the log that is furthest.
    pub directory: &'a Path,
    pub content: &'a Content,
    /// Configured name of the cluster, where a directory of it says so.
    pub cluster_name: Option<&'a str>,
    /// Voters of the newest membership in that log.
    pub voters: Vec<VoterFound>,
    /// First and last entry that are kept although a majority may never have had them.
    pub uncertain: Option<(u64, u64)>,
    /// True if a majority of the voters is among the directories: then nothing is lost.
    pub is_complete: bool,
}

/// A voter of the cluster, and its directory if it is among those that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterFound {
    pub name: MasterId,
    pub node: NodeId,
    pub address: String,
    pub directory: Option<PathBuf>,
}

/// Reason that no directory can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// None of them can be used.
    #[error("none of the directories can be used")]
    Nothing,
    /// One of them cannot be used.
    #[error(
        "{} cannot be used, and may have what the others lack ({why}): repair that, or leave the \
         directory out of the command to go on without it",
        at.display()
    )]
    Unusable { at: PathBuf, why: String },
    /// A directory is of another cluster.
    #[error("{} belongs to cluster {found}, and {} to cluster {other}", at.display(), at_other.display())]
    OtherCluster { at: PathBuf, found: ClusterId, at_other: PathBuf, other: ClusterId },
    /// Two of them are of lives that began apart.
    #[error(
        "{} and {} belong to two lives of the cluster that began apart, both as generation \
         {generation}: name directories of one of them",
        at.display(), at_other.display()
    )]
    OtherLife { at: PathBuf, at_other: PathBuf, generation: u32 },
}

impl<'a> RecoveryPlan<'a> {
    /// Chooses by Raft's rule for logs: the last term counts first, and then the index. A later
    /// generation comes before all.
    ///
    /// # Errors
    ///
    /// If the directories do not fit each other, or none can be used.
    pub fn of(inspections: &'a [Inspection]) -> Result<Self, PlanError> {
        let usable = inspections.iter().filter_map(|inspection| {
            let content = inspection.content.as_ref().ok()?;
            Some((&*inspection.directory, content, content.cluster?))
        });
        let usable = usable.collect::<Vec<_>>();
        let rank = |content: &Content| {
            let last = content.last.map(|last| (last.leader_id.term, last.index));
            (content.generation.number, last)
        };
        let best = usable.iter().max_by_key(|(_, content, _)| rank(content));
        let Some(&(directory, content, cluster)) = best else { return Err(PlanError::Nothing) };
        for inspection in inspections {
            if let Err(error) = &inspection.content {
                let (at, why) = (inspection.directory.clone(), calls::describe(error));
                return Err(PlanError::Unusable { at, why });
            }
        }
        for (at, other, found) in &usable {
            let (at, at_other) = (at.to_path_buf(), directory.to_owned());
            if *found != cluster {
                return Err(PlanError::OtherCluster {
                    at,
                    found: *found,
                    at_other,
                    other: cluster,
                });
            }
            let generation = content.generation.number;
            if other.generation.number == generation && other.generation != content.generation {
                return Err(PlanError::OtherLife { at, at_other, generation });
            }
        }

        let found = |node: NodeId| {
            let is_it = |content: &Content| content.identity.node == node;
            let at = usable.iter().find(|(_, content, _)| is_it(content));
            at.map(|(directory, ..)| directory.to_path_buf())
        };
        let members = content.last_members.members.iter().filter(|member| member.is_voter);
        let voters = members.map(|member| VoterFound {
            name: member.name,
            node: member.node,
            address: member.address.clone(),
            directory: found(member.node),
        });
        let present = usable.iter().filter(|(_, other, _)| other.generation == content.generation);
        let present = present.map(|(_, content, _)| content.identity.node).collect::<BTreeSet<_>>();
        let is_complete = content.last_members.have_majority(&present)
            && content.committed_members.have_majority(&present);
        Ok(Self {
            directory,
            content,
            cluster_name: inspections.iter().find_map(|one| one.cluster_name.as_deref()),
            voters: voters.collect(),
            uncertain: uncertain(content),
            is_complete,
        })
    }

    /// Returns the address at which the membership knows a master.
    #[must_use]
    pub fn address_of(&self, name: MasterId) -> Option<&'a str> {
        let members = &self.content.last_members.members;
        members.iter().find(|member| member.name == name).map(|member| &*member.address)
    }
}

fn uncertain(content: &Content) -> Option<(u64, u64)> {
    let last = content.last?.index;
    let first = content.committed.map_or(0, |committed| committed.index.saturating_add(1));
    (first <= last).then_some((first, last))
}
