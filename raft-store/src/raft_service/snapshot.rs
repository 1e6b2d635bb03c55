//! Takes snapshots in: tells the sender what is here already, and receives the rest.

use openraft::async_runtime::WatchReceiver;
use proto::v1;
use proto::v1::snapshot_message::Part;
use tonic::{Status, Streaming};

use crate::calls::describe;
use crate::network::wire;
use crate::node::Node;
use crate::snapshot::{Chunk, Manifest};
use crate::state_machine::{RaftSnapshot, ReceiveError};
use crate::types::Vote;

/// Refuses a leader that this master obeys no longer, before its snapshot ends the transfer of
/// another's: there is one at a time.
fn check_obeyed(node: &Node, vote: &Vote) -> Result<(), Status> {
    let ours = node.raft().server_metrics().borrow_watched().vote;
    if *vote >= ours {
        return Ok(());
    }
    Err(Status::aborted(format!("this master obeys a newer vote: {ours}")))
}

/// Tells the sender how much of each file of a snapshot is here already.
pub(super) async fn held(
    node: &Node,
    question: v1::ResumeSnapshotRequest,
) -> Result<Vec<u64>, Status> {
    let vote = wire::vote_in(question.vote).map_err(|error| wire::refused(&error))?;
    let manifest = Manifest::decode(&question.manifest).map_err(|error| refused(&error.into()))?;
    let known = node.known_of(vote.leader_id.voted_for);
    let last = manifest.meta.last_log_id;
    known.check_leader(&vote, last.as_ref()).map_err(|error| wire::refused(&error.into()))?;
    check_obeyed(node, &vote)?;
    let receiver = node.inbox().begin(manifest).await.map_err(|error| refused(&error))?;
    Ok(receiver.offsets().to_vec())
}

/// Receives a snapshot, installs it, and returns this master's vote.
pub(super) async fn receive(
    node: &Node,
    mut incoming: Streaming<v1::SnapshotMessage>,
) -> Result<Vote, Status> {
    let first = incoming.message().await?.and_then(|message| message.part);
    let Some(Part::Header(header)) = first else {
        return Err(Status::invalid_argument("a snapshot begins with its header"));
    };

    let vote = wire::vote_in(header.vote).map_err(|error| wire::refused(&error))?;
    let manifest = Manifest::decode(&header.manifest).map_err(|error| refused(&error.into()))?;
    let known = node.known_of(vote.leader_id.voted_for);
    let last = manifest.meta.last_log_id;
    known.check_snapshot(&vote, last.as_ref()).map_err(|error| wire::refused(&error.into()))?;
    check_obeyed(node, &vote)?;

    let mut receiver = node.inbox().begin(manifest).await.map_err(|error| refused(&error))?;
    while let Some(message) = incoming.message().await? {
        let Some(Part::Chunk(chunk)) = message.part else {
            return Err(Status::invalid_argument("only chunks follow a snapshot's header"));
        };
        let v1::SnapshotChunk { file, offset, crc32, data } = chunk;
        let chunk = Chunk { file, offset, crc32, bytes: data };
        receiver.write_chunk(chunk).await.map_err(|error| refused(&error))?;
    }

    let data = receiver.finish().await.map_err(|error| refused(&error))?;
    tracing::info!(snapshot = data.id(), "received a snapshot");
    let snapshot = RaftSnapshot { meta: data.meta().clone(), snapshot: data };
    let installed = node.raft().install_full_snapshot(vote, snapshot).await;
    Ok(installed.map_err(|error| Status::unavailable(error.to_string()))?.vote)
}

/// Tells the sender whether it may try again at once.
fn refused(error: &ReceiveError) -> Status {
    let causes = describe(error);
    tracing::warn!(error = causes, "a snapshot was refused");
    if error.is_lasting() { Status::failed_precondition(causes) } else { Status::aborted(causes) }
}
