//! Answers of peers: their errors as openraft takes them, and what they are checked against.

use std::time::Duration;

use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::raft::AppendEntriesRequest;
use parking_lot::Mutex;
use proto::deadline;
use tonic::{Code, Response, Status};

use super::outgoing::LeftBehind;
use super::plausibility;
use super::wire::WireError;
use crate::seen::WentBack;
use crate::types::{LogId, TypeConfig, Vote};

/// Latest term and last committed entry that were sent on a stream.
#[derive(Debug, Default)]
pub(super) struct Latest(Mutex<(u64, Option<LogId>)>);

impl Latest {
    pub(super) fn on_request(&self, request: &AppendEntriesRequest<TypeConfig>) {
        *self.0.lock() = (request.vote.leader_id.term, request.leader_commit);
    }

    pub(super) fn term_and_committed(&self) -> (u64, Option<LogId>) {
        *self.0.lock()
    }
}

/// Checks the vote with which a peer answers against the term in which it was asked.
#[expect(clippy::result_large_err, reason = "openraft's error holds the record of a member")]
pub(super) fn check_answered(vote: &Vote, asked_in: u64) -> Result<(), RPCError<TypeConfig>> {
    plausibility::check_term(vote.leader_id.term, asked_in)
        .map_err(|error| malformed(&error.into()))
}

pub(super) async fn within<T>(
    ttl: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, RPCError<TypeConfig>> {
    deadline::within("the master", ttl, call).await.map_err(|status| failure(&status))
}

pub(super) fn failure(status: &Status) -> RPCError<TypeConfig> {
    if is_unreachable(status) {
        return RPCError::Unreachable(Unreachable::new(status));
    }
    RPCError::Network(NetworkError::new(status))
}

/// Returns true if a call reached nobody, or had no answer.
pub(super) fn is_unreachable(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

/// Raft must not hear of it: it takes what a log has acknowledged for there.
pub(super) fn went_back(error: WentBack) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&error))
}

pub(super) fn left_behind(error: LeftBehind) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&error))
}

pub(super) fn malformed(error: &WireError) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}
