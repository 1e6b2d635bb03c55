//! Commands and proposals.

use bytes::Bytes;
use cluster_state::{
    Actor, AdoptIssuer, AdvanceJob, AdvanceSchedules, AssignAhead, AssignTasks, AuditRecord,
    BeginTerm, CancelTask, ChangeHealth, Command, ConnectWorker, CreateToken, CreateUserToken,
    DeleteQueue, DeleteSchedule, DisconnectWorkers, DropOrphans, EndMassLoss, FinishAttempts,
    ForgetDeparted, ForgetWorker, HoldAttempts, IssueCertificate, LabelWorker, Level, NoteOrder,
    NoteRival, Ordered, PauseQueue, PauseSchedule, Proposal, PruneTrail, PutQueue, PutSchedule,
    RaiseLevel, RaiseMassLoss, RegisterWorker, RequeueAttempts, RetryTask, RevokeCertificates,
    RevokeToken, RevokeUserToken, RotateAuthority, RunSchedule, SeedSettings, SetScheduling,
    SetSettings, StartAttempts, StartJob, SubmitGraph, SubmitTasks, Tick, Timestamp,
    UnregisterWorker,
};
use serde::{Deserialize, Serialize};

use super::{CodecError, Versioned, encode_into, read_body, split, versioned, write_body};
use crate::types::Payload;

/// Bytes of a command before the stamp of its proposal: type and level.
const HEADER_BYTES: usize = 2;
/// The longest encoding of a 64-bit number.
const STAMP_BYTES_MAX: usize = 10;

/// Number of the type of [`Command::Ordered`].
pub(crate) const ORDERED_TYPE: u8 = 40;

/// See [`Command::AcknowledgeMassLoss`].
#[derive(Serialize, Deserialize)]
struct AcknowledgeMassLoss;

versioned! {
    BeginTerm = 1,
    RegisterWorker = 2,
    UnregisterWorker = 3,
    DisconnectWorkers = 5,
    AssignTasks = 7,
    StartAttempts = 8,
    CancelTask = 10,
    RequeueAttempts = 11,
    Tick = 12,
    SetScheduling = 13,
    LabelWorker = 14,
    ForgetDeparted = 15,
    CreateToken = 16,
    RevokeToken = 17,
    RaiseMassLoss = 18,
    AcknowledgeMassLoss = 19,
    EndMassLoss = 20,
    NoteRival = 21,
    ChangeHealth = 22,
    RaiseLevel = 23,
}

/// Encodes a command without the leader's stamp, as members of a cluster of that level read it.
///
/// # Errors
///
/// If there is no such encoding.
pub(crate) fn encode_command(command: &Command, cluster: Level) -> Result<Bytes, CodecError> {
    let mut out = Vec::with_capacity(256);
    if let Command::Ordered(Ordered { by, command }) = command {
        if cluster < AuditRecord::LEVEL {
            return Err(CodecError::NoSuchEncoding(cluster));
        }
        out.extend_from_slice(&[ORDERED_TYPE, AuditRecord::LEVEL.0]);
        write_body(by, &mut out)?;
        write_command(command, cluster, &mut out)?;
    } else {
        write_command(command, cluster, &mut out)?;
    }
    Ok(out.into())
}

