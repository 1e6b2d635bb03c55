//! Names caller and callee on every call between masters, so that two clusters that were given each
//! other's addresses stay apart.

use std::sync::{Arc, OnceLock};

use cluster_state::{ClusterId, LogIndex, Term};
use proto::channel::{Dialer, InvalidAddress};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::generation::KnownGeneration;
use crate::log_node::NodeId;
use crate::rarely::Rarely;
use crate::seen::Seen;
use crate::types::{LogId, log_id};

const CLUSTER_NAME: &str = "cluster-name";
const CLUSTER_ID: &str = "cluster-id";
const FROM_NODE: &str = "from-node";
const TO_NODE: &str = "to-node";
const SEEN: &str = "seen";

/// Identity that this master sends to others, and demands of them.
#[derive(Debug, Clone)]
pub(crate) struct PeerIdentity {
    node: NodeId,
    cluster_name: Arc<str>,
    /// Fixed by the first leader's first entry; unknown until that is applied.
    cluster: Arc<OnceLock<ClusterId>>,
    generation: KnownGeneration,
    dialer: Dialer,
    /// Positions that other logs have acknowledged: each call says that of the callee.
    seen: Arc<Seen>,
    /// A stranger that calls keeps calling.
    refusals: Arc<Rarely>,
}

/// Identity of the caller, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) node: Option<NodeId>,
    cluster: Option<String>,
}

impl PeerIdentity {
    pub(crate) fn new(node: NodeId, cluster_name: &str, cluster: Option<ClusterId>) -> Self {
        let known = OnceLock::new();
        if let Some(cluster) = cluster {
            known.get_or_init(|| cluster);
        }
        let (cluster, refusals) = (Arc::new(known), Arc::default());
        let (generation, seen) = (KnownGeneration::default(), Arc::default());
        let (cluster_name, dialer) = (cluster_name.into(), Dialer::plain());
        Self { node, cluster_name, cluster, generation, dialer, seen, refusals }
    }

    /// Has connections to other masters opened by a dialer.
    pub(crate) fn with_dialer(self, dialer: Dialer) -> Self {
        Self { dialer, ..self }
    }

    /// Creates a connection to the master at an address.
    pub(crate) fn connect(&self, address: &str) -> Result<Channel, InvalidAddress> {
        self.dialer.connect_lazily(address)
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    pub(crate) fn learn(&self, cluster: ClusterId) {
        self.cluster.get_or_init(|| cluster);
    }

    pub(crate) const fn generation(&self) -> &KnownGeneration {
        &self.generation
    }

    pub(crate) const fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// Adds this master's identity, the intended callee, and how far its log was seen to go, to a call.
    pub(crate) fn sign<T>(&self, message: T, to: NodeId) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        insert(headers, CLUSTER_NAME, &self.cluster_name);
        insert(headers, FROM_NODE, &self.node.0.to_string());
        insert(headers, TO_NODE, &to.0.to_string());
        if let Some(cluster) = self.cluster() {
            insert(headers, CLUSTER_ID, &cluster.to_string());
        }
        self.generation.sign(headers);
        if let Some(LogId { leader_id, index }) = self.seen.of(to) {
            insert(headers, SEEN, &format!("{}-{index}", leader_id.term));
        }
        request
    }

    /// Refuses a call from another cluster, or one that was meant for another node.
    pub(crate) fn check(&self, headers: &MetadataMap) -> Result<Caller, Status> {
        let text = |key: &str| headers.get(key).and_then(|value| value.to_str().ok());
        let node = text(FROM_NODE).and_then(|node| node.parse().ok()).map(NodeId);
        let caller = Caller { node, cluster: text(CLUSTER_ID).map(ToOwned::to_owned) };

        match text(CLUSTER_NAME) {
            Some(name) if name == &*self.cluster_name => {}
            Some(name) => {
                let what = format!("this is cluster '{}', not '{name}'", self.cluster_name);
                return Err(self.refuse(&caller, what));
            }
            None => {
                let what = "a call between masters names its cluster".to_owned();
                return Err(self.refuse(&caller, what));
            }
        }
        self.check_cluster(&caller)?;
        if let Some(what) = self.generation.refusal(headers) {
            let mut refusal = self.refuse(&caller, what);
            self.generation.sign(refusal.metadata_mut());
            return Err(refusal);
        }
        match text(TO_NODE) {
            Some(to) if to == self.node.0.to_string() => Ok(caller),
            to => {
                let to = to.unwrap_or("unnamed");
                Err(self.refuse(&caller, format!("this is node {}, not {to}", self.node)))
            }
        }
    }

