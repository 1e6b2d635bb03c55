//! Headers that say on which state an answer is based: REST sends them before the body, gRPC as
//! trailers behind it.

use cluster_state::millis;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::operations::{Mark, Operations};

/// Id of the cluster that answers: an index is one of its log and of no other.
const CLUSTER: HeaderName = HeaderName::from_static("x-cluster-id");
/// Index of the log that the answer is at least as new as.
const INDEX: HeaderName = HeaderName::from_static("x-cluster-index");
/// The newest term that the master knows.
const TERM: HeaderName = HeaderName::from_static("x-cluster-term");
/// The leader's id, or `none`.
const LEADER: HeaderName = HeaderName::from_static("x-cluster-leader");
/// `true` if a leader is known, else `false`.
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-cluster-known-leader");
/// For a stale read, the time since the master heard from a leader.
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-cluster-last-contact-ms");

/// Adds the headers of an answer with this mark.
pub(crate) fn put_headers(headers: &mut HeaderMap, operations: &Operations, mark: Mark) {
    let cluster = operations.node().cluster_id().map(|id| id.to_string());
    if let Some(cluster) = cluster.and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(CLUSTER, cluster);
    }
    headers.insert(INDEX, HeaderValue::from(mark.index.0));
    headers.insert(TERM, HeaderValue::from(mark.term.0));

    let leader = operations.leader();
    let leader_id = leader.map_or(HeaderValue::from_static("none"), |id| HeaderValue::from(id.0));
    headers.insert(LEADER, leader_id);
    let is_known = if leader.is_some() { "true" } else { "false" };
    headers.insert(KNOWN_LEADER, HeaderValue::from_static(is_known));
    if let Some(last_contact) = mark.last_contact {
        headers.insert(LAST_CONTACT, HeaderValue::from(millis(last_contact)));
    }
}