fn write_command(command: &Command, cluster: Level, to: &mut Vec<u8>) -> Result<(), CodecError> {
    match command {
        Command::BeginTerm(command) => encode_into(command, cluster, to),
        Command::RegisterWorker(command) => encode_into(command, cluster, to),
        Command::UnregisterWorker(command) => encode_into(command, cluster, to),
        Command::ConnectWorker(command) => encode_into(command, cluster, to),
        Command::DisconnectWorkers(command) => encode_into(command, cluster, to),
        Command::SubmitTasks(command) => encode_into(command, cluster, to),
        Command::SubmitGraph(command) => encode_into(command, cluster, to),
        Command::AssignTasks(command) => encode_into(command, cluster, to),
        Command::AssignAhead(command) => encode_into(command, cluster, to),
        Command::HoldAttempts(command) => encode_into(command, cluster, to),
        Command::StartAttempts(command) => encode_into(command, cluster, to),
        Command::FinishAttempts(command) => encode_into(command, cluster, to),
        Command::CancelTask(command) => encode_into(command, cluster, to),
        Command::RetryTask(command) => encode_into(command, cluster, to),
        Command::StartJob(command) => encode_into(command, cluster, to),
        Command::AdvanceJob(command) => encode_into(command, cluster, to),
        Command::RequeueAttempts(command) => encode_into(command, cluster, to),
        Command::Tick(command) => encode_into(command, cluster, to),
        Command::SetScheduling(command) => encode_into(command, cluster, to),
        Command::LabelWorker(command) => encode_into(command, cluster, to),
        Command::ForgetDeparted(command) => encode_into(command, cluster, to),
        Command::CreateToken(command) => encode_into(command, cluster, to),
        Command::RevokeToken(command) => encode_into(command, cluster, to),
        Command::RaiseMassLoss(command) => encode_into(command, cluster, to),
        Command::AcknowledgeMassLoss => encode_into(&AcknowledgeMassLoss, cluster, to),
        Command::EndMassLoss(command) => encode_into(command, cluster, to),
        Command::NoteRival(command) => encode_into(command, cluster, to),
        Command::ChangeHealth(command) => encode_into(command, cluster, to),
        Command::RaiseLevel(command) => encode_into(command, cluster, to),
        Command::SeedSettings(command) => encode_into(command, cluster, to),
        Command::SetSettings(command) => encode_into(command, cluster, to),
        Command::CreateUserToken(command) => encode_into(command, cluster, to),
        Command::RevokeUserToken(command) => encode_into(command, cluster, to),
        Command::DropOrphans(command) => encode_into(command, cluster, to),
        Command::AdoptIssuer(command) => encode_into(command, cluster, to),
        Command::IssueCertificate(command) => encode_into(command, cluster, to),
        Command::RevokeCertificates(command) => encode_into(command, cluster, to),
        Command::ForgetWorker(command) => encode_into(command, cluster, to),
        Command::RotateAuthority(command) => encode_into(command, cluster, to),
        Command::NoteOrder(command) => encode_into(command, cluster, to),
        Command::PruneTrail(command) => encode_into(command, cluster, to),
        Command::PutSchedule(command) => encode_into(command, cluster, to),
        Command::DeleteSchedule(command) => encode_into(command, cluster, to),
        Command::PauseSchedule(command) => encode_into(command, cluster, to),
        Command::RunSchedule(command) => encode_into(command, cluster, to),
        Command::AdvanceSchedules(command) => encode_into(command, cluster, to),
        Command::PutQueue(command) => encode_into(command, cluster, to),
        Command::PauseQueue(command) => encode_into(command, cluster, to),
        Command::DeleteQueue(command) => encode_into(command, cluster, to),
        Command::Ordered(_) => Err(CodecError::UnknownCommand(ORDERED_TYPE)),
    }
}

/// Decodes a command that a follower encoded with [`encode_command`].
///
/// # Errors
///
/// If the bytes are not exactly one command that this binary knows.
pub(crate) fn decode_command(bytes: &[u8]) -> Result<Command, CodecError> {
    let (kind, level, body) = split(bytes)?;
    read_whole(kind, level, body)
}

/// Reads a command with who has ordered it, if somebody has.
fn read_whole(kind: u8, level: Level, body: &[u8]) -> Result<Command, CodecError> {
    if kind != ORDERED_TYPE {
        return read_command(kind, level, body);
    }
    if level != AuditRecord::LEVEL {
        return Err(CodecError::NoSuchEncoding(level));
    }
    let (by, rest) = postcard::take_from_bytes::<Actor>(body)?;
    let (kind, level, body) = split(rest)?;
    let command = Box::new(read_command(kind, level, body)?);
    Ok(Command::Ordered(Ordered { by, command }))
}

