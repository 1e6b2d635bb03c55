//! Brings commands into the log, from any master.

pub(crate) mod forward;
pub(crate) mod local;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster_state::{Command, Level, LogIndex, MasterId, Rejection, Reply, Term};
use proto::limits::COMMAND_BYTES_MAX;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::forward::Forwarder;
use self::local::{EncodedCommand, LocalProposer};
use crate::leadership::Leadership;

/// Time that a write or read waits for a leader: several elections.
pub(crate) const LEADER_WAIT: Duration = Duration::from_secs(5);
/// Time after which the outcome of a proposal is unknown: a leader without a quorum answers as soon
/// as one that is gone.
const COMMIT_TIMEOUT: Duration = LEADER_WAIT;
/// Time for which a pending attempt may go on after that wait.
const LAST_ATTEMPT: Duration = Duration::from_secs(1);

/// Bounds of the commands that are pending on one master; beyond them callers are told to come
/// back.
#[derive(Debug, Clone, Copy)]
pub struct ProposalBounds {
    /// Number of commands.
    pub commands: usize,
    /// Bytes of encoded commands.
    pub bytes: usize,
    /// Bytes of one encoded command.
    pub command_bytes: usize,
    /// Bytes that must be free on the disk of this master, or it is short of room: the leader takes new
    /// tasks only while it and a quorum have room, and commands that make room always.
    pub disk_free_min: u64,
}

impl Default for ProposalBounds {
    fn default() -> Self {
        Self {
            commands: 16_384,
            bytes: 256 << 20,
            command_bytes: COMMAND_BYTES_MAX,
            disk_free_min: 0,
        }
    }
}

/// A command that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Index in the log.
    pub index: LogIndex,
    pub reply: Reply,
}

/// Reason that a command did not take effect, as far as can be known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ProposeError {
    /// The state machine refused; nothing has changed.
    #[error("{rejection}")]
    Rejected {
        rejection: Rejection,
        /// Index of the verdict in the log.
        index: LogIndex,
    },
    /// No leader was found in time; nothing has changed.
    #[error("the cluster has no leader")]
    NoLeader,
    /// This master does not lead, and the caller asked only this one; nothing has changed.
    #[error("this master does not lead")]
    NotLeader {
        /// Never named: it keeps its place in the encoding of release 0.2.0.
        leader: Option<MasterId>,
    },
    /// Too many proposals are pending; nothing has changed.
    #[error("too many proposals are pending")]
    Overloaded,
    /// The command is larger than a log entry may be; nothing has changed.
    #[error("the command has {bytes} bytes, at most {max} are allowed")]
    TooLarge { bytes: u64, max: u64 },
    /// A disk is nearly full, and this command would add to it; nothing has changed. Said in a cluster of
    /// level 1.
    #[error(
        "a disk that new tasks need has {free} bytes left, below limits.disk_free_min: \
         no new tasks until there is room"
    )]
    DiskFull { free: u64 },
    /// It may or may not take effect, and the cluster has no leader now.
    #[error("the leader was lost on the way: the outcome is unknown")]
    LeaderLost,
    /// It may or may not take effect: the leader was lost on the way, or did not answer in time.
    #[error("the outcome is unknown: {detail}")]
    Unknown { detail: Arc<str> },
    /// Some master may be unable to read or apply it yet; nothing has changed.
    #[error(
        "this needs feature level {needed}, and the cluster has level {cluster}: it rises when all \
         masters run a release that knows the next one"
    )]
    BelowLevel {
        /// Level that the command needs.
        needed: Level,
        /// Level of the cluster.
        cluster: Level,
    },
    /// The leader runs a release that does not know the command; nothing has changed.
    #[error("the command needs feature level {needed}, and the leader knows levels up to {known}")]
    NewerLevel {
        /// Level that the command needs.
        needed: Level,
        /// Highest level that the leader knows.
        known: Level,
    },
    /// The leader could not read the command; nothing has changed.
    #[error("the leader could not read the command: {detail}")]
    Unreadable { detail: Arc<str> },
    /// This master is shutting down or has failed; nothing has changed.
    #[error("this master is stopping")]
    Stopped,
    /// The disk of a master is nearly full, and this command would add to it; nothing has changed.
    #[error(
        "the disk of master {master} has {free} bytes left, below its limits.disk_free_min: \
         no new tasks until there is room"
    )]
    NoRoom {
        /// The master; it leads, or a quorum needs it.
        master: MasterId,
        /// Bytes that are free.
        free: u64,
    },
}

