//! Relays heartbeats: a follower gathers those that workers send to it and passes them on to the
//! leader, one call at a time, so that the leader bears one call and not one connection each.

use std::time::Duration;

use prost::Message;
use proto::problem::{ErrorKind, Problem};
use proto::v1;
use raft_store::{Leadership, Node};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::LeaderPeer;
use crate::leader::WorkerSessions;
use crate::leader::sessions::Relayed;
use crate::refusal;

/// Time for which the first heartbeat of a call waits for others: the leader is called at most a hundred
/// times a second, however many workers there are.
const GATHERING: Duration = Duration::from_millis(10);
/// Heartbeats in one call, some 200 bytes each.
const BATCH_COUNT_MAX: usize = 2_000;
/// Heartbeats that may wait.
const WAITING_COUNT_MAX: usize = 20_000;
/// Largest heartbeat of a worker on the wire: three ids and some numbers.
const HEARTBEAT_BYTES_MAX: usize = 1_024;
/// Longest time of one call, elections included: less than the three seconds after which a worker
/// tries another way. A heartbeat that waits for the next call meanwhile may come too late; its
/// worker does not wait for it then.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two calls to a leader that does not answer, unless another one is elected.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

type Verdict = Result<v1::HeartbeatResponse, Problem>;

/// Queue of heartbeats to pass on. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct HeartbeatRelay {
    waiting: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    heartbeat: v1::HeartbeatRequest,
    verdict: oneshot::Sender<Verdict>,
}

/// Passes on the heartbeats in the queue.
#[derive(Debug)]
pub(crate) struct RelayLoop {
    waiting: mpsc::Receiver<Waiting>,
    node: Node,
    leader: LeaderPeer,
    sessions: WorkerSessions,
}

/// Result of one call.
struct Batch {
    leader: Option<v1::LeaderHeader>,
    masters: Vec<v1::MasterAddress>,
    relays: Vec<String>,
    verdicts: Vec<Result<bool, Problem>>,
}

impl HeartbeatRelay {
    /// Returns a queue, and the loop that empties it.
    pub(crate) fn new(
        node: Node,
        leader: LeaderPeer,
        sessions: WorkerSessions,
    ) -> (Self, RelayLoop) {
        let (sender, waiting) = mpsc::channel(WAITING_COUNT_MAX);
        (Self { waiting: sender }, RelayLoop { waiting, node, leader, sessions })
    }

    /// Passes a heartbeat on with the next call, and waits for the leader's verdict.
    pub(crate) async fn send(&self, heartbeat: v1::HeartbeatRequest) -> Verdict {
        if heartbeat.encoded_len() > HEARTBEAT_BYTES_MAX {
            // It would be others' heartbeats that find no room beside it.
            return Err(Problem::new(ErrorKind::TooLarge, "the heartbeat is too large"));
        }
        let (verdict, answered) = oneshot::channel();
        match self.waiting.try_send(Waiting { heartbeat, verdict }) {
            // An error of the channel drops the sender of the verdict, so that nobody waits.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                let detail = "too many heartbeats wait for the leader";
                return Err(Problem::new(ErrorKind::Overloaded, detail));
            }
        }
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl RelayLoop {
    /// Runs until the master stops; what waits then is refused, so that workers turn to others.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let relaying = async {
            while let Some(batch) = self.gather().await {
                self.pass_on(batch).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = relaying => {}
        }
    }

    /// Returns the heartbeats that wait and those that come within a moment; nothing once every queue
    /// is dropped.
    async fn gather(&mut self) -> Option<Vec<Waiting>> {
        let mut batch = vec![self.waiting.recv().await?];
        sleep(GATHERING).await;
        while batch.len() < BATCH_COUNT_MAX
            && let Ok(next) = self.waiting.try_recv()
        {
            batch.push(next);
        }
        // Workers that have given up have found another way.
        batch.retain(|waiting| !waiting.verdict.is_closed());
        Some(batch)
    }

    async fn pass_on(&self, batch: Vec<Waiting>) {
        if batch.is_empty() {
            return;
        }

        let (heartbeats, verdicts): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|one| (one.heartbeat, one.verdict)).unzip();
        let answered = match timeout(PATIENCE, self.ask(&heartbeats)).await {
            Ok(answered) => answered,
            Err(_) => Err(Problem::new(ErrorKind::Timeout, "the leader did not answer in time")),
        };