fn read_command(kind: u8, level: Level, body: &[u8]) -> Result<Command, CodecError> {
    Ok(match kind {
        BeginTerm::TYPE => Command::BeginTerm(read_body(level, body)?),
        RegisterWorker::TYPE => Command::RegisterWorker(read_body(level, body)?),
        UnregisterWorker::TYPE => Command::UnregisterWorker(read_body(level, body)?),
        ConnectWorker::TYPE => Command::ConnectWorker(read_body(level, body)?),
        DisconnectWorkers::TYPE => Command::DisconnectWorkers(read_body(level, body)?),
        SubmitTasks::TYPE => Command::SubmitTasks(read_body(level, body)?),
        SubmitGraph::TYPE => Command::SubmitGraph(read_body(level, body)?),
        AssignTasks::TYPE => Command::AssignTasks(read_body(level, body)?),
        AssignAhead::TYPE => Command::AssignAhead(read_body(level, body)?),
        HoldAttempts::TYPE => Command::HoldAttempts(read_body(level, body)?),
        StartAttempts::TYPE => Command::StartAttempts(read_body(level, body)?),
        FinishAttempts::TYPE => Command::FinishAttempts(read_body(level, body)?),
        CancelTask::TYPE => Command::CancelTask(read_body(level, body)?),
        RetryTask::TYPE => Command::RetryTask(read_body(level, body)?),
        StartJob::TYPE => Command::StartJob(read_body(level, body)?),
        AdvanceJob::TYPE => Command::AdvanceJob(read_body(level, body)?),
        RequeueAttempts::TYPE => Command::RequeueAttempts(read_body(level, body)?),
        Tick::TYPE => Command::Tick(read_body(level, body)?),
        SetScheduling::TYPE => Command::SetScheduling(read_body(level, body)?),
        LabelWorker::TYPE => Command::LabelWorker(read_body(level, body)?),
        ForgetDeparted::TYPE => Command::ForgetDeparted(read_body(level, body)?),
        CreateToken::TYPE => Command::CreateToken(read_body(level, body)?),
        RevokeToken::TYPE => Command::RevokeToken(read_body(level, body)?),
        RaiseMassLoss::TYPE => Command::RaiseMassLoss(read_body(level, body)?),
        AcknowledgeMassLoss::TYPE => {
            let AcknowledgeMassLoss = read_body(level, body)?;
            Command::AcknowledgeMassLoss
        }
        EndMassLoss::TYPE => Command::EndMassLoss(read_body(level, body)?),
        NoteRival::TYPE => Command::NoteRival(read_body(level, body)?),
        ChangeHealth::TYPE => Command::ChangeHealth(read_body(level, body)?),
        RaiseLevel::TYPE => Command::RaiseLevel(read_body(level, body)?),
        SeedSettings::TYPE => Command::SeedSettings(read_body(level, body)?),
        SetSettings::TYPE => Command::SetSettings(read_body(level, body)?),
        CreateUserToken::TYPE => Command::CreateUserToken(read_body(level, body)?),
        RevokeUserToken::TYPE => Command::RevokeUserToken(read_body(level, body)?),
        DropOrphans::TYPE => Command::DropOrphans(read_body(level, body)?),
        NoteOrder::TYPE => Command::NoteOrder(read_body(level, body)?),
        PruneTrail::TYPE => Command::PruneTrail(read_body(level, body)?),
        AdoptIssuer::TYPE => Command::AdoptIssuer(read_body(level, body)?),
        IssueCertificate::TYPE => Command::IssueCertificate(read_body(level, body)?),
        RevokeCertificates::TYPE => Command::RevokeCertificates(read_body(level, body)?),
        ForgetWorker::TYPE => Command::ForgetWorker(read_body(level, body)?),
        RotateAuthority::TYPE => Command::RotateAuthority(read_body(level, body)?),
        PutSchedule::TYPE => Command::PutSchedule(read_body(level, body)?),
        DeleteSchedule::TYPE => Command::DeleteSchedule(read_body(level, body)?),
        PauseSchedule::TYPE => Command::PauseSchedule(read_body(level, body)?),
        RunSchedule::TYPE => Command::RunSchedule(read_body(level, body)?),
        AdvanceSchedules::TYPE => Command::AdvanceSchedules(read_body(level, body)?),
        PutQueue::TYPE => Command::PutQueue(read_body(level, body)?),
        PauseQueue::TYPE => Command::PauseQueue(read_body(level, body)?),
        DeleteQueue::TYPE => Command::DeleteQueue(read_body(level, body)?),
        unknown => return Err(CodecError::UnknownCommand(unknown)),
    })
}

