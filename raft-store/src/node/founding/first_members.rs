//! Logs of the first members, before a membership names them.

use std::collections::BTreeMap;

use cluster_state::MasterId;
use parking_lot::Mutex;

use crate::log_node::NodeId;

/// Logs of the other first members, as they introduced themselves. Until a master has a membership
/// it goes by these.
#[derive(Debug, Default)]
pub(crate) struct FirstMembers(Mutex<BTreeMap<MasterId, NodeId>>);

impl FirstMembers {
    pub(crate) fn learn(&self, name: MasterId, node: NodeId) {
        self.0.lock().insert(name, node);
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.0.lock().values().any(|known| *known == node)
    }
}
