//! Converts Raft's messages to and from protobuf.

use std::sync::LazyLock;

use bytes::Bytes;
use cluster_state::{LogIndex, Term};
use openraft::EntryPayload;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, VoteRequest, VoteResponse,
};
use proto::v1;
use proto::v1::append_response::Result as Appended;
use tonic::Status;

use super::plausibility::{self, Implausible};
use crate::codec::{self, CodecError};
use crate::rarely::Rarely;
use crate::types::{Entry, LogId, NodeId, Payload, TypeConfig, Vote, log_id};

/// A message of a peer is malformed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// A field that every peer sends is absent.
    #[error("field '{0}' is missing")]
    Missing(&'static str),
    /// A newer peer may know this kind of entry.
    #[error("log entry has unknown kind {0}")]
    UnknownKind(u32),
    /// The message makes a claim that no correct peer makes.
    #[error(transparent)]
    Implausible(#[from] Implausible),
    /// A membership cannot be read.
    #[error(transparent)]
    Membership(#[from] CodecError),
    /// A message of openraft's, in JSON, cannot be read.
    #[error("message is malformed")]
    Json(#[from] serde_json::Error),
}

/// Refuses a malformed message. Its sender may repeat it for as long as it likes, so it is logged
/// rarely.
pub(crate) fn refused(error: &WireError) -> Status {
    static SAID: LazyLock<Rarely> = LazyLock::new(Rarely::default);
    let text = error.to_string();
    if SAID.is_due(&text) {
        tracing::warn!(reason = text, "refused a message of another master");
    }
    Status::invalid_argument(text)
}

const KIND_BLANK: u32 = 0;
const KIND_PROPOSAL: u32 = 1;
const KIND_MEMBERSHIP: u32 = 2;

pub(crate) const fn log_id_out(id: &LogId) -> v1::LogId {
    v1::LogId { term: id.leader_id.term, index: id.index }
}

pub(crate) fn log_id_in(id: v1::LogId) -> Result<LogId, WireError> {
    plausibility::check_number(id.term)?;
    plausibility::check_number(id.index)?;
    Ok(log_id(Term(id.term), LogIndex(id.index)))
}

fn log_id_if_any(id: Option<v1::LogId>) -> Result<Option<LogId>, WireError> {
    id.map(log_id_in).transpose()
}

pub(crate) const fn vote_out(vote: &Vote) -> v1::BallotVote {
    v1::BallotVote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.voted_for.0,
        committed: vote.committed,
    }
}

pub(crate) fn vote_in(vote: Option<v1::BallotVote>) -> Result<Vote, WireError> {
    let vote = vote.ok_or(WireError::Missing("vote"))?;
    plausibility::check_number(vote.term)?;
    if vote.committed {
        return Ok(Vote::new_committed(vote.term, NodeId(vote.node_id)));
    }
    Ok(Vote::new(vote.term, NodeId(vote.node_id)))
}

fn entry_out(entry: Entry) -> Result<v1::Entry, WireError> {
    let log_id = Some(log_id_out(&entry.log_id));
    let (kind, payload) = match entry.payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(payload) => (KIND_PROPOSAL, payload.into_bytes()),
        EntryPayload::Membership(membership) => {
            (KIND_MEMBERSHIP, serde_json::to_vec(&membership)?.into())
        }
    };
    Ok(v1::Entry { log_id, kind, payload })
}

fn entry_in(entry: v1::Entry) -> Result<Entry, WireError> {
    let log_id = log_id_in(entry.log_id.ok_or(WireError::Missing("log_id"))?)?;
    let payload = match entry.kind {
        KIND_BLANK => EntryPayload::Blank,
        KIND_PROPOSAL => EntryPayload::Normal(Payload::new(entry.payload)),
        KIND_MEMBERSHIP => EntryPayload::Membership(codec::decode_membership(&entry.payload)?),
        unknown => return Err(WireError::UnknownKind(unknown)),
    };
    Ok(Entry { log_id, payload })
}

pub(crate) fn append_out(
    request: AppendEntriesRequest<TypeConfig>,
) -> Result<v1::AppendRequest, WireError> {
    Ok(v1::AppendRequest {
        vote: Some(vote_out(&request.vote)),
        prev: request.prev_log_id.as_ref().map(log_id_out),
        commit: request.leader_commit.as_ref().map(log_id_out),
        entries: request.entries.into_iter().map(entry_out).collect::<Result<_, _>>()?,
    })
}

pub(crate) fn append_in(
    request: v1::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    Ok(AppendEntriesRequest {
        vote: vote_in(request.vote)?,
        prev_log_id: log_id_if_any(request.prev)?,
        leader_commit: log_id_if_any(request.commit)?,
        entries: request.entries.into_iter().map(entry_in).collect::<Result<_, _>>()?,
    })
}

pub(crate) fn appended_out(result: &StreamAppendResult<TypeConfig>) -> v1::AppendResponse {
    let result = match result {
        Ok(Some(matched)) => Appended::Matched(log_id_out(matched)),
        Ok(None) => Appended::MatchedNothing(true),
        Err(StreamAppendError::Conflict(at)) => Appended::Conflict(log_id_out(at)),
        Err(StreamAppendError::HigherVote(vote)) => Appended::HigherVote(vote_out(vote)),
    };
    v1::AppendResponse { result: Some(result), scarce_bytes: None }
}

pub(crate) fn appended_in(
    response: v1::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, WireError> {
    Ok(match response.result.ok_or(WireError::Missing("result"))? {
        Appended::Matched(matched) => Ok(Some(log_id_in(matched)?)),
        Appended::MatchedNothing(_) => Ok(None),
        Appended::Conflict(at) => Err(StreamAppendError::Conflict(log_id_in(at)?)),
        Appended::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_in(Some(vote))?)),
    })
}

pub(crate) fn ballot_out(request: &VoteRequest<TypeConfig>) -> v1::VoteRequest {
    v1::VoteRequest {
        vote: Some(vote_out(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_out),
        transfer: request.leadership_transfer,
    }
}

pub(crate) fn ballot_in(request: v1::VoteRequest) -> Result<VoteRequest<TypeConfig>, WireError> {
    let mut ballot = VoteRequest::new(vote_in(request.vote)?, log_id_if_any(request.last)?);
    ballot.leadership_transfer = request.transfer;
    Ok(ballot)
}

pub(crate) fn answer_out(response: &VoteResponse<TypeConfig>) -> v1::VoteResponse {
    v1::VoteResponse {
        vote: Some(vote_out(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.as_ref().map(log_id_out),
    }
}

pub(crate) fn answer_in(response: v1::VoteResponse) -> Result<VoteResponse<TypeConfig>, WireError> {
    let last = log_id_if_any(response.last)?;
    Ok(VoteResponse::new(vote_in(response.vote)?, last, response.granted))
}
