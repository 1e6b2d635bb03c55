//! Proposes on the leader itself: encodes, checks the bounds, stamps and appends.

use bytes::Bytes;
use cluster_state::{AdvanceJob, Command, JobStep, Level, LogIndex, Term};
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::vote::leader_id_std::CommittedLeaderId;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{COMMIT_TIMEOUT, ProposalBounds, ProposeError, Verdict};
use crate::clock::Clock;
use crate::codec;
use crate::raft::Raft;
use crate::room::{Room, Shortage};
use crate::state_machine::StateReader;
use crate::types::Payload;

/// A command in the form that it has in the log, except for the leader's stamp. The bytes certainly
/// are a command: every master must be able to read everything in the log.
#[derive(Debug, Clone)]
pub(crate) struct EncodedCommand {
    bytes: Bytes,
    /// The command decoded from the bytes, where they came from another master and were checked.
    decoded: Option<Command>,
    /// True if it submits tasks.
    adds_tasks: bool,
}

impl EncodedCommand {
    /// Encodes a command as members of a cluster of that level read it, if they know it.
    pub(super) fn new(command: &Command, cluster: Level) -> Result<Self, ProposeError> {
        check_level(command, cluster)?;
        // Whatever a cluster of a level may propose has an encoding of that level.
        let bytes = codec::encode_command(command, cluster).map_err(|_| ProposeError::Stopped)?;
        Ok(Self { bytes, decoded: None, adds_tasks: adds_tasks(command) })
    }

    pub(super) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Accepts the encoding of another master, if it can be read.
    fn received(bytes: Bytes, cluster: Level) -> Result<Self, ProposeError> {
        let command =
            codec::decode_command(&bytes).map_err(|error| match error.needed_level() {
                Some(needed) => ProposeError::NewerLevel { needed, known: Level::NEWEST },
                None => ProposeError::Unreadable { detail: error.to_string().into() },
            })?;
        if matches!(command.itself(), Command::RaiseLevel(_)) {
            let detail = "the leader alone raises the level".into();
            return Err(ProposeError::Unreadable { detail });
        }
        check_level(&command, cluster)?;
        Ok(Self { bytes, adds_tasks: adds_tasks(&command), decoded: Some(command) })
    }
}

/// Refuses what some members of the cluster may be unable to read or apply.
fn check_level(command: &Command, cluster: Level) -> Result<(), ProposeError> {
    let needed = command.min_level();
    if needed > cluster {
        return Err(ProposeError::BelowLevel { needed, cluster });
    }
    Ok(())
}

fn adds_tasks(command: &Command) -> bool {
    matches!(
        command.itself(),
        Command::SubmitTasks(_)
            | Command::SubmitGraph(_)
            | Command::RetryTask(_)
            | Command::PutSchedule(_)
            | Command::RunSchedule(_)
            | Command::AdvanceSchedules(_)
            | Command::AdvanceJob(AdvanceJob { step: JobStep::Retry(_), .. })
    )
}

/// Proposes to this master's Raft, within bounds.
#[derive(Debug)]
pub(crate) struct LocalProposer {
    raft: Raft,
    reader: StateReader,
    clock: Clock,
    bounds: ProposalBounds,
    room: Room,
    commands: Semaphore,
    /// In KiB, because a semaphore counts in 32 bits.
    kibibytes: Semaphore,
}

impl LocalProposer {
    pub(crate) fn new(
        raft: Raft,
        reader: StateReader,
        clock: Clock,
        bounds: ProposalBounds,
        room: Room,
    ) -> Self {
        Self {
            raft,
            reader,
            clock,
            bounds,
            room,
            commands: Semaphore::new(bounds.commands),
            kibibytes: Semaphore::new(bounds.bytes.div_ceil(1 << 10)),
        }
    }

    /// Returns the level of the cluster, as far as this master knows.
    pub(super) fn level(&self) -> Level {
        self.reader.level()
    }

    /// Proposes a command that another master has forwarded, within this master's bounds.
    pub(crate) async fn propose_forwarded(&self, command: Bytes) -> Verdict {
        let command = EncodedCommand::received(command, self.level())?;
        let _admission = self.admit(&command)?;
        self.append(command, None).await
    }

    /// Stamps, proposes and waits until the command is applied. Only the leader can, and if a term
    /// is given, only the leader of that term.
    ///
    /// Entries enter the log in the order in which these futures are first polled.
    pub(super) async fn append(&self, command: EncodedCommand, term: Option<Term>) -> Verdict {
        self.check_room(&command)?;
        let stamped = codec::stamp(self.clock.now(), &command.bytes);
        let (responder, answered) = ProgressResponder::complete_only();
        let payload = match command.decoded {
            Some(command) => Payload::with_decoded(stamped, command),
            None => Payload::new(stamped),
        };
        let mut request = self.raft.write(payload).responder(responder);
        if let Some(term) = term {
            request = request.with_leader(CommittedLeaderId::new(term.0));
        }
        let written = async {
            request.await.map_err(|fatal| ProposeError::unknown(&fatal.to_string()))?;
            answered.await.map_err(|_| ProposeError::unknown("replication has stopped"))
        };
        let written = match tokio::time::timeout(COMMIT_TIMEOUT, written).await {
            Ok(written) => written?,
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
            Err(ClientWriteError::ForwardToLeader(_)) => {
                Err(ProposeError::NotLeader { leader: None })
            }
            // A discarded entry may be committed nevertheless, through another leader.
            Err(
                error @ (ClientWriteError::LogEntryDiscarded(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_)),
            ) => Err(ProposeError::unknown(&error.to_string())),
        }
    }