    /// Refuses a caller that does not name this master's cluster, once this master knows it: every
    /// member knows it, too.
    pub(crate) fn check_cluster(&self, caller: &Caller) -> Result<(), Status> {
        let Some(ours) = self.cluster() else { return Ok(()) };
        let what = match &caller.cluster {
            Some(theirs) if theirs.parse() == Ok(ours) => return Ok(()),
            Some(theirs) => format!("this is cluster {ours}, not {theirs}"),
            None => format!("this is cluster {ours}, and the caller belongs to none"),
        };
        Err(self.refuse(caller, what))
    }

    /// Takes in that another master refuses this one.
    pub(crate) fn on_refused(&self, by: NodeId, status: &Status) {
        if status.code() != Code::FailedPrecondition {
            return;
        }
        self.generation.on_refused(status.metadata());
        let what = status.message();
        if self.refusals.is_due(&format!("by {by} {what}")) {
            tracing::warn!(node = %by, reason = what, "another master refuses this one's calls");
        }
    }

    /// Returns a refusal, and logs it if it is news.
    pub(crate) fn refuse(&self, caller: &Caller, what: String) -> Status {
        let caller = caller.node.map_or_else(|| "unnamed".to_owned(), |node| node.to_string());
        if self.refusals.is_due(&format!("{caller} {what}")) {
            tracing::warn!(caller, reason = what, "refused a call of another master");
        }
        Status::failed_precondition(what)
    }
}

/// Returns the last committed entry that the caller knows the callee's log to have acknowledged.
pub(crate) fn seen_by_caller(headers: &MetadataMap) -> Option<LogId> {
    let (term, index) = headers.get(SEEN)?.to_str().ok()?.split_once('-')?;
    Some(log_id(Term(term.parse().ok()?), LogIndex(index.parse().ok()?)))
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
        PeerIdentity::new(NodeId(node), name, cluster.map(ClusterId))
    }

    fn refusal(us: &PeerIdentity, them: &PeerIdentity) -> Option<String> {
        let call = them.sign((), NodeId(1));
        us.check(call.metadata()).err().map(|status| status.message().to_owned())
    }

    #[test]
    fn members_of_one_cluster_understand_each_other() {
        let us = identity(1, "prod", Some(7));
        assert_eq!(refusal(&us, &identity(2, "prod", Some(7))), None);
        let nobody_knows = identity(1, "prod", None);
        assert_eq!(refusal(&nobody_knows, &identity(2, "prod", None)), None);
        assert_eq!(refusal(&nobody_knows, &identity(2, "prod", Some(7))), None);
    }

    #[test]
    fn whoever_knows_its_cluster_listens_to_nobody_who_does_not() {
        let us = identity(1, "prod", None);
        let call = identity(2, "prod", None).sign((), NodeId(1));
        let caller = us.check(call.metadata()).unwrap();
        us.check_cluster(&caller).unwrap();

        us.learn(ClusterId(7));
        assert!(us.check_cluster(&caller).is_err());
        assert_eq!(
            refusal(&us, &identity(2, "prod", None)).as_deref(),
            Some(
                "this is cluster 00000000-0000-0000-0000-000000000007, \
                 and the caller belongs to none"
            )
        );
    }

    #[test]
    fn another_cluster_is_refused_by_name_and_by_id() {
        let us = identity(1, "prod", Some(7));
        let other_name = refusal(&us, &identity(2, "test", Some(7)));
        assert_eq!(other_name.as_deref(), Some("this is cluster 'prod', not 'test'"));
        assert!(refusal(&us, &identity(2, "prod", Some(8))).is_some());
    }

    #[test]
    fn a_call_says_how_far_the_callee_was_seen_to_go() {
        let us = identity(1, "prod", None);
        assert_eq!(seen_by_caller(us.sign((), NodeId(2)).metadata()), None);
        let last = log_id(Term(7), LogIndex(1 << 40));
        us.seen().learn(NodeId(2), last);
        assert_eq!(seen_by_caller(us.sign((), NodeId(2)).metadata()), Some(last));
        assert_eq!(seen_by_caller(us.sign((), NodeId(3)).metadata()), None);
    }

    #[test]
    fn a_call_for_another_node_is_refused() {
        let us = identity(3, "prod", None);
        let refused = refusal(&us, &identity(2, "prod", None));
        assert_eq!(refused.as_deref(), Some("this is node 3, not 1"));
    }
}