impl ProposeError {
    /// Returns true if it is certain that nothing has changed.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::LeaderLost)
    }

    fn unknown(detail: &str) -> Self {
        Self::Unknown { detail: detail.into() }
    }
}

/// A leader's answer to a command, its own or a forwarded one.
pub(crate) type Verdict = Result<(LogIndex, Reply), ProposeError>;

crate::codec::versioned! { Verdict = 11, }

/// Observer of each command's time from its proposal to its application here.
pub type CommitObserver = Arc<dyn Fn(Duration) + Send + Sync>;

/// Proposes on the leader, wherever it is.
pub(crate) struct Proposer {
    pub(crate) local: Arc<LocalProposer>,
    pub(crate) forwarder: Forwarder,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// Cancelled when this master does not belong to the cluster any more.
    pub(crate) left: CancellationToken,
    pub(crate) observer: OnceLock<CommitObserver>,
}

impl fmt::Debug for Proposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposer").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Proposer {
    /// Proposes through the leader, and waits for one if there is none.
    pub(crate) async fn propose(&self, command: &Command) -> Result<Committed, ProposeError> {
        self.observed(self.route(command)).await
    }

    async fn observed(
        &self,
        proposal: impl Future<Output = Result<Committed, ProposeError>>,
    ) -> Result<Committed, ProposeError> {
        let began_at = Instant::now();
        let committed = proposal.await?;
        if let Some(observe) = self.observer.get() {
            observe(began_at.elapsed());
        }
        Ok(committed)
    }

    async fn route(&self, command: &Command) -> Result<Committed, ProposeError> {
        let is_repeatable = is_repeatable(command);
        let command = EncodedCommand::new(command, self.local.level())?;
        let _admission = self.local.admit(&command)?;
        let deadline = Instant::now() + LEADER_WAIT;
        let mut leadership = self.leadership.clone();
        let mut is_ambiguous = false;

        loop {
            let seen = *leadership.borrow_and_update();
            let attempt = async {
                match seen {
                    Leadership::Leading { .. } => self.local.append(command.clone(), None).await,
                    Leadership::Following { node, .. } => {
                        self.forwarder.propose(node, command.clone()).await
                    }
                    Leadership::Leaderless { .. } => Err(ProposeError::NotLeader { leader: None }),
                }
            };

            // An attempt that begins late does not delay the caller for its whole timeout.
            let verdict = tokio::time::timeout_at(deadline + LAST_ATTEMPT, attempt)
                .await
                .unwrap_or_else(|_| Err(ProposeError::unknown("not answered in time")));

            match verdict {
                // Certain that nothing was appended: the next leader may have it.
                Err(ProposeError::NotLeader { .. }) => {}
                Err(ProposeError::Unknown { .. }) if is_repeatable => is_ambiguous = true,
                Ok((index, reply)) => return Ok(Committed { index, reply }),
                Err(error) => return Err(self.final_error(error, is_ambiguous)),
            }

            let news = tokio::select! {
                news = wait_for_news(&mut leadership, deadline) => news,
                // It hears of no leader any more.
                () = self.left.cancelled() => Err(ProposeError::Stopped),
            };
            if let Err(error) = news {
                return Err(self.final_error(error, is_ambiguous));
            }
        }
    }

    /// Turns the last failure into the answer, given the attempts before it.
    fn final_error(&self, error: ProposeError, is_ambiguous: bool) -> ProposeError {
        let is_unknown = matches!(error, ProposeError::Unknown { .. });
        let is_verdict = matches!(error, ProposeError::Rejected { .. });
        let is_leaderless = matches!(*self.leadership.borrow(), Leadership::Leaderless { .. });
        if !is_unknown && (is_verdict || !is_ambiguous) {
            return error;
        }
        if is_leaderless {
            return ProposeError::LeaderLost;
        }
        if is_unknown { error } else { ProposeError::unknown(&error.to_string()) }
    }

    /// Proposes if this master leads in `term`, and fails at once otherwise: for duties, which
    /// belong to one term of leadership.
    pub(crate) async fn propose_as_leader(
        &self,
        term: Term,
        command: &Command,
    ) -> Result<Committed, ProposeError> {
        if *self.leadership.borrow() != (Leadership::Leading { term }) {
            return Err(ProposeError::NotLeader { leader: None });
        }
        let command = EncodedCommand::new(command, self.local.level())?;
        let _admission = self.local.admit(&command)?;
        self.observed(async {
            let (index, reply) = self.local.append(command, Some(term)).await?;
            Ok(Committed { index, reply })
        })
        .await
    }
}

