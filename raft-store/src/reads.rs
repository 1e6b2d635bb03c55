//! Linearizable reads on any master: ask the leader for its committed index, wait until this master
//! has applied as much, then read locally.

use std::sync::Arc;
use std::time::Duration;

use cluster_state::{LogIndex, Term};
use openraft::ReadPolicy;
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::acks::Acks;
use crate::leadership::{Leadership, confirmed_age, leading_term};
use crate::log_node::NodeId;
use crate::membership::Members;
use crate::network::identity::PeerIdentity;
use crate::propose::{LEADER_WAIT, ProposeError, wait_for_news};
use crate::raft::Raft;
use crate::types::{AppliedAt, LogId};

/// Limit of one answer of the leader.
const READ_INDEX_TIMEOUT: Duration = Duration::from_secs(1);
/// Time that this master has to apply the entries that an answer needs.
const APPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of reads that wait for the next question to the leader. Each has a caller,
/// bounded by the edges.
const WAITING_MAX: usize = 4_096;

/// Position from which on local state is linearizable for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPoint {
    /// Index up to which the state is applied.
    pub index: LogIndex,
    /// Term of the leader that confirmed it.
    pub term: Term,
}

/// Reason that a linearizable read could not be answered. Reads change nothing and may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed it in time.
    #[error("the cluster has no leader")]
    NoLeader,
    /// This master is too far behind.
    #[error("this master is too far behind the leader")]
    Behind,
    /// This master is shutting down or has failed.
    #[error("this master is stopping")]
    Stopped,
}

type Answer = Result<ReadPoint, ReadError>;

/// A reader that waits for its answer.
#[derive(Debug)]
struct Reader {
    answer: oneshot::Sender<Answer>,
    /// Time at which it is refused if no leader has answered.
    until: Instant,
}

/// Readers that wait for an answer.
pub(crate) struct Readers(mpsc::Receiver<Reader>);

/// Admits readers: all that wait when a question is sent share its answer.
#[derive(Debug, Clone)]
pub(crate) struct ReadGate {
    waiting: mpsc::Sender<Reader>,
    applied: watch::Receiver<AppliedAt>,
    /// Cancelled when this master does not belong to the cluster any more.
    left: CancellationToken,
}

impl ReadGate {
    /// Creates a gate, and the readers behind it for [`Asker::run`].
    pub(crate) fn new(
        applied: watch::Receiver<AppliedAt>,
        left: CancellationToken,
    ) -> (Self, Readers) {
        let (waiting, readers) = mpsc::channel(WAITING_MAX);
        (Self { waiting, applied, left }, Readers(readers))
    }

    /// Waits until local state is linearizable for a reader that starts now.
    pub(crate) async fn linearize(&self) -> Answer {
        let (answer, answered) = oneshot::channel();
        let reader = Reader { answer, until: Instant::now() + LEADER_WAIT };
        self.waiting.send(reader).await.map_err(|_| ReadError::Stopped)?;
        let answered = tokio::select! {
            answered = answered => answered,
            () = self.left.cancelled() => return Err(ReadError::Stopped),
        };
        let point = answered.map_err(|_| ReadError::Stopped)??;
        let mut applied = self.applied.clone();
        let caught_up = applied.wait_for(|applied| applied.index >= point.index);
        match tokio::time::timeout(APPLY_TIMEOUT, caught_up).await {
            Ok(Ok(_)) => Ok(point),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::Behind),
        }
    }
}

