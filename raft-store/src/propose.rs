//! Getting commands into the log, from whichever master a client reached.

pub(crate) mod forward;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster_state::{Command, LogIndex, MasterId, Rejection, Reply, Term};
use openraft::errors::{ClientWriteError, RaftError};
use proto::limits::COMMAND_BYTES_MAX;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use self::forward::Forwarder;
use crate::clock::Clock;
use crate::codec::{self, CodecError};
use crate::disk_space::DiskSpace;
use crate::leadership::Leadership;
use crate::node::Raft;
use crate::types::Payload;

/// How long a write or read waits for a leader: several elections.
pub(crate) const LEADER_WAIT: Duration = Duration::from_secs(5);
/// How long a proposal may take before its outcome is called unknown: a leader without a quorum
/// answers as soon as one that is not there.
const COMMIT_TIMEOUT: Duration = LEADER_WAIT;

/// Bounds of what is under way at once on one master; beyond them callers are told to come back.
#[derive(Debug, Clone, Copy)]
pub struct ProposalBounds {
    /// Commands.
    pub commands: usize,
    /// Bytes of encoded commands.
    pub bytes: usize,
    /// Bytes of one encoded command.
    pub command_bytes: usize,
    /// Bytes that must be free on the leader's disk for new tasks; what makes room goes on below.
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
    /// Its position in the log.
    pub index: LogIndex,
    /// What it achieved.
    pub reply: Reply,
}

/// Why a command did not take effect, as far as can be known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ProposeError {
    /// The state machine refused; nothing has changed.
    #[error("{rejection}")]
    Rejected {
        /// Its verdict.
        rejection: Rejection,
        /// Where the verdict stands in the log.
        index: LogIndex,
    },
    /// No leader was found in time; nothing has changed.
    #[error("the cluster has no leader")]
    NoLeader,
    /// This master does not lead, and the caller asked only this one; nothing has changed.
    #[error("this master does not lead")]
    NotLeader {
        /// Who does, if known.
        leader: Option<MasterId>,
    },
    /// Too much is under way; nothing has changed.
    #[error("too many proposals are under way")]
    Overloaded,
    /// The command is larger than a log entry may be; nothing has changed.
    #[error("the command has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// The leader's disk is nearly full, and this would add to it; nothing has changed.
    #[error(
        "the leader's disk has {free} bytes left, below limits.disk_free_min: \
         no new tasks until there is room"
    )]
    DiskFull {
        /// What is left.
        free: u64,
    },
    /// It may or may not take effect, and the cluster has no leader now.
    #[error("the leader was lost on the way: the outcome is unknown")]
    LeaderLost,
    /// It may or may not take effect: the leader was lost on the way, or did not answer in time.
    #[error("the outcome is unknown: {detail}")]
    Unknown {
        /// What happened.
        detail: Arc<str>,
    },
    /// This master is shutting down or has failed; nothing has changed.
    #[error("this master is stopping")]
    Stopped,
}

impl ProposeError {
    /// Whether it is certain that nothing has changed.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::LeaderLost)
    }

    fn unknown(detail: &str) -> Self {
        Self::Unknown { detail: detail.into() }
    }
}

/// What a leader answers to a command, its own or a forwarded one.
pub(crate) type Verdict = Result<(LogIndex, Reply), ProposeError>;

/// A command in the form it has in the log, but for the leader's stamp.
#[derive(Debug, Clone)]
pub(crate) struct EncodedCommand(pub(crate) Bytes);

impl EncodedCommand {
    fn new(command: &Command) -> Result<Self, CodecError> {
        Ok(Self(codec::encode_command(command)?))
    }
}

/// Proposes to this master's Raft, bounded.
#[derive(Debug)]
pub(crate) struct LocalProposer {
    raft: Raft,
    clock: Clock,
    bounds: ProposalBounds,
    space: DiskSpace,
    commands: Semaphore,
    /// In KiB, because a semaphore counts in 32 bits.
    kibibytes: Semaphore,
}

impl LocalProposer {
    pub(crate) fn new(raft: Raft, clock: Clock, bounds: ProposalBounds, space: DiskSpace) -> Self {
        Self {
            raft,
            clock,
            bounds,
            space,
            commands: Semaphore::new(bounds.commands),
            kibibytes: Semaphore::new(bounds.bytes.div_ceil(1 << 10)),
        }
    }