    /// Refuses new tasks while a disk that they need is nearly full. Commands that end tasks, or let
    /// the log be purged, make room and are accepted.
    fn check_room(&self, command: &EncodedCommand) -> Result<(), ProposeError> {
        let shortage = command.adds_tasks.then(|| self.room.shortage()).flatten();
        let Some(Shortage { master, free }) = shortage else { return Ok(()) };
        // Masters of release 0.2.0 know only the disk of a leader.
        Err(if self.level() == Level::FIRST {
            ProposeError::DiskFull { free }
        } else {
            ProposeError::NoRoom { master, free }
        })
    }

    /// Reserves a place for a command among the pending ones, whether they wait for the disk, for
    /// the network or for another master.
    pub(super) fn admit(&self, command: &EncodedCommand) -> Result<Admission<'_>, ProposeError> {
        let bytes = command.bytes.len();
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
        Ok(Admission { _count: count, _size: size })
    }
}

/// A command's share of the bounds, returned when it is dropped.
#[derive(Debug)]
pub(super) struct Admission<'a> {
    _count: SemaphorePermit<'a>,
    _size: SemaphorePermit<'a>,
}

#[cfg(test)]
mod tests {
    use cluster_state::{LogIndex, Proposal, RaiseLevel, SetSettings, Settings, Tick, Timestamp};
    use tempfile::TempDir;

    use super::*;
    use crate::leadership::Leadership;
    use crate::node::tests::start;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_command_for_one_term_enters_the_log_in_no_other() {
        let dir = TempDir::new().unwrap();
        let node = start(&dir, &[(1, "127.0.0.1:1")]).await;
        let mut leadership = node.leadership();
        let term = leadership.wait_for(Leadership::is_leading).await.unwrap().term();
        let proposer = node.local_proposer();
        let command = Command::Tick(Tick { term, forget: Vec::new() });
        let encoded = EncodedCommand::new(&command, Level::NEWEST).unwrap();

        for other in [Term(0), term.next()] {
            // Raft checks it when it appends: the leader may have been elected again since its
            // caller has looked.
            let refused = proposer.append(encoded.clone(), Some(other)).await.unwrap_err();
            assert!(matches!(refused, ProposeError::NotLeader { .. }), "{other}: {refused}");
        }
        proposer.append(encoded, Some(term)).await.ok();
        let last = node.log().last_log_id().unwrap();
        assert_eq!(last.index, 2, "the membership, the leader's own entry, and one command");
        node.shutdown().await;
    }

    #[test]
    fn only_what_is_a_command_is_taken_over_from_another_master() {
        let command = Command::Tick(Tick { term: Term(3), forget: Vec::new() });
        let encoded = EncodedCommand::new(&command, Level::NEWEST).unwrap();
        assert_eq!(
            EncodedCommand::received(encoded.bytes.clone(), Level::NEWEST).unwrap().bytes,
            encoded.bytes
        );

        let cut_short = encoded.bytes.slice(..encoded.bytes.len() - 1);
        let with_stray_byte = Bytes::from([&encoded.bytes[..], &[0]].concat());
        for garbage in [Bytes::new(), cut_short, with_stray_byte, Bytes::from_static(&[0xff; 9])] {
            let refused = EncodedCommand::received(garbage.clone(), Level::NEWEST).unwrap_err();
            assert!(refused.is_certain(), "{garbage:?}");
        }
    }

    #[test]
    fn the_level_is_not_raised_by_another_master() {
        let command = Command::RaiseLevel(RaiseLevel { term: Term(3), level: Level::NEWEST });
        let encoded = EncodedCommand::new(&command, Level::NEWEST).unwrap();
        let refused = EncodedCommand::received(encoded.bytes, Level::NEWEST).unwrap_err();
        assert!(refused.is_certain(), "{refused}");
    }

    #[test]
    fn what_the_cluster_may_be_unable_to_read_is_not_proposed() {
        let command = Command::Tick(Tick { term: Term(3), forget: Vec::new() });
        let below = Level(Level::FIRST.0 - 1);
        let expected = ProposeError::BelowLevel { needed: Level::FIRST, cluster: below };
        assert_eq!(EncodedCommand::new(&command, below).unwrap_err(), expected);
        let encoded = EncodedCommand::new(&command, Level::FIRST).unwrap();
        assert_eq!(EncodedCommand::received(encoded.bytes, below).unwrap_err(), expected);
        assert!(expected.is_certain());

        let (settings, base) = (Settings::default(), LogIndex(1));
        let command = Command::SetSettings(SetSettings { settings, base, by: String::new() });
        let refused = EncodedCommand::new(&command, Level::FIRST).unwrap_err();
        let (needed, cluster) = (Settings::LEVEL, Level::FIRST);
        assert_eq!(refused, ProposeError::BelowLevel { needed, cluster });
    }

    #[test]
    fn a_command_of_a_newer_release_is_refused_by_its_level() {
        let needed = Level(Level::NEWEST.0 + 1);
        let newer = Bytes::from(vec![200, needed.0, 0]);
        let refused = EncodedCommand::received(newer, Level::NEWEST).unwrap_err();
        assert_eq!(refused, ProposeError::NewerLevel { needed, known: Level::NEWEST });
        assert!(refused.is_certain());
    }

    #[test]
    fn a_stamped_command_is_an_encoded_proposal() {
        let command = Command::Tick(Tick { term: Term(3), forget: Vec::new() });
        let encoded = EncodedCommand::new(&command, Level::NEWEST).unwrap();
        let stamped = codec::stamp(Timestamp(1_700_000_000_000), &encoded.bytes);

        let proposal = Proposal { proposed_at: Timestamp(1_700_000_000_000), command };
        assert_eq!(
            codec::encode_proposal(&proposal, Level::NEWEST).unwrap(),
            Payload::new(stamped)
        );
    }
}
