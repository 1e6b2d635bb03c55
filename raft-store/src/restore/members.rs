//! Membership with which the next generation begins.

use std::collections::{BTreeMap, BTreeSet};

use cluster_state::{ClusterId, Generation, MasterId, Meta};
use openraft::Membership;
use openraft::impls::BasicNode;
use proto::backup::Digest;

use super::rewrite::{Beginning, next_position};
use super::{Restoration, RestoreError};
use crate::error::StorageError;
use crate::types::{LogId, StoredMembership};

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
        let generation = self.generation.map_or(least, |number| Generation { number, ..least });
        if generation.number < least.number {
            return Err(RestoreError::Generation { asked: generation.number, least: least.number });
        }

        let last = next_position(applied, meta, generation);
        let nodes = self
            .members
            .iter()
            .map(|(name, address)| (node_of(*name), BasicNode::new(address.clone())));
        let nodes = nodes.collect::<BTreeMap<_, _>>();
        let voters = nodes.keys().copied().collect::<BTreeSet<_>>();
        let membership = Membership::new(vec![voters], nodes);
        let membership =
            membership.map_err(|error| StorageError::from(std::io::Error::other(error)))?;
        let membership = StoredMembership::new(Some(last), membership);
        Ok(Beginning { cluster, generation, last, membership })
    }
}

/// Returns the node of a member.
pub(super) const fn node_of(name: MasterId) -> u64 {
    name.0
}