/// Makes an encoded proposal of an encoded command, so that a leader need not encode again what a
/// follower forwarded.
pub(crate) fn stamp(proposed_at: Timestamp, command: &[u8]) -> Bytes {
    let (header, body) = command.split_at(HEADER_BYTES.min(command.len()));
    let mut out = Vec::with_capacity(command.len() + STAMP_BYTES_MAX);
    out.extend_from_slice(header);
    let mut rest = proposed_at.0;
    // Postcard writes numbers in groups of seven bits, the lowest first, and marks all but the
    // last.
    while let Some(group) = u8::try_from(rest & 0x7f).ok().filter(|_| rest > 0x7f) {
        out.push(group | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0x7f));
    out.extend_from_slice(body);
    out.into()
}

/// Encodes a proposal for the log of a cluster of that level.
///
/// # Errors
///
/// If there is no such encoding.
pub fn encode_proposal(proposal: &Proposal, cluster: Level) -> Result<Payload, CodecError> {
    Ok(Payload::new(stamp(proposal.proposed_at, &encode_command(&proposal.command, cluster)?)))
}

/// Decodes what a log entry carries, or takes the decoded command that the payload carries.
///
/// # Errors
///
/// If the bytes are not exactly one proposal that this binary knows.
pub fn decode_proposal(payload: &Payload) -> Result<Proposal, CodecError> {
    let (kind, level, rest) = split(payload.bytes())?;
    let (proposed_at, body) = postcard::take_from_bytes(rest)?;
    let command = match payload.take_decoded() {
        Some(command) => command,
        None => read_whole(kind, level, body)?,
    };
    Ok(Proposal { proposed_at: Timestamp(proposed_at), command })
}

#[cfg(test)]
mod tests {
    use cluster_state::{TaskId, Term};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn proposals_survive_encoding(at: u64, term: u64, forget: Vec<u64>) {
            let forget = forget.into_iter().map(TaskId).collect();
            let command = Command::Tick(Tick { term: Term(term), forget });
            let proposal = Proposal { proposed_at: Timestamp(at), command };

            let encoded = encode_proposal(&proposal, Level::NEWEST).unwrap();

            prop_assert_eq!(decode_proposal(&encoded).unwrap(), proposal);
        }
    }

    #[test]
    fn a_command_of_a_newer_level_names_it_whatever_it_is() {
        let newer = Payload::new(Bytes::from_static(&[200, Level::NEWEST.0 + 1, 0, 0]));
        assert_eq!(
            decode_proposal(&newer).unwrap_err().needed_level(),
            Some(Level(Level::NEWEST.0 + 1))
        );
        let unknown = Payload::new(Bytes::from_static(&[200, Level::FIRST.0, 0, 0]));
        let error = decode_proposal(&unknown).unwrap_err();
        assert_eq!(
            (error.needed_level(), error.to_string()),
            (None, "command has unknown type 200".to_owned())
        );
    }
}
