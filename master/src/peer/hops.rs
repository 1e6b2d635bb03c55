//! Calls between masters take one hop: one that was passed on is not passed on again.

use http::HeaderMap;
use proto::problem::{ErrorKind, Problem};
use tonic::Request;
use tonic::metadata::MetadataValue;

/// Key of calls that another master has passed on.
const FORWARDED: &str = "forwarded";

/// Returns true if another master has passed the call on.
pub(crate) fn is_forwarded<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(FORWARDED)
}

/// Returns true if the headers of a call say that another master has passed it on.
pub(crate) fn says_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

/// Marks a call as passed on.
pub(super) fn mark_as_forwarded<T>(request: &mut Request<T>) {
    request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
}

/// Refuses a call from a master that mistook this one for the leader.
pub(super) fn check_first_hop<T>(request: &Request<T>) -> Result<(), Problem> {
    check_leads_if_forwarded(request, false)
}

/// Refuses a read that another master has passed on unless this master leads: that master wants
/// the leader's word.
pub(crate) fn check_leads_if_forwarded<T>(
    request: &Request<T>,
    is_leading: bool,
) -> Result<(), Problem> {
    if is_forwarded(request) && !is_leading { Err(leads_no_more()) } else { Ok(()) }
}

/// Tells another master that it has asked the wrong one.
pub(crate) fn leads_no_more() -> Problem {
    Problem::new(ErrorKind::NotLeader, "this master does not lead any more")
}
