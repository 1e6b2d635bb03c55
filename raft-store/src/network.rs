//! Sends Raft RPCs: one HTTP/2 connection per peer for appending, one for heartbeats and votes, one
//! for snapshots, so that a heartbeat never queues behind data.

pub(crate) mod address_book;
mod answers;
pub(crate) mod generation;
pub(crate) mod identity;
pub(crate) mod outgoing;
pub(crate) mod plausibility;
pub(crate) mod snapshot;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend};
use proto::limits::MESSAGE_BYTES_MAX;
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

use self::address_book::AddressBook;
use self::answers::{Latest, check_answered, failure, left_behind, malformed, went_back, within};
use self::identity::PeerIdentity;
use self::outgoing::{LeftBehind, Outgoing};
use self::snapshot::SendError;
use crate::acks::{Acks, Unanswered};
use crate::calls::describe;
use crate::seen::Seen;
use crate::shortages::Shortages;
use crate::snapshot::SnapshotData;
use crate::state_machine::RaftSnapshot;
use crate::types::{MasterNode, NodeId, TypeConfig, Vote};

/// Pauses between two attempts to reach a peer: short at first, because a peer that restarts is
/// back within moments, then longer.
const BACKOFF_MILLIS: [u64; 4] = [10, 20, 50, 100];
const BACKOFF_MILLIS_MAX: u64 = 200;

/// First and longest pause before an unusable snapshot is offered again: opening one costs both
/// sides as much as installing it.
const SNAPSHOT_REST_MIN: Duration = Duration::from_secs(1);
const SNAPSHOT_REST_MAX: Duration = Duration::from_secs(60);

/// Creates the connections to peers.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) identity: PeerIdentity,
    pub(crate) acks: Arc<Acks>,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) shortages: Arc<Shortages>,
    pub(crate) book: Arc<AddressBook>,
}

impl Network {
    /// Creates it without anything known of the peers.
    pub(crate) fn new(identity: PeerIdentity) -> Self {
        let seen = Arc::clone(identity.seen());
        let (acks, outgoing) = (Arc::default(), Arc::default());
        let (shortages, book) = (Arc::default(), Arc::default());
        Self { identity, acks, outgoing, seen, shortages, book }
    }

    fn peer(&self, target: NodeId, node: &MasterNode) -> Peer {
        self.outgoing.expect(target);
        Peer {
            target,
            recorded: node.addr.clone(),
            connected: None,
            book: Arc::clone(&self.book),
            identity: self.identity.clone(),
            acks: Arc::clone(&self.acks),
            outgoing: Arc::clone(&self.outgoing),
            seen: Arc::clone(&self.seen),
            shortages: Arc::clone(&self.shortages),
            failures: 0,
            rest_until: None,
            snapshot_rest: Duration::ZERO,
            snapshot_trouble: None,
        }
    }
}

/// Returns whether somebody answers who tells nothing because of who asks.
pub(crate) fn is_disbelief(status: &Status) -> bool {
    matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated)
}

/// Creates a client for calls between masters.
pub(crate) fn client(channel: Channel) -> RaftServiceClient<Channel> {
    RaftServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    // The call for snapshot clients defaults to this one, so each gets a connection of its own.
    async fn new_client(&mut self, target: NodeId, node: &MasterNode) -> Peer {
        self.peer(target, node)
    }

    // A message that says nothing of the log needs none, and goes on whatever happens to the rest.
    async fn new_heartbeat_client(&mut self, target: NodeId, node: &MasterNode) -> Peer {
        Peer { outgoing: Arc::default(), ..self.peer(target, node) }
    }
}

/// A connection to one peer.
#[derive(Debug)]
pub(crate) struct Peer {
    target: NodeId,
    /// Address in the membership.
    recorded: String,
    /// Client, and the address that it calls.
    connected: Option<(String, RaftServiceClient<Channel>)>,
    book: Arc<AddressBook>,
    identity: PeerIdentity,
    acks: Arc<Acks>,
    outgoing: Arc<Outgoing>,
    seen: Arc<Seen>,
    shortages: Arc<Shortages>,
    /// Number of consecutive streams that could not be opened.
    failures: usize,
    /// No stream is opened before: openraft retries immediately when there is more to send, which
    /// for a peer whose port refuses would be all the time.
    rest_until: Option<Instant>,
    /// Pause before the next offer of a snapshot.
    snapshot_rest: Duration,
    /// Reason that the last offer failed, so that it is logged once.
    snapshot_trouble: Option<String>,
}

impl Peer {
    fn on_opened(&mut self) {
        self.failures = 0;
        self.rest_until = None;
    }