/// Returns true if the command may be proposed again after a lost answer.
///
/// It is not enough that a second time changes nothing: between the two, another client may have
/// been told that the opposite is done, and the second time would undo it. Only a submission's key
/// remembers that it was done.
fn is_repeatable(command: &Command) -> bool {
    match command.itself() {
        Command::SubmitTasks(submission) => submission.idempotency_key.is_some(),
        Command::RunSchedule(order) => order.idempotency_key.is_some(),
        Command::SubmitGraph(graph) => graph.idempotency_key.is_some(),
        Command::RegisterWorker(_)
        | Command::LabelWorker(_)
        | Command::AcknowledgeMassLoss
        | Command::SetScheduling(_)
        | Command::BeginTerm(_)
        | Command::UnregisterWorker(_)
        | Command::ConnectWorker(_)
        | Command::DisconnectWorkers(_)
        | Command::AssignTasks(_)
        | Command::AssignAhead(_)
        | Command::HoldAttempts(_)
        | Command::StartAttempts(_)
        | Command::FinishAttempts(_)
        | Command::CancelTask(_)
        | Command::RetryTask(_)
        | Command::StartJob(_)
        | Command::AdvanceJob(_)
        | Command::RequeueAttempts(_)
        | Command::ForgetDeparted(_)
        | Command::CreateToken(_)
        | Command::RevokeToken(_)
        | Command::RaiseMassLoss(_)
        | Command::EndMassLoss(_)
        | Command::NoteRival(_)
        | Command::ChangeHealth(_)
        | Command::RaiseLevel(_)
        | Command::SeedSettings(_)
        | Command::SetSettings(_)
        | Command::CreateUserToken(_)
        | Command::RevokeUserToken(_)
        | Command::DropOrphans(_)
        | Command::NoteOrder(_)
        | Command::PruneTrail(_)
        | Command::Ordered(_)
        | Command::AdoptIssuer(_)
        | Command::IssueCertificate(_)
        | Command::RevokeCertificates(_)
        | Command::ForgetWorker(_)
        | Command::RotateAuthority(_)
        | Command::PutSchedule(_)
        | Command::DeleteSchedule(_)
        | Command::PauseSchedule(_)
        | Command::AdvanceSchedules(_)
        | Command::PutQueue(_)
        | Command::PauseQueue(_)
        | Command::DeleteQueue(_)
        | Command::Tick(_) => false,
    }
}

/// Pause before the same leader is asked again, when nothing new is heard: its refusal may have
/// crossed with its election.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Waits for another view of the leadership.
pub(crate) async fn wait_for_news(
    leadership: &mut watch::Receiver<Leadership>,
    deadline: Instant,
) -> Result<(), ProposeError> {
    let now = Instant::now();
    if now >= deadline {
        return Err(ProposeError::NoLeader);
    }
    let is_leaderless = matches!(*leadership.borrow(), Leadership::Leaderless { .. });
    let until = if is_leaderless { deadline } else { deadline.min(now + ASK_AGAIN) };
    match tokio::time::timeout_at(until, leadership.changed()).await {
        Ok(Err(_)) => Err(ProposeError::Stopped),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cluster_state::{IdempotencyKey, LabelWorker, SubmitTasks};

    use super::*;

    #[test]
    fn only_a_keyed_submission_is_proposed_again() {
        let worker = "w1".parse().unwrap();
        let labels = BTreeMap::new();
        let label = Command::LabelWorker(LabelWorker { worker, set: labels, remove: Vec::new() });
        assert!(!is_repeatable(&label));
        let keyed =
            |key| Command::SubmitTasks(SubmitTasks { tasks: Vec::new(), idempotency_key: key });
        assert!(!is_repeatable(&keyed(None)));
        let key = IdempotencyKey { key: "k".into(), fingerprint: 1 };
        assert!(is_repeatable(&keyed(Some(key))));
    }
}
