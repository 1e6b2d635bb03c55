//! Translates refusals of the replicated log and of sessions into problems for clients.

use proto::problem::{ErrorKind, Outcome, Problem};
use raft_store::{BackupFailure, MembershipError, ProposeError, ReadError, TransferError};

use crate::leader::sessions::SessionError;

/// A mutation that did not take effect, or of which nobody knows.
pub(crate) fn of_mutation(error: &ProposeError) -> Problem {
    let kind = match error {
        ProposeError::Rejected { rejection, .. } => return rejection.into(),
        ProposeError::NoLeader | ProposeError::LeaderLost => ErrorKind::NoLeader,
        ProposeError::BelowLevel { .. } => ErrorKind::Conflict,
        ProposeError::NotLeader { .. }
        | ProposeError::NewerLevel { .. }
        | ProposeError::Stopped => ErrorKind::NotLeader,
        ProposeError::Unreadable { .. } => ErrorKind::Internal,
        ProposeError::Overloaded => ErrorKind::Overloaded,
        ProposeError::TooLarge { .. } => ErrorKind::TooLarge,
        ProposeError::DiskFull { .. } | ProposeError::NoRoom { .. } => ErrorKind::DiskFull,
        ProposeError::Unknown { .. } => ErrorKind::Timeout,
    };
    let outcome = if error.is_certain() { Outcome::Rejected } else { Outcome::Unknown };
    Problem::new(kind, error.to_string()).with_outcome(outcome)
}

/// A read that could not be made linearizable.
pub(crate) fn of_read(error: &ReadError) -> Problem {
    let kind = match error {
        ReadError::NoLeader => ErrorKind::NoLeader,
        ReadError::Behind | ReadError::Stopped => ErrorKind::NotLeader,
    };
    Problem::new(kind, error.to_string())
}

/// A backup that could not be begun.
pub(crate) fn of_backup(error: &BackupFailure) -> Problem {
    match error {
        BackupFailure::Read(error) => of_read(error),
        BackupFailure::Storage(_) => Problem::new(ErrorKind::Internal, error.to_string()),
    }
}

/// Leadership that was not handed over.
pub(crate) fn of_transfer(error: &TransferError) -> Problem {
    let kind = match error {
        TransferError::NotLeader => ErrorKind::NotLeader,
        TransferError::NotAMember(_) => ErrorKind::NotFound,
        TransferError::NoSuccessor
        | TransferError::NotAVoter(_)
        | TransferError::Silent(_)
        | TransferError::Behind { .. }
        | TransferError::AnotherLeads { .. } => ErrorKind::Conflict,
        TransferError::TimedOut(_) => ErrorKind::Timeout,
    };
    let outcome = if error.is_certain() { Outcome::Rejected } else { Outcome::Unknown };
    Problem::new(kind, error.to_string()).with_outcome(outcome)
}

/// A membership that was not changed, or of which nobody knows.
pub(crate) fn of_membership(error: &MembershipError) -> Problem {
    let kind = match error {
        MembershipError::NotLeader => ErrorKind::NotLeader,
        MembershipError::NotAMember(_) => ErrorKind::NotFound,
        MembershipError::TooFew(_) => ErrorKind::TooFewVoters,
        MembershipError::Behind { .. } => ErrorKind::NotCaughtUp,
        MembershipError::InProgress
        | MembershipError::Silent(_)
        | MembershipError::Refused(_)
        | MembershipError::OnlyVoter(_)
        | MembershipError::Leads(_) => ErrorKind::Conflict,
        MembershipError::Unknown(_) => ErrorKind::Timeout,
    };
    let outcome = if error.is_certain() { Outcome::Rejected } else { Outcome::Unknown };
    Problem::new(kind, error.to_string()).with_outcome(outcome)
}

/// A worker's call that achieved nothing; workers repeat theirs until they are settled.
pub(crate) fn of_session(error: &SessionError) -> Problem {
    let kind = match error {
        SessionError::Propose(error) => return of_mutation(error),
        SessionError::Malformed(invalid) => return invalid.clone().into(),
        SessionError::NotLeading => ErrorKind::NotLeader,
        SessionError::WrongCluster { .. } | SessionError::NewerTerm { .. } => ErrorKind::Conflict,
        SessionError::UnexpectedReply => ErrorKind::Internal,
    };
    Problem::new(kind, error.to_string())
}