    fn on_refused(&mut self) {
        let millis = BACKOFF_MILLIS.get(self.failures).copied().unwrap_or(BACKOFF_MILLIS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.rest_until = Some(Instant::now() + Duration::from_millis(millis));
    }

    fn on_snapshot_failed(&mut self, error: &SendError) {
        self.snapshot_rest = if error.is_lasting() {
            (self.snapshot_rest * 2).clamp(SNAPSHOT_REST_MIN, SNAPSHOT_REST_MAX)
        } else {
            Duration::ZERO
        };
        let (peer, causes, rest) = (self.target, describe(error), self.snapshot_rest);
        let is_known = self.snapshot_trouble.as_ref() == Some(&causes);
        if is_known || error.is_unreachable() {
            tracing::debug!(%peer, error = causes, ?rest, "the receiver refused a snapshot again");
            return;
        }
        tracing::warn!(%peer, error = causes, ?rest, "the receiver refused a snapshot");
        self.snapshot_trouble = Some(causes);
    }

    fn on_snapshot_taken(&mut self) {
        self.snapshot_rest = Duration::ZERO;
        self.snapshot_trouble = None;
    }

    /// Returns a client for the present address of the peer.
    fn client(&mut self) -> Result<RaftServiceClient<Channel>, Unreachable<TypeConfig>> {
        let address = self.book.address(self.target, &self.recorded);
        if let Some((at, client)) = &self.connected
            && *at == address
        {
            return Ok(client.clone());
        }
        // An address that cannot be parsed was refused when the member was added.
        let channel = self.identity.connect(&address);
        let channel = channel.map_err(|error| Unreachable::new(&AnyError::error(error)))?;
        let client = client(channel);
        self.connected = Some((address, client.clone()));
        Ok(client)
    }

    async fn ballot(
        &mut self,
        ballot: VoteRequest<TypeConfig>,
        ttl: Duration,
        is_pre_vote: bool,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client()?;
        let asked_in = ballot.vote.leader_id.term;
        let request = self.identity.sign(wire::ballot_out(&ballot), self.target);
        let call = async {
            let answer = if is_pre_vote {
                client.pre_vote(request).await
            } else {
                client.vote(request).await
            };
            answer.inspect_err(|status| self.identity.on_refused(self.target, status))
        };
        let answer = within(ttl, call).await?;
        let answer = wire::answer_in(answer).map_err(|error| malformed(&error))?;
        check_answered(&answer.vote, asked_in)?;
        Ok(answer)
    }
}

impl NetBackoff<TypeConfig> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        let forever = std::iter::repeat(BACKOFF_MILLIS_MAX);
        Some(Backoff::new(BACKOFF_MILLIS.into_iter().chain(forever).map(Duration::from_millis)))
    }
}

impl NetStreamAppend<TypeConfig> for Peer {
    #[expect(clippy::result_large_err, reason = "openraft's error holds the record of a member")]
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<
            BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>,
            RPCError<TypeConfig>,
        >,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if let Some(rest_until) = self.rest_until {
                tokio::time::sleep_until(rest_until).await;
            }

            let mut client = self.client()?;
            // An entry of this master always encodes; if one did not, ending the stream makes
            // openraft open another one and report it.
            let unanswered = Unanswered::new(Arc::clone(&self.acks), self.target);
            let sent = unanswered.clone();
            let asked = Arc::new(Latest::default());
            let latest = Arc::clone(&asked);
            let requests = input
                .map(move |request| {
                    latest.on_request(&request);
                    sent.on_request(request.vote.leader_id.term, Instant::now());
                    wire::append_out(request)
                })
                .take_while(|encoded| std::future::ready(encoded.is_ok()))
                .filter_map(|encoded| std::future::ready(encoded.ok()));

            let sending = self.outgoing.begin(self.target);
            let call = client.append(self.identity.sign(requests, self.target));
            let called = tokio::select! {
                () = sending.ended() => return Err(left_behind(LeftBehind)),
                called = call => called,
            };

            let responses = match called {
                Ok(response) => {
                    sending.on_answered();
                    self.on_opened();
                    response.into_inner()
                }
                Err(status) => {
                    self.identity.on_refused(self.target, &status);
                    self.on_refused();
                    return Err(failure(&status));
                }
            };

            let (target, seen) = (self.target, Arc::clone(&self.seen));
            let shortages = Arc::clone(&self.shortages);
            let results = responses.map(move |response| {
                let response = response.map_err(|status| failure(&status))?;
                shortages.on_answer(target, response.scarce_bytes);
                let result = wire::appended_in(response).map_err(|error| malformed(&error))?;
                let (term, committed) = asked.term_and_committed();
                match &result {
                    Err(StreamAppendError::HigherVote(vote)) => check_answered(vote, term)?,
                    Ok(matched) => {
                        seen.on_matched(target, term, *matched, committed);
                        unanswered.on_obeyed();
                    }
                    // A peer that lacks entries still obeys this leader, unless it had them.
                    Err(StreamAppendError::Conflict(conflict)) => {
                        seen.check(target, term, *conflict).map_err(went_back)?;
                        unanswered.on_obeyed();
                    }
                }
                Ok(result)
            });
            let results: BoxStream<'s, _> = Box::pin(sending.guard(results, left_behind));
            Ok(results)
        })
    }
}

impl NetVote<TypeConfig> for Peer {
    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ballot(rpc, option.soft_ttl(), false).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ballot(rpc, option.soft_ttl(), true).await
    }
}

impl NetTransferLeader<TypeConfig> for Peer {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut client = self.client()?;
        let body = serde_json::to_vec(&request).map_err(|error| malformed(&error.into()))?.into();
        let request = self.identity.sign(v1::HandOverRequest { body }, self.target);
        let response = within(option.soft_ttl(), client.transfer_leader(request)).await?;
        serde_json::from_slice(&response.body).map_err(|error| malformed(&error.into()))
    }
}

impl NetSnapshot<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let client = self.client()?;
        let data = &snapshot.snapshot;
        let sending = self.outgoing.begin_snapshot(self.target, data);
        let send = async {
            tokio::time::sleep(self.snapshot_rest).await;
            let on_answered = || sending.on_answered();
            snapshot::send(client, &self.identity, self.target, (&vote, data), on_answered).await
        };

        let sent = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            // The next one that is sent is newer.
            () = sending.ended() => {
                return Err(StreamingError::Network(NetworkError::new(&LeftBehind)));
            }
            sent = send => sent,
        };

        match sent {
            Ok(vote) => {
                sending.on_taken();
                self.on_snapshot_taken();
                Ok(SnapshotResponse { vote })
            }
            Err(error) => {
                self.on_snapshot_failed(&error);
                // After any other error openraft retries ten times without a pause.
                Err(if error.is_unreachable() {
                    StreamingError::Unreachable(Unreachable::new(&error))
                } else {
                    StreamingError::Network(NetworkError::new(&error))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
