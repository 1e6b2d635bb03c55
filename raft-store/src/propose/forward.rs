//! Forwards a follower's writes to the leader: one stream per leader, many pending commands on it,
//! each message carrying all waiting ones. One hop: the leader's side never forwards.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use crate::log_node::NodeId;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, Stream};
use parking_lot::Mutex;
use proto::limits::{BATCH_BYTES, ByteBudget};
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::transport::Channel;

use super::local::{EncodedCommand, LocalProposer};
use super::{ProposeError, Verdict};
use crate::codec;
use crate::membership::Members;
use crate::network::identity::PeerIdentity;

/// Maximum number of commands that wait to be sent. Each holds its share of the bounds on pending
/// commands.
const QUEUE_MAX: usize = 4_096;
/// Maximum number of commands in one message: more would only delay the first.
const GATHER_MAX: usize = 256;
/// Maximum number of messages handed to the transport and not yet sent: one is being sent, one
/// waits.
const MESSAGES_MAX: usize = 2;
/// Limit of a leader's answer. Longer than the leader itself waits for a commit.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(5_500);

/// Nothing was sent: the caller may look for the leader again.
const NOT_SENT: ProposeError = ProposeError::NotLeader { leader: None };

/// Sends commands to the leader.
#[derive(Debug)]
pub(crate) struct Forwarder {
    identity: PeerIdentity,
    members: Members,
    tasks: TaskTracker,
    link: Mutex<Option<LeaderStream>>,
}

/// Stream of commands to one leader, by its queue.
#[derive(Debug, Clone)]
struct LeaderStream {
    leader: NodeId,
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
    pub(crate) async fn propose(&self, leader: NodeId, command: EncodedCommand) -> Verdict {
        let link = self.link_to(leader).ok_or(NOT_SENT)?;
        let (answer, answered) = oneshot::channel();
        // A closed queue means that the stream broke before this command was sent.
        if link.queue.send(Waiting { command, answer }).await.is_err() {
            return Err(NOT_SENT);
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => Err(ProposeError::unknown("the connection to the leader broke")),
            Err(_) => Err(ProposeError::unknown("the leader did not answer in time")),
        }
    }

    fn link_to(&self, leader: NodeId) -> Option<LeaderStream> {
        let mut link = self.link.lock();
        if let Some(open) = link.as_ref().filter(|l| l.leader == leader && !l.queue.is_closed()) {
            return Some(open.clone());
        }
        let address = self.members.address(leader)?;
        let channel = self.identity.connect(&address).ok()?;
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let stream = Outgoing {
            client: crate::network::client(channel),
            identity: self.identity.clone(),
            leader,
        };
        self.tasks.spawn(stream.run(Unsent::new(waiting)));
        let fresh = LeaderStream { leader, queue };
        *link = Some(fresh.clone());
        Some(fresh)
    }
}

/// Commands that are not sent yet. Dropping it answers them: they certainly had no effect.
struct Unsent {
    waiting: mpsc::Receiver<Waiting>,
    /// Command that did not fit into the last message.
    held_over: Option<Waiting>,
    gathered: Vec<Waiting>,
}

impl Unsent {
    fn new(waiting: mpsc::Receiver<Waiting>) -> Self {
        Self { waiting, held_over: None, gathered: Vec::new() }
    }

    /// Gathers waiting commands, as many as fit into one message, and waits for the first if there
    /// is none. Returns true if there will be more. Nothing is lost when the future is dropped.
    async fn gather(&mut self) -> bool {
        let mut budget = ByteBudget::new(BATCH_BYTES);
        let mut next = match self.held_over.take() {
            Some(held_over) => Some(held_over),
            None => self.waiting.recv().await,
        };
        while let Some(one) = next {
            if self.gathered.len() == GATHER_MAX || !budget.admits(one.command.bytes().len()) {
                self.held_over = Some(one);
                break;
            }
            self.gathered.push(one);
            next = self.waiting.try_recv().ok();
        }
        !self.gathered.is_empty()
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.waiting.close();
        let queued = std::iter::from_fn(|| self.waiting.try_recv().ok());
        for unsent in self.gathered.drain(..).chain(self.held_over.take()).chain(queued) {
            unsent.answer.send(Err(NOT_SENT)).ok();
        }
    }
}

/// One stream to one leader.
struct Outgoing {
    client: RaftServiceClient<Channel>,
    identity: PeerIdentity,
    leader: NodeId,
}

