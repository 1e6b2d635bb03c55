//! A follower's writes on their way to the leader: one stream per leader, many commands under way
//! on it, each message carrying what was waiting. One hop: the leader's side never forwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cluster_state::{LogIndex, MasterId};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, Stream};
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::transport::Channel;

use super::{EncodedCommand, LocalProposer, ProposeError, Verdict};
use crate::codec;
use crate::membership::Members;
use crate::network::identity::PeerIdentity;

/// Commands waiting to be sent. Each has a caller that waits, and those are bounded by the edges.
const QUEUE_MAX: usize = 4_096;
/// Commands gathered into one message: more would only delay the first.
const GATHER_MAX: usize = 256;
/// Messages handed to the transport and not yet sent.
const MESSAGES_MAX: usize = 16;
/// How long a leader may take to answer. Longer than it waits for a commit itself.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(5_500);

/// Sends commands to whichever master leads.
#[derive(Debug)]
pub(crate) struct Forwarder {
    identity: PeerIdentity,
    members: Members,
    tasks: TaskTracker,
    link: Mutex<Option<Link>>,
}

/// The way to one leader.
#[derive(Debug, Clone)]
struct Link {
    leader: MasterId,
    queue: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    command: EncodedCommand,
    answer: oneshot::Sender<Verdict>,
}

impl Forwarder {
    pub(crate) const fn new(identity: PeerIdentity, members: Members, tasks: TaskTracker) -> Self {
        Self { identity, members, tasks, link: Mutex::new(None) }
    }

    /// Asks `leader` to propose the command.
    pub(crate) async fn propose(&self, leader: MasterId, command: EncodedCommand) -> Verdict {
        let link = self.link_to(leader).ok_or(ProposeError::NotLeader { leader: None })?;
        let (answer, answered) = oneshot::channel();
        // A closed queue means that the stream broke before this command was sent.
        if link.queue.send(Waiting { command, answer }).await.is_err() {
            return Err(ProposeError::NotLeader { leader: None });
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err(ProposeError::unknown("the connection to the leader broke")),
            Err(_) => Err(ProposeError::unknown("the leader did not answer in time")),
        }
    }

    fn link_to(&self, leader: MasterId) -> Option<Link> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = link.as_ref().filter(|l| l.leader == leader && !l.queue.is_closed()) {
            return Some(open.clone());
        }
        let address = self.members.address(leader)?;
        let channel = proto::channel::connect_lazily(&address).ok()?;
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let stream = Outgoing {
            client: crate::network::client(channel),
            identity: self.identity.clone(),
            leader,
        };
        self.tasks.spawn(stream.run(waiting));
        let fresh = Link { leader, queue };
        *link = Some(fresh.clone());
        Some(fresh)
    }
}

/// One stream to one leader, for as long as it lasts.
struct Outgoing {
    client: RaftServiceClient<Channel>,
    identity: PeerIdentity,
    leader: MasterId,
}

impl Outgoing {
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let (messages, outgoing) = mpsc::channel(MESSAGES_MAX);
        let request = self.identity.sign(ReceiverStream::new(outgoing), self.leader);
        let mut answers = match self.client.propose(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                tracing::debug!(leader = %self.leader, %status, "cannot forward to the leader");
                // Nothing was sent: whoever waits may look for the leader again.
                waiting.close();
                while let Some(unsent) = waiting.recv().await {
                    unsent.answer.send(Err(ProposeError::NotLeader { leader: None })).ok();
                }
                return;
            }
        };
        let mut next_id = 0_u64;
        let mut sent = HashMap::new();
        let mut batch = Vec::with_capacity(GATHER_MAX);
        loop {
            tokio::select! {
                gathered = waiting.recv_many(&mut batch, GATHER_MAX) => {
                    if gathered == 0 {
                        return;
                    }
                    let commands = batch.drain(..).map(|one| {
                        next_id += 1;
                        sent.insert(next_id, one.answer);
                        v1::ForwardedCommand { id: next_id, command: one.command.0 }
                    });
                    let message = v1::ProposeRequest { commands: commands.collect() };
                    // Dropping `sent` tells those who wait that the outcome is unknown.
                    if messages.send(message).await.is_err() {
                        return;
                    }
                }
                received = answers.message() => {
                    let Ok(Some(response)) = received else { return };
                    for answer in response.answers {
                        if let Some(caller) = sent.remove(&answer.id) {
                            caller.send(decode(&answer.answer)).ok();
                        }
                    }
                }
            }
        }
    }
}

/// The leader's side of one stream: proposes what comes in, answers as entries are applied.
pub(crate) fn serve(
    local: Arc<LocalProposer>,
    mut incoming: tonic::Streaming<v1::ProposeRequest>,
    tasks: &TaskTracker,
) -> impl Stream<Item = Result<v1::ProposeResponse, Status>> + Send + 'static {
    let (responses, outgoing) = mpsc::channel(MESSAGES_MAX);
    tasks.spawn(async move {
        let mut pending = FuturesUnordered::new();
        let mut is_open = true;
        while is_open || !pending.is_empty() {
            tokio::select! {
                received = incoming.message(), if is_open => {
                    let Ok(Some(request)) = received else {
                        is_open = false;
                        continue;
                    };
                    for forwarded in request.commands {
                        let local = Arc::clone(&local);
                        pending.push(async move {
                            let verdict = local.propose(EncodedCommand(forwarded.command)).await;
                            v1::ForwardedAnswer { id: forwarded.id, answer: encode(&verdict) }
                        });
                    }
                }
                Some(first) = pending.next(), if !pending.is_empty() => {
                    let mut answers = vec![first];
                    while let Some(Some(more)) = pending.next().now_or_never() {
                        answers.push(more);
                    }
                    if responses.send(Ok(v1::ProposeResponse { answers })).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    ReceiverStream::new(outgoing)
}

fn encode(verdict: &Verdict) -> Bytes {
    // A verdict holds nothing that postcard cannot write; an empty answer reads as unknown.
    codec::encode(verdict).map(Bytes::from).unwrap_or_default()
}

fn decode(answer: &[u8]) -> Verdict {
    codec::decode::<Result<(LogIndex, cluster_state::Reply), ProposeError>>(answer)
        .unwrap_or_else(|_| Err(ProposeError::unknown("the leader's answer is malformed")))
}