/// Asks the leader, one question at a time.
pub(crate) struct Asker {
    pub(crate) raft: Raft,
    pub(crate) acks: Arc<Acks>,
    pub(crate) identity: PeerIdentity,
    pub(crate) members: Members,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl Asker {
    pub(crate) async fn run(self, readers: Readers, stop: CancellationToken) {
        let Readers(mut readers) = readers;
        let mut leadership = self.leadership.clone();
        let (mut batch, mut link) = (Vec::new(), None);
        loop {
            if batch.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    gathered = readers.recv_many(&mut batch, WAITING_MAX) => if gathered == 0 { return },
                }
            }
            // Readers that came while there was no leader wait no longer than those before them.
            while batch.len() < WAITING_MAX
                && let Ok(reader) = readers.try_recv()
            {
                batch.push(reader);
            }
            batch.retain(|reader| !reader.answer.is_closed());
            let Some(until) = batch.iter().map(|reader| reader.until).min() else { continue };

            // Every reader in the batch came before the question, so the answer holds for each.
            let seen = *leadership.borrow_and_update();
            let point = tokio::select! {
                () = stop.cancelled() => return,
                // A leader that hands over lets the question wait, and its successor answers at once.
                changed = leadership.changed() => if changed.is_ok() { continue } else { return },
                point = self.ask_whoever_leads(&mut link, seen) => point,
            };
            if let Some(point) = point {
                for reader in batch.drain(..) {
                    reader.answer.send(Ok(point)).ok();
                }
                continue;
            }
            let news = tokio::select! {
                () = stop.cancelled() => return,
                news = wait_for_news(&mut leadership, until) => news,
            };
            match news {
                Ok(()) => {}
                Err(ProposeError::Stopped) => return,
                Err(_) => {
                    let now = Instant::now();
                    for reader in batch.extract_if(.., |reader| reader.until <= now) {
                        reader.answer.send(Err(ReadError::NoLeader)).ok();
                    }
                }
            }
        }
    }

    async fn ask_whoever_leads(
        &self,
        link: &mut Option<LeaderConnection>,
        leadership: Leadership,
    ) -> Option<ReadPoint> {
        match leadership {
            Leadership::Leading { .. } => confirm(&self.raft, &self.acks).await,
            Leadership::Following { node, term, .. } => self.ask(link, node, term).await,
            Leadership::Leaderless { .. } => None,
        }
    }

    async fn ask(
        &self,
        link: &mut Option<LeaderConnection>,
        leader: NodeId,
        term: Term,
    ) -> Option<ReadPoint> {
        let address = self.members.address(leader)?;
        if link.as_ref().is_none_or(|open| open.leader != leader || open.address != address) {
            let channel = self.identity.connect(&address).ok()?;
            let client = crate::network::client(channel);
            *link = Some(LeaderConnection { leader, address, client });
        }
        let client = &mut link.as_mut()?.client;
        let question = self.identity.sign(v1::ReadIndexRequest {}, leader);
        let answer = tokio::time::timeout(READ_INDEX_TIMEOUT, client.read_index(question)).await;
        let point = answer.ok()?.ok()?.into_inner();
        Some(ReadPoint { index: LogIndex(point.index), term: Term(point.term).max(term) })
    }
}

/// Client of the leader that was asked last.
struct LeaderConnection {
    leader: NodeId,
    /// Address for which it was made: the leader may have moved.
    address: String,
    client: RaftServiceClient<Channel>,
}

/// A question to the quorum: does this master still lead in the term in which it asks?
///
/// A leader that sleeps may be deposed and elected again in the meantime. The answers of the later
/// term do not confirm the index that was committed in this one.
#[derive(Debug, Clone, Copy)]
struct Question {
    term: Term,
    asked_at: Instant,
}

impl Question {
    /// Returns true if the quorum's confirmation of its term is no older than the question.
    fn is_answered(&self, confirmed_age: impl Fn(Term) -> Option<Duration>) -> bool {
        confirmed_age(self.term).is_some_and(|age| age <= self.asked_at.elapsed())
    }

    /// Returns the index that was committed at the time of the question; none if a later term has
    /// written it.
    fn point(&self, read: &LogId) -> Option<ReadPoint> {
        let term = Term(read.leader_id.term);
        (term <= self.term).then_some(ReadPoint { index: LogIndex(read.index), term })
    }
}

/// Confirms with a quorum that this master still leads, and returns the index that was committed
/// when it did.
///
/// openraft's word is not enough: it may take an answer from before this master was frozen for one
/// to a later request, see [`crate::acks`].
pub(crate) async fn confirm(raft: &Raft, acks: &Acks) -> Option<ReadPoint> {
    let question = Question { term: leading_term(raft)?, asked_at: Instant::now() };
    let confirmed = async {
        let linearizer = raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
        acks.until(|| question.is_answered(|term| confirmed_age(raft, acks, term))).await;
        Some(linearizer)
    };
    let linearizer = tokio::time::timeout(READ_INDEX_TIMEOUT, confirmed).await.ok()??;
    question.point(linearizer.read_log_id().log_id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acks::Unanswered;
    use crate::types::log_id;

    #[tokio::test(start_paused = true)]
    async fn a_question_is_answered_in_the_term_that_it_was_asked_in() {
        let acks = Arc::new(Acks::default());
        let age = |term: Term| {
            acks.quorum_age(NodeId(1), term.0, &[[1, 2, 3].map(NodeId).into()], Instant::now())
        };
        let answer_in = |term| {
            let stream = Unanswered::new(Arc::clone(&acks), NodeId(2));
            stream.on_request(term, Instant::now());
            stream.on_obeyed();
        };
        answer_in(5);
        tokio::time::advance(Duration::from_secs(1)).await;
        let question = Question { term: Term(5), asked_at: Instant::now() };
        assert!(!question.is_answered(age), "what was sent before does not count");

        // Deposed in term 6, and elected again.
        answer_in(7);
        assert!(!question.is_answered(age));
        let later = Question { term: Term(7), ..question };
        assert!(later.is_answered(age));

        let at = |term| log_id(Term(term), LogIndex(9));
        assert_eq!(question.point(&at(6)), None);
        let point = ReadPoint { index: LogIndex(9), term: Term(5) };
        assert_eq!(question.point(&at(5)), Some(point));
    }
}