impl Outgoing {
    async fn run(mut self, mut unsent: Unsent) {
        let (messages, outgoing) = mpsc::channel(MESSAGES_MAX);
        let request = self.identity.sign(ReceiverStream::new(outgoing), self.leader);
        let mut answers = match self.client.propose(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                tracing::debug!(leader = %self.leader, %status, "cannot forward to the leader");
                return;
            }
        };

        let mut next_id = 0_u64;
        // Dropping it tells the waiting callers that the outcome is unknown.
        let mut sent = HashMap::new();
        loop {
            let has_message = !unsent.gathered.is_empty();
            tokio::select! {
                has_more = unsent.gather(), if !has_message => if !has_more { return },
                room = messages.reserve(), if has_message => {
                    let Ok(room) = room else { return };
                    let commands = mem::take(&mut unsent.gathered).into_iter().map(|one| {
                        next_id += 1;
                        sent.insert(next_id, one.answer);
                        v1::ForwardedCommand { id: next_id, command: one.command.bytes().clone() }
                    });
                    let commands = commands.collect();
                    room.send(v1::ProposeRequest { commands });
                }
                received = answers.message() => {
                    let Ok(Some(response)) = received else { return };
                    for answer in response.answers {
                        if let Some(caller) = sent.remove(&answer.id) {
                            caller.send(verdict_in(&answer)).ok();
                        }
                    }
                }
            }
        }
    }
}

/// Serves the leader's side of one stream: proposes incoming commands, and answers as entries are
/// applied.
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
                        pending.push(answer(Arc::clone(&local), forwarded));
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

async fn answer(local: Arc<LocalProposer>, forwarded: v1::ForwardedCommand) -> v1::ForwardedAnswer {
    let v1::ForwardedCommand { id, command } = forwarded;
    let verdict = local.propose_forwarded(command).await;
    // A verdict has an encoding of every level; an empty answer reads as unknown.
    let answer = codec::encode(&verdict, local.level()).map(Bytes::from).unwrap_or_default();
    v1::ForwardedAnswer { id, answer }
}

fn verdict_in(answer: &v1::ForwardedAnswer) -> Verdict {
    codec::decode::<Verdict>(&answer.answer)
        .unwrap_or_else(|_| Err(ProposeError::unknown("the leader's answer is malformed")))
}

#[cfg(test)]
mod tests {
    use cluster_state::{Command, Level, TaskId, Term, Tick};
    use futures_util::FutureExt;

    use super::*;

    /// Returns a command of about that many bytes.
    fn command(bytes: usize) -> EncodedCommand {
        let forget = vec![TaskId(0); bytes];
        EncodedCommand::new(&Command::Tick(Tick { term: Term(0), forget }), Level::FIRST).unwrap()
    }

    fn queue(sizes: &[usize]) -> (Unsent, Vec<oneshot::Receiver<Verdict>>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let callers = sizes.iter().map(|bytes| {
            let (answer, answered) = oneshot::channel();
            queue.try_send(Waiting { command: command(*bytes), answer }).unwrap();
            answered
        });
        let callers = callers.collect();
        (Unsent::new(waiting), callers)
    }

    fn messages(mut unsent: Unsent) -> Vec<usize> {
        let mut counts = Vec::new();
        while unsent.gather().now_or_never() == Some(true) {
            counts.push(mem::take(&mut unsent.gathered).len());
        }
        counts
    }

    #[test]
    fn commands_are_gathered_up_to_a_bound_in_bytes() {
        let half = BATCH_BYTES / 2;
        assert_eq!(messages(queue(&[1, 1, 1]).0), [3]);
        assert_eq!(messages(queue(&[half, half, half]).0), [1, 1, 1]);
        assert_eq!(messages(queue(&[1, half, 3 * half, 1, 1]).0), [2, 1, 2]);
        assert_eq!(messages(queue(&[1; GATHER_MAX + 1]).0), [GATHER_MAX, 1]);
    }

    #[test]
    fn what_was_not_sent_has_certainly_not_happened() {
        let half = BATCH_BYTES / 2;
        let (mut unsent, callers) = queue(&[half, half, 1]);
        assert_eq!(unsent.gather().now_or_never(), Some(true));
        drop(unsent);
        for mut caller in callers {
            assert_eq!(caller.try_recv().unwrap(), Err(NOT_SENT));
        }
    }
}
