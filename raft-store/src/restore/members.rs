//! Membership with which the next generation begins.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{ClusterId, MasterId, Meta};
use proto::backup::Digest;

use super::{Beginning, Restoration, RestoreError, chosen, next_position};
use crate::error::StorageError;
use crate::presence;
use crate::types::{LogId, MasterNode, Membership, NodeId, StoredMembership};

impl Restoration {
    /// Returns what the next generation begins with. It follows from the backup, the cluster's name
    /// and the list of members alone, so each of them comes to the same.
    pub(super) fn beginning(
        &self,
        digest: Digest,
        meta: &Meta,
        applied: LogId,
        cluster: ClusterId,
    ) -> Result<Beginning, RestoreError> {
        let list = self.members.iter().map(|(name, address)| format!("{name}={address}"));
        let list = list.collect::<Vec<_>>().join(",");
        let id = digest.derive(&[self.cluster_name.as_bytes(), list.as_bytes()]).number();
        let least = meta.generation.following(meta.next_task, id);
        let generation = chosen(least, self.generation)?;
        presence::check_is_of(generation, &self.present)?;

        let last = next_position(applied, meta, generation);
        let node_of = |name: MasterId| {
            let parts = [&id.to_be_bytes()[..], &name.0.to_be_bytes()];
            NodeId::of_random(digest.derive(&parts).number())
        };
        let nodes = self
            .members
            .iter()
            .map(|(name, address)| (node_of(*name), MasterNode::at(*name, address.clone())));
        let nodes = nodes.collect::<BTreeMap<_, _>>();
        let voters = nodes.keys().copied().collect::<BTreeSet<_>>();
        let membership = Membership::new(vec![voters], nodes);
        let membership =
            membership.map_err(|error| StorageError::from(std::io::Error::other(error)))?;
        let membership = StoredMembership::new(Some(last), membership);
        Ok(Beginning { cluster, generation, last, membership })
    }
}
