//! Calls that another master has passed on.

use proto::problem::{ErrorKind, Problem};
use tonic::Request;

use crate::operations::Operations;
use crate::peer::is_forwarded;

/// Refuses a read that another master has passed on unless this master leads: that master wants
/// the leader's word.
pub(super) fn check_leads_if_forwarded<T>(
    request: &Request<T>,
    operations: &Operations,
) -> Result<(), Problem> {
    if is_forwarded(request) && !operations.leadership().is_leading() {
        return Err(Problem::new(ErrorKind::NotLeader, "this master does not lead any more"));
    }
    Ok(())
}
