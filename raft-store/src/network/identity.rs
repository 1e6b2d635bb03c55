//! Who speaks to whom: checked on every call between masters, so that two clusters that were
//! given each other's addresses stay apart.

use std::sync::{Arc, OnceLock};

use cluster_state::{ClusterId, MasterId};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Request, Status};

const CLUSTER_NAME: &str = "cluster-name";
const CLUSTER_ID: &str = "cluster-id";
const TO_NODE: &str = "to-node";

/// What this master says of itself, and demands of others.
#[derive(Debug, Clone)]
pub(crate) struct PeerIdentity {
    node: MasterId,
    cluster_name: Arc<str>,
    /// Fixed by the first leader's first entry; unknown until that is applied.
    cluster: Arc<OnceLock<ClusterId>>,
}

impl PeerIdentity {
    pub(crate) fn new(node: MasterId, cluster_name: &str, cluster: Option<ClusterId>) -> Self {
        let known = OnceLock::new();
        if let Some(cluster) = cluster {
            known.get_or_init(|| cluster);
        }
        Self { node, cluster_name: cluster_name.into(), cluster: Arc::new(known) }
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    pub(crate) fn learn(&self, cluster: ClusterId) {
        self.cluster.get_or_init(|| cluster);
    }

    /// Puts our identity, and whom we mean to reach, on a call.
    pub(crate) fn sign<T>(&self, message: T, to: MasterId) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        insert(headers, CLUSTER_NAME, &self.cluster_name);
        insert(headers, TO_NODE, &to.0.to_string());
        if let Some(cluster) = self.cluster() {
            insert(headers, CLUSTER_ID, &cluster.to_string());
        }
        request
    }

    /// Refuses a call from another cluster, or one that was meant for another node.
    pub(crate) fn check(&self, headers: &MetadataMap) -> Result<(), Status> {
        let text = |key: &str| headers.get(key).and_then(|value| value.to_str().ok());
        let refuse = |what: String| {
            tracing::warn!(reason = what, "refused a call that is not for us");
            Err(Status::failed_precondition(what))
        };
        match text(CLUSTER_NAME) {
            Some(name) if name == &*self.cluster_name => {}
            Some(name) => {
                return refuse(format!("this is cluster '{}', not '{name}'", self.cluster_name));
            }
            None => return refuse("a call between masters names its cluster".to_owned()),
        }
        if let (Some(ours), Some(theirs)) = (self.cluster(), text(CLUSTER_ID))
            && theirs != ours.to_string()
        {
            return refuse(format!("this is cluster {ours}, not {theirs}"));
        }
        match text(TO_NODE) {
            Some(to) if to == self.node.0.to_string() => Ok(()),
            to => refuse(format!("this is node {}, not {}", self.node, to.unwrap_or("unnamed"))),
        }
    }
}

fn insert(headers: &mut MetadataMap, key: &'static str, value: &str) {
    // A cluster name is checked to be printable when the configuration is read.
    if let Ok(value) = value.parse::<AsciiMetadataValue>() {
        headers.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u64, name: &str, cluster: Option<u128>) -> PeerIdentity {
        PeerIdentity::new(MasterId(node), name, cluster.map(ClusterId))
    }

    fn refusal(us: &PeerIdentity, them: &PeerIdentity) -> Option<String> {
        let call = them.sign((), MasterId(1));
        us.check(call.metadata()).err().map(|status| status.message().to_owned())
    }

    #[test]
    fn members_of_one_cluster_understand_each_other() {
        let us = identity(1, "prod", Some(7));
        assert_eq!(refusal(&us, &identity(2, "prod", Some(7))), None);
        assert_eq!(refusal(&us, &identity(2, "prod", None)), None);
    }

    #[test]
    fn another_cluster_is_refused_by_name_and_by_id() {
        let us = identity(1, "prod", Some(7));
        let other_name = refusal(&us, &identity(2, "test", Some(7)));
        assert_eq!(other_name.as_deref(), Some("this is cluster 'prod', not 'test'"));
        assert!(refusal(&us, &identity(2, "prod", Some(8))).is_some());
    }

    #[test]
    fn a_call_for_another_node_is_refused() {
        let us = identity(3, "prod", None);
        let refused = refusal(&us, &identity(2, "prod", None));
        assert_eq!(refused.as_deref(), Some("this is node 3, not 1"));
    }
}