        match answered {
            Ok(Batch { leader, masters, relays, verdicts: answers }) => {
                for (waiting, answer) in verdicts.into_iter().zip(answers) {
                    let response = |register_again| v1::HeartbeatResponse {
                        leader: leader.clone(),
                        masters: masters.clone(),
                        relays: relays.clone(),
                        register_again,
                        ..v1::HeartbeatResponse::default()
                    };
                    // A worker that has given up does not listen any more.
                    waiting.send(answer.map(response)).ok();
                }
            }
            Err(problem) => {
                for waiting in verdicts {
                    waiting.send(Err(problem.clone())).ok();
                }
            }
        }
    }

    /// Asks the leader, and its successor when leadership moves meanwhile: a heartbeat that arrives
    /// twice counts once.
    async fn ask(&self, heartbeats: &[v1::HeartbeatRequest]) -> Result<Batch, Problem> {
        let mut leadership = self.node.leadership();
        loop {
            let now = *leadership.borrow_and_update();
            let answered = match now {
                Leadership::Leading { .. } => {
                    let relayed = self.sessions.relayed(heartbeats).await;
                    relayed.map(Batch::from).map_err(|error| refusal::of_session(&error))
                }
                Leadership::Following { .. } => tokio::select! {
                    answered = self.leader.relay_heartbeats(heartbeats.to_vec()) => {
                        answered.and_then(|answer| Batch::read(answer, heartbeats.len()))
                    }
                    changed = leadership.changed() => {
                        changed.map_err(|_| stopped())?;
                        continue;
                    }
                },
                Leadership::Leaderless { .. } => {
                    leadership.changed().await.map_err(|_| stopped())?;
                    continue;
                }
            };

            match answered {
                Err(problem)
                    if matches!(problem.kind, ErrorKind::NoLeader | ErrorKind::NotLeader) =>
                {
                    let changed = timeout(RETRY_PAUSE, leadership.changed()).await;
                    if matches!(changed, Ok(Err(_))) {
                        return Err(stopped());
                    }
                }
                settled => return settled,
            }
        }
    }
}

fn stopped() -> Problem {
    Problem::new(ErrorKind::NoLeader, "this master is shutting down")
}

impl Batch {
    fn read(answer: v1::RelayHeartbeatsResponse, count: usize) -> Result<Self, Problem> {
        let v1::RelayHeartbeatsResponse { leader, masters, verdicts, relays } = answer;
        if verdicts.len() != count {
            let detail = format!("{count} heartbeats got {} verdicts", verdicts.len());
            return Err(Problem::new(ErrorKind::Internal, detail));
        }
        let verdicts = verdicts.into_iter().map(|verdict| match verdict.error_kind.as_str() {
            "" => Ok(verdict.register_again),
            kind => {
                let kind = ErrorKind::named(kind).unwrap_or(ErrorKind::Internal);
                Err(Problem::new(kind, verdict.detail))
            }
        });
        Ok(Self { verdicts: verdicts.collect(), leader, masters, relays })
    }
}

impl From<Relayed> for Batch {
    fn from(relayed: Relayed) -> Self {
        let Relayed { leader, masters, relays, verdicts } = relayed;
        let problem =
            |verdict: Result<bool, _>| verdict.map_err(|error| refusal::of_session(&error));
        Self { leader, masters, relays, verdicts: verdicts.into_iter().map(problem).collect() }
    }
}

/// Returns a leader's answer to the follower that relays.
pub(crate) fn relayed_response(relayed: Relayed) -> v1::RelayHeartbeatsResponse {
    let Batch { leader, masters, relays, verdicts } = Batch::from(relayed);
    let verdicts = verdicts.into_iter().map(|verdict| match verdict {
        Ok(register_again) => {
            v1::HeartbeatVerdict { register_again, ..v1::HeartbeatVerdict::default() }
        }
        Err(problem) => v1::HeartbeatVerdict {
            register_again: false,
            error_kind: problem.kind.name().to_owned(),
            detail: problem.detail,
        },
    });
    v1::RelayHeartbeatsResponse { verdicts: verdicts.collect(), leader, masters, relays }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::sessions::SessionError;

    #[test]
    fn verdicts_read_back_as_they_were_given() {
        let refused = SessionError::NotLeading;
        let relayed = Relayed {
            leader: None,
            masters: Vec::new(),
            relays: vec!["m2:1".to_owned()],
            verdicts: vec![Ok(false), Ok(true), Err(refused.clone())],
        };
        let read = Batch::read(relayed_response(relayed), 3).unwrap();
        assert_eq!(read.relays, ["m2:1"]);
        assert_eq!(read.verdicts, [Ok(false), Ok(true), Err(refusal::of_session(&refused))]);
    }

    fn relay(room: usize) -> (HeartbeatRelay, mpsc::Receiver<Waiting>) {
        let (sender, waiting) = mpsc::channel(room);
        (HeartbeatRelay { waiting: sender }, waiting)
    }

    async fn refused(relay: &HeartbeatRelay, heartbeat: v1::HeartbeatRequest) -> ErrorKind {
        relay.send(heartbeat).await.unwrap_err().kind
    }

    #[tokio::test]
    async fn a_heartbeat_that_cannot_wait_is_refused_at_once() {
        let (relay, waiting) = relay(1);
        let (verdict, _answered) = oneshot::channel();
        let heartbeat = v1::HeartbeatRequest::default();
        relay.waiting.try_send(Waiting { heartbeat: heartbeat.clone(), verdict }).unwrap();
        assert_eq!(refused(&relay, heartbeat.clone()).await, ErrorKind::Overloaded);

        drop(waiting);
        assert_eq!(refused(&relay, heartbeat).await, ErrorKind::NoLeader);
    }

    #[tokio::test]
    async fn a_heartbeat_that_leaves_others_no_room_is_refused() {
        let (relay, _waiting) = relay(1);
        let worker_id = "w".repeat(HEARTBEAT_BYTES_MAX);
        let heartbeat = v1::HeartbeatRequest { worker_id, ..v1::HeartbeatRequest::default() };
        assert_eq!(refused(&relay, heartbeat).await, ErrorKind::TooLarge);
    }

    #[test]
    fn an_answer_of_another_length_is_no_answer() {
        let answer = v1::RelayHeartbeatsResponse::default();
        assert_eq!(Batch::read(answer, 1).err().unwrap().kind, ErrorKind::Internal);
    }
}
