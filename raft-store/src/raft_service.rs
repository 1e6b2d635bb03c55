//! Raft RPCs in: checked, converted, handed to openraft.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, BoxStream, StreamExt};
use openraft::raft::VoteRequest;
use proto::limits::MESSAGE_BYTES_MAX;
use proto::v1;
use proto::v1::raft_service_server::{RaftService, RaftServiceServer};
use tonic::{Request, Response, Status, Streaming};

use crate::contact::Contact;
use crate::membership;
use crate::network::snapshot;
use crate::network::wire::{self, WireError};
use crate::node::{Node, Raft};
use crate::propose::forward;
use crate::reads;
use crate::types::TypeConfig;

/// The gRPC service that other masters call.
pub type RaftServer = RaftServiceServer<RaftEndpoint>;

/// Answers other masters.
#[derive(Debug, Clone)]
pub struct RaftEndpoint {
    node: Node,
    /// Until then no vote is given: see [`RaftEndpoint::check_may_vote`].
    may_vote_from: Instant,
}

impl RaftEndpoint {
    pub(crate) fn server(node: Node, vote_pause: Duration) -> RaftServer {
        let endpoint = Self { node, may_vote_from: Instant::now() + vote_pause };
        RaftServiceServer::new(endpoint)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn raft(&self) -> &Raft {
        self.node.raft()
    }

    /// A follower promises its leader not to elect another for the length of the lease. A restart
    /// forgets when that promise was given, so a restarted voter waits one lease before it votes.
    fn check_may_vote(&self, ballot: &v1::VoteRequest) -> Result<(), Status> {
        if ballot.transfer || Instant::now() >= self.may_vote_from {
            return Ok(());
        }
        Err(Status::unavailable("restarted within the last lease: not voting yet"))
    }

    /// A master without a log that is asked by one with a log may have lost its own, and with it
    /// what it once confirmed and whom it voted for. It votes again once a leader has sent it what
    /// there is. A cluster that begins is not held up: there nobody has a log.
    fn check_is_no_stranger(&self, ballot: &v1::VoteRequest) -> Result<(), Status> {
        let asks_with = ballot.last.as_ref().map_or(0, |last| last.index);
        if asks_with == 0 || membership::local_status(self.raft()).last_log.0 > 0 {
            return Ok(());
        }
        Err(Status::unavailable("nothing of this cluster is here: not voting yet"))
    }

    /// What a member asks for that may be given a vote now.
    fn ballot(&self, request: Request<v1::VoteRequest>) -> Result<VoteRequest<TypeConfig>, Status> {
        self.node.identity().check(request.metadata())?;
        let ballot = request.into_inner();
        self.check_may_vote(&ballot)?;
        self.check_is_no_stranger(&ballot)?;
        wire::ballot_in(ballot).map_err(|error| malformed(&error))
    }
}

/// One stream of a leader. One that is dropped before the leader has ended it was broken.
struct Link {
    contact: Arc<Contact>,
    is_ended: bool,
}

impl Link {
    const fn on_ended(&mut self) {
        self.is_ended = true;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.is_ended {
            self.contact.on_broken();
        }
    }
}

fn malformed(error: &WireError) -> Status {
    Status::invalid_argument(error.to_string())
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
        self.node.identity().check(request.metadata())?;
        // A message that makes no sense ends the stream; the leader opens another.
        let contact = Arc::clone(self.node.contact());
        let mut link = Link { contact: Arc::clone(&contact), is_ended: false };
        let messages = request.into_inner().map(Some).chain(stream::once(std::future::ready(None)));
        let requests = messages
            .map(move |message| {
                let Some(message) = message else {
                    link.on_ended();
                    return None;
                };
                let message = message.ok()?;
                contact.on_heard();
                wire::append_in(message).ok()
            })
            .take_while(|message| std::future::ready(message.is_some()))
            .filter_map(std::future::ready);
        let appended = self.raft().stream_append(Box::pin(requests));
        Ok(Response::new(Box::pin(appended.map(|result| match result {
            Ok(result) => Ok(wire::appended_out(&result)),
            Err(error) => Err(fatal(&error)),
        }))))
    }

    async fn vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteResponse>, Status> {
        let ballot = self.ballot(request)?;
        let answer = self.raft().vote(ballot).await.map_err(|error| fatal(&error))?;
        Ok(Response::new(wire::answer_out(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteResponse>, Status> {
        let ballot = self.ballot(request)?;
        let answer = self.raft().pre_vote(ballot).await.map_err(|error| fatal(&error))?;
        Ok(Response::new(wire::answer_out(&answer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::HandOverRequest>,
    ) -> Result<Response<v1::HandOverResponse>, Status> {
        self.node.identity().check(request.metadata())?;
        let request = serde_json::from_slice(&request.into_inner().body)
            .map_err(|error| malformed(&error.into()))?;
        let answer =
            self.raft().handle_transfer_leader(request).await.map_err(|error| fatal(&error))?;
        let body = serde_json::to_vec(&answer).map_err(|error| malformed(&error.into()))?.into();
        Ok(Response::new(v1::HandOverResponse { body }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotMessage>>,
    ) -> Result<Response<v1::SnapshotResponse>, Status> {
        self.node.identity().check(request.metadata())?;
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
        let status = membership::local_status(self.raft());
        Ok(Response::new(self.node.describe(&status)))
    }
}
