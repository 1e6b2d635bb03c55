//! Refuses messages that concern a log which has lost what it acknowledged: it may not acknowledge, vote
//! or stand again.

use openraft::raft::VoteRequest;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::network::identity::{Caller, seen_by_caller};
use crate::node::Node;
use crate::types::{LogId, TypeConfig};

/// Refuses a leader or a candidate that has seen this log go further than it does, once this master has
/// asked the others about it.
pub(super) async fn check_own(
    node: &Node,
    caller: &Caller,
    headers: &MetadataMap,
) -> Result<(), Status> {
    let seen = seen_by_caller(headers);
    if !node.looked_back().await {
        return Err(Status::unavailable("this master is stopping"));
    }
    if node.is_expelled() {
        return Err(Status::failed_precondition("this master has left the cluster"));
    }
    let has = node.last_entry();
    if seen <= has {
        return Ok(());
    }
    // One caller is not believed, but a reason to ask.
    node.on_doubt();
    let what = format!(
        "this log ends at {}, and the caller knows that it held {}: is it an older copy?",
        text(has),
        text(seen)
    );
    Err(node.identity().refuse(caller, what))
}

/// Refuses a candidate whose log is known to have gone further.
pub(super) fn check_candidate(
    node: &Node,
    caller: &Caller,
    ballot: &VoteRequest<TypeConfig>,
) -> Result<(), Status> {
    let had = node.seen().of(ballot.vote.leader_id.voted_for);
    if had <= ballot.last_log_id {
        return Ok(());
    }
    let what = format!(
        "the candidate's log ends at {}, and is known to have held {}: is it an older copy?",
        text(ballot.last_log_id),
        text(had)
    );
    Err(node.identity().refuse(caller, what))
}

fn text(id: Option<LogId>) -> String {
    id.map_or_else(
        || "nothing".to_owned(),
        |id| format!("entry {} of term {}", id.index, id.leader_id.term),
    )
}
