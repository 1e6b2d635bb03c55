//! Serves Raft RPCs: checks and converts messages, and hands them to openraft.

mod older_copy;
mod snapshot;

use std::future::ready;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use parking_lot::Mutex;
use proto::limits::MESSAGE_BYTES_MAX;
use proto::v1;
use proto::v1::raft_service_server::{RaftService, RaftServiceServer};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::membership;
use crate::network::identity::Caller;
use crate::network::wire;
use crate::node::{Admission, Joiner, Node};
use crate::propose::forward;
use crate::raft::Raft;
use crate::reads;
use crate::types::TypeConfig;

/// The gRPC service that other masters call.
pub type RaftServer = RaftServiceServer<RaftEndpoint>;

/// Answers other masters.
#[derive(Debug, Clone)]
pub struct RaftEndpoint {
    node: Node,
    /// Until then no vote is given: see [`RaftEndpoint::may_vote`].
    may_vote_from: Instant,
}

impl RaftEndpoint {
    /// Returns the gRPC service of a master for other masters.
    #[must_use]
    pub fn server(node: Node) -> RaftServer {
        let endpoint = Self { may_vote_from: node.may_elect_from(), node };
        RaftServiceServer::new(endpoint)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn raft(&self) -> &Raft {
        self.node.raft()
    }

    /// Checks that this master may vote. A follower promises its leader not to elect another for
    /// the length of the lease. A restart forgets the time of that promise, so a restarted voter
    /// waits one lease before it votes, unless it is for the successor that the leader itself has
    /// named.
    fn may_vote(&self, ballot: &VoteRequest<TypeConfig>) -> Result<(), Status> {
        if ballot.leadership_transfer || Instant::now() >= self.may_vote_from {
            return Ok(());
        }
        Err(Status::unavailable("restarted within the last lease: not voting yet"))
    }

    /// Checks that the candidate is a member that may be given a vote now, and returns the vote.
    async fn ballot(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<VoteRequest<TypeConfig>, Status> {
        let caller = self.node.identity().check(request.metadata())?;
        older_copy::check_own(&self.node, &caller, request.metadata()).await?;
        let mut ballot =
            wire::ballot_in(request.into_inner()).map_err(|error| wire::refused(&error))?;
        let (candidate, term) = (ballot.vote.leader_id.voted_for, ballot.vote.leader_id.term);
        let known = self.node.known_of(candidate);
        known.check_ballot(&ballot).map_err(|error| wire::refused(&error.into()))?;
        older_copy::check_candidate(&self.node, &caller, &ballot)?;

        if ballot.leadership_transfer {
            ballot.leadership_transfer = self.node.naming().names(candidate, term).await;
        }
        self.may_vote(&ballot)?;
        Ok(ballot)
    }
}

/// Reason that this side has ended a leader's stream.
type Reason = Arc<Mutex<Option<Status>>>;

/// One stream of a leader. If it is dropped before the leader has ended it, it was broken.
struct Incoming {
    node: Node,
    caller: Caller,
    is_ended: bool,
    reason: Reason,
}

impl Incoming {
    /// Takes the stream's next message, or none at its end. A message that cannot be believed ends
    /// the stream from this side.
    fn take(
        &mut self,
        message: Option<Result<v1::AppendRequest, Status>>,
    ) -> Option<AppendEntriesRequest<TypeConfig>> {
        let Some(message) = message else {
            self.is_ended = true;
            return None;
        };
        match self.believe(message.ok()?) {
            Ok(request) => Some(request),
            Err(reason) => {
                *self.reason.lock() = Some(reason);
                None
            }
        }
    }

    fn believe(
        &self,
        message: v1::AppendRequest,
    ) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
        if self.node.is_expelled() {
            return Err(Status::failed_precondition("this master has left the cluster"));
        }
        // This master may have learned its cluster since the stream was opened.
        self.node.identity().check_cluster(&self.caller)?;
        let request = wire::append_in(message).map_err(|error| wire::refused(&error))?;
        let leader = &request.vote.leader_id;
        let known = self.node.known_of(leader.voted_for);
        known.check_append(&request).map_err(|error| wire::refused(&error.into()))?;
        // A former leader is not the leader whose silence counts.
        if leader.term >= known.term {
            self.node.contact().on_heard();
        }
        Ok(request)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_ended {
            self.node.contact().on_broken();
        }
    }
}

fn fatal(error: &impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl RaftService for RaftEndpoint {
    type AppendStream = BoxStream<'static, Result<v1::AppendResponse, Status>>;
    type ProposeStream = BoxStream<'static, Result<v1::ProposeResponse, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let caller = self.node.identity().check(request.metadata())?;
        older_copy::check_own(&self.node, &caller, request.metadata()).await?;
        let reason = Reason::default();
        let mut incoming = Incoming {
            node: self.node.clone(),
            caller,
            is_ended: false,
            reason: Arc::clone(&reason),
        };
        let messages = request.into_inner().map(Some).chain(stream::once(ready(None)));
        let requests = messages
            .map(move |message| incoming.take(message))
            .take_while(|request| ready(request.is_some()))
            .filter_map(ready);

        let room = self.node.room().clone();
        let appended = self.raft().stream_append(Box::pin(requests)).map(move |result| {
            let response = wire::appended_out(&result.map_err(|error| fatal(&error))?);
            Ok(v1::AppendResponse { scarce_bytes: room.own_shortage(), ..response })
        });
        let reason = stream::once(async move { reason.lock().take() });
        let ended = reason.filter_map(|reason| ready(reason.map(Err)));
        Ok(Response::new(Box::pin(appended.chain(ended))))
    }

    async fn vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteResponse>, Status> {
        let ballot = self.ballot(request).await?;
        let answer = self.raft().vote(ballot).await.map_err(|error| fatal(&error))?;
        Ok(Response::new(wire::answer_out(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteResponse>, Status> {
        let ballot = self.ballot(request).await?;
        let answer = self.raft().pre_vote(ballot).await.map_err(|error| fatal(&error))?;
        Ok(Response::new(wire::answer_out(&answer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::HandOverRequest>,
    ) -> Result<Response<v1::HandOverResponse>, Status> {
        self.node.identity().check(request.metadata())?;
        let request = serde_json::from_slice(&request.into_inner().body);
        let request: TransferLeaderRequest<TypeConfig> =
            request.map_err(|error| wire::refused(&error.into()))?;
        let from = request.from_leader();
        let known = self.node.known_of(from.leader_id.voted_for);
        let last = request.last_log_id();
        known.check_leader(from, last).map_err(|error| wire::refused(&error.into()))?;
        if from.leader_id.term == known.term {
            self.node.naming().on_named(known.term, *request.to_node_id());
        }
        let answer =
            self.raft().handle_transfer_leader(request).await.map_err(|error| fatal(&error))?;
        let body =
            serde_json::to_vec(&answer).map_err(|error| wire::refused(&error.into()))?.into();
        Ok(Response::new(v1::HandOverResponse { body }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotMessage>>,
    ) -> Result<Response<v1::SnapshotResponse>, Status> {
        let caller = self.node.identity().check(request.metadata())?;
        older_copy::check_own(&self.node, &caller, request.metadata()).await?;
        let vote = snapshot::receive(&self.node, request.into_inner()).await?;
        Ok(Response::new(v1::SnapshotResponse { vote: Some(wire::vote_out(&vote)) }))
    }

    async fn resume_snapshot(
        &self,
        request: Request<v1::ResumeSnapshotRequest>,
    ) -> Result<Response<v1::ResumeSnapshotResponse>, Status> {
        self.node.identity().check(request.metadata())?;
        let offsets = snapshot::held(&self.node, request.into_inner()).await?;
        Ok(Response::new(v1::ResumeSnapshotResponse { offsets }))
    }

    async fn propose(
        &self,
        request: Request<Streaming<v1::ProposeRequest>>,
    ) -> Result<Response<Self::ProposeStream>, Status> {
        self.node.identity().check(request.metadata())?;
        let answers =
            forward::serve(self.node.local_proposer(), request.into_inner(), self.node.tasks());
        Ok(Response::new(Box::pin(answers)))
    }

    async fn read_index(
        &self,
        request: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexResponse>, Status> {
        self.node.identity().check(request.metadata())?;
        let point = reads::confirm(self.raft(), self.node.acks()).await;
        let point =
            point.ok_or_else(|| Status::failed_precondition("this master does not lead"))?;
        Ok(Response::new(v1::ReadIndexResponse { index: point.index.0, term: point.term.0 }))
    }

    async fn node_status(
        &self,
        request: Request<v1::NodeStatusRequest>,
    ) -> Result<Response<v1::NodeStatusResponse>, Status> {
        self.node.identity().check(request.metadata())?;
        let mut status = self.node.describe(&membership::local_status(self.raft()));
        if request.get_ref().with_digest {
            let digest = self.node.reader().digest();
            let (applied, digest) = digest.map_err(|error| Status::internal(error.to_string()))?;
            status.applied_index = applied.index.0;
            status.state_digest = Some(digest);
        }
        Ok(Response::new(status))
    }

    async fn introduce(
        &self,
        request: Request<v1::IntroduceRequest>,
    ) -> Result<Response<v1::IntroduceResponse>, Status> {
        self.node.meet(request.get_ref());
        Ok(Response::new(self.node.introduction()))
    }

    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        let v1::JoinRequest { joiner, cluster_name, cluster_id, announces } = request.into_inner();
        let ours = &self.node.config().cluster_name;
        if cluster_name != *ours {
            let what = format!("this is cluster '{ours}', not '{cluster_name}'");
            return Err(Status::failed_precondition(what));
        }
        let joiner = joiner.ok_or_else(|| Status::invalid_argument("the joiner is missing"))?;
        let joiner = Joiner::read(&joiner).map_err(Status::invalid_argument)?.announcing(announces);
        let joiner = match (cluster_id, self.node.cluster_id()) {
            (None, _) => joiner,
            (Some(theirs), Some(ours)) if theirs.parse() == Ok(ours) => {
                joiner.knowing_its_cluster()
            }
            (Some(theirs), _) => {
                let what = format!("this is not cluster {theirs}");
                return Err(Status::failed_precondition(what));
            }
        };

        let mut answer = v1::JoinResponse::default();
        match self.node.admit(joiner).await {
            Admission::Admitted(cluster) => {
                answer.admitted = true;
                answer.cluster_id = cluster.to_string();
            }
            Admission::AskLeader(leader) => answer.leader_address = leader,
            Admission::Refused(reason) => answer.refusal = reason,
            Admission::TooOld(level) => {
                answer.refusal = format!("this cluster has feature level {level}");
                answer.level = Some(level.0.into());
            }
        }
        Ok(Response::new(answer))
    }

    async fn farewell(
        &self,
        request: Request<v1::FarewellRequest>,
    ) -> Result<Response<v1::FarewellResponse>, Status> {
        self.node.identity().check(request.metadata())?;
        self.node.on_farewell();
        Ok(Response::new(v1::FarewellResponse {}))
    }

    async fn recognize(
        &self,
        request: Request<v1::RecognizeRequest>,
    ) -> Result<Response<v1::RecognizeResponse>, Status> {
        let caller = self.node.identity().check(request.metadata())?;
        let node = caller.node.ok_or_else(|| Status::invalid_argument("the caller is unnamed"))?;
        let seen = self.node.seen().of(node).map(|last| wire::log_id_out(&last));
        let v1::LogId { term: seen_term, index: seen_index } = seen.unwrap_or_default();
        if request.get_ref().only_seen {
            let (certain, member) = (false, true);
            return Ok(Response::new(v1::RecognizeResponse {
                certain,
                member,
                seen_index,
                seen_term,
            }));
        }
        // The membership is looked at after a quorum has confirmed that this master leads.
        let confirmed = reads::confirm(self.raft(), self.node.acks()).await;
        let is_member = membership::belongs(self.raft(), node).await;
        Ok(Response::new(v1::RecognizeResponse {
            certain: confirmed.is_some() && is_member.is_some(),
            member: is_member.unwrap_or(true),
            seen_index,
            seen_term,
        }))
    }

    async fn remember(
        &self,
        request: Request<v1::RememberRequest>,
    ) -> Result<Response<v1::RememberResponse>, Status> {
        let caller = self.node.identity().check(request.metadata())?;
        self.node.on_sightings(caller.node, request.into_inner().logs);
        Ok(Response::new(v1::RememberResponse {}))
    }
}

#[cfg(test)]
mod tests;