    /// Stamps, proposes and waits until the command is applied. Only the leader can.
    ///
    /// Entries enter the log in the order in which these futures are first polled.
    pub(crate) async fn propose(&self, command: EncodedCommand) -> Verdict {
        let _permits = self.admit(&command)?;
        self.check_room(&command)?;
        let stamped = codec::stamp(self.clock.now(), &command.0);
        let written = self.raft.client_write(Payload(stamped));
        let written = match tokio::time::timeout(COMMIT_TIMEOUT, written).await {
            Ok(written) => written,
            Err(_) => return Err(ProposeError::unknown("not committed in time")),
        };
        match written {
            Ok(written) => {
                let index = LogIndex(written.log_id.index);
                match written.data.0 {
                    Some(Ok(reply)) => Ok((index, reply)),
                    Some(Err(rejection)) => Err(ProposeError::Rejected { rejection, index }),
                    // Only entries of Raft's own have no outcome.
                    None => Err(ProposeError::unknown("the entry has no outcome")),
                }
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(other))) => {
                Err(ProposeError::NotLeader { leader: other.leader_id.map(MasterId) })
            }
            Err(RaftError::APIError(error)) => Err(ProposeError::unknown(&error.to_string())),
            Err(RaftError::Fatal(error)) => Err(ProposeError::unknown(&error.to_string())),
        }
    }

    /// Refuses new tasks while the disk is nearly full. What ends tasks, or lets the log be purged,
    /// makes room and goes on.
    fn check_room(&self, command: &EncodedCommand) -> Result<(), ProposeError> {
        match self.space.free_bytes() {
            Some(free) if free < self.bounds.disk_free_min && codec::adds_tasks(&command.0) => {
                Err(ProposeError::DiskFull { free })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn admit(
        &self,
        command: &EncodedCommand,
    ) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), ProposeError> {
        let bytes = command.0.len();
        if bytes > self.bounds.command_bytes {
            let as_u64 = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
            return Err(ProposeError::TooLarge {
                bytes: as_u64(bytes),
                max: as_u64(self.bounds.command_bytes),
            });
        }
        let kibibytes = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let count = self.commands.try_acquire().map_err(|_| ProposeError::Overloaded)?;
        let size =
            self.kibibytes.try_acquire_many(kibibytes).map_err(|_| ProposeError::Overloaded)?;
        Ok((count, size))
    }
}

/// Proposes wherever the leader is.
#[derive(Debug)]
pub(crate) struct Proposer {
    pub(crate) local: Arc<LocalProposer>,
    pub(crate) forwarder: Forwarder,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl Proposer {
    /// Proposes through the leader, waiting for one if there is none.
    pub(crate) async fn propose(&self, command: &Command) -> Result<Committed, ProposeError> {
        let is_repeatable = is_repeatable(command);
        let command = encode(command)?;
        let deadline = Instant::now() + LEADER_WAIT;
        let mut leadership = self.leadership.clone();
        let mut is_ambiguous = false;
        loop {
            let seen = *leadership.borrow_and_update();
            let verdict = match seen {
                Leadership::Leading { .. } => self.local.propose(command.clone()).await,
                Leadership::Following { leader, .. } => {
                    self.forwarder.propose(leader, command.clone()).await
                }
                Leadership::Leaderless { .. } => Err(ProposeError::NotLeader { leader: None }),
            };
            match verdict {
                // Certain that nothing was appended: the next leader may have it.
                Err(ProposeError::NotLeader { .. }) => {}
                Err(ProposeError::Unknown { .. }) if is_repeatable => is_ambiguous = true,
                Ok((index, reply)) => return Ok(Committed { index, reply }),
                Err(error) => return Err(self.settle(error, is_ambiguous)),
            }
            if let Err(error) = wait_for_news(&mut leadership, deadline).await {
                return Err(self.settle(error, is_ambiguous));
            }
        }
    }

    /// What the last failure means after all that was tried.
    fn settle(&self, error: ProposeError, is_ambiguous: bool) -> ProposeError {
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

    /// Proposes if this master leads in `term`, else fails at once: for duties, which belong to
    /// one term of leadership.
    pub(crate) async fn propose_as_leader(
        &self,
        term: Term,
        command: &Command,
    ) -> Result<Committed, ProposeError> {
        if *self.leadership.borrow() != (Leadership::Leading { term }) {
            return Err(ProposeError::NotLeader { leader: None });
        }
        let (index, reply) = self.local.propose(encode(command)?).await?;
        Ok(Committed { index, reply })
    }
}

/// Whether a second time has no further effect and is answered as the first: then a lost answer is
/// fetched by asking again.
fn is_repeatable(command: &Command) -> bool {
    match command {
        Command::SubmitTasks(submission) => submission.idempotency_key.is_some(),
        Command::RegisterWorker(_)
        | Command::LabelWorker { .. }
        | Command::AcknowledgeMassLoss
        // A drain asked for again only sets its deadline anew.
        | Command::SetScheduling { .. } => true,
        Command::BeginTerm { .. }
        | Command::UnregisterWorker { .. }
        | Command::ConnectWorker(_)
        | Command::DisconnectWorkers(_)
        | Command::AssignTasks { .. }
        | Command::StartAttempts(_)
        | Command::FinishAttempts(_)
        | Command::CancelTask { .. }
        | Command::RequeueAttempts(_)
        | Command::ForgetDeparted { .. }
        | Command::CreateToken(_)
        | Command::RevokeToken { .. }
        | Command::RaiseMassLoss { .. }
        | Command::EndMassLoss { .. }
        | Command::Tick(_) => false,
    }
}

fn encode(command: &Command) -> Result<EncodedCommand, ProposeError> {
    // A command holds nothing that postcard cannot write.
    EncodedCommand::new(command).map_err(|_| ProposeError::Stopped)
}

/// How long to wait before the same leader is asked again, when nothing new is heard: its refusal
/// may have crossed with its election.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Waits for another view of who leads.
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
    use cluster_state::{Proposal, Tick, Timestamp};

    use super::*;

    #[test]
    fn a_stamped_command_is_an_encoded_proposal() {
        let command = Command::Tick(Tick { term: Term(3), forget: Vec::new() });
        let encoded = EncodedCommand::new(&command).unwrap();
        let stamped = codec::stamp(Timestamp(1_700_000_000_000), &encoded.0);

        let proposal = Proposal { proposed_at: Timestamp(1_700_000_000_000), command };
        assert_eq!(codec::encode_proposal(&proposal).unwrap(), Payload(stamped));
    }
}
