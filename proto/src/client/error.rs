//! Errors of attempts and of whole calls.

use std::time::Duration;

use tonic::Status;

use crate::call_failure::CallFailure;
use crate::channel::InvalidAddress;
use crate::problem::{ERROR_KIND_KEY, ErrorKind, Outcome, Problem};

/// Reason that one attempt at a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptFailure {
    /// The request was never sent.
    #[error("cannot connect to {address}")]
    Unreachable { address: String },
    /// One side does not believe the other's certificate. The request was never sent.
    #[error("cannot trust, or is not trusted by, {address}: {reason}")]
    Untrusted { address: String, reason: String },
    /// The connection broke before the answer arrived.
    #[error("lost the connection to {address}: {detail}")]
    Broken { address: String, detail: String },
    /// No answer within the timeout of one attempt.
    #[error("no answer in time")]
    TimedOut,
    /// A master refused the request.
    #[error(transparent)]
    Refused(Problem),
}

impl AttemptFailure {
    pub(super) fn of(address: &str, status: &Status) -> Self {
        let address = address.to_owned();
        if credentials::is_certificate_refused(status) {
            let reason = credentials::sentence(status).unwrap_or_default();
            return Self::Untrusted { address, reason };
        }
        if status.metadata().contains_key(ERROR_KIND_KEY) {
            return Self::Refused(status.into());
        }
        match CallFailure::of(status) {
            CallFailure::NeverConnected => Self::Unreachable { address },
            CallFailure::Broken => Self::Broken { address, detail: status.message().to_owned() },
            CallFailure::TimedOut => Self::TimedOut,
            CallFailure::Refused => Self::Refused(status.into()),
        }
    }

    /// Returns the failure of an attempt whose request was never sent, however it ended.
    pub(super) fn unsent(self, address: &str) -> Self {
        match self {
            Self::Broken { .. } | Self::TimedOut => {
                Self::Unreachable { address: address.to_owned() }
            }
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::Refused(_) => self,
        }
    }

    /// Returns true if another try may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Broken { .. }
            | Self::TimedOut => true,
            Self::Refused(problem) => problem.kind.is_transient(),
        }
    }

    /// Returns true if no master does better when all of them fail so.
    pub(super) const fn is_certain(&self) -> bool {
        matches!(self, Self::Untrusted { .. })
    }

    /// Returns true if another master may do better.
    pub(super) fn is_about_the_master(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Broken { .. }
            | Self::TimedOut => true,
            Self::Refused(problem) => matches!(
                problem.kind,
                ErrorKind::NoLeader | ErrorKind::NotLeader | ErrorKind::Timeout
            ),
        }
    }

    /// Returns true if a mutation may have happened nevertheless.
    pub(super) fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Untrusted { .. } => false,
            Self::Broken { .. } | Self::TimedOut => true,
            Self::Refused(problem) => match problem.outcome {
                Some(Outcome::Rejected) => false,
                Some(Outcome::Unknown) => true,
                None => matches!(problem.kind, ErrorKind::Timeout | ErrorKind::Internal),
            },
        }
    }

    pub(super) fn into_final(self, after_unknown: bool) -> ClientError {
        match self {
            Self::Refused(problem) => ClientError::Refused { problem, after_unknown },
            failure @ (Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Broken { .. }
            | Self::TimedOut) => {
                let is_ambiguous = after_unknown || failure.may_have_taken_effect();
                ClientError::GaveUp { waited: Duration::ZERO, failure, is_ambiguous }
            }
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => ErrorKind::NoLeader,
            Self::Untrusted { .. } => ErrorKind::Unauthenticated,
            Self::TimedOut => ErrorKind::Timeout,
            Self::Refused(problem) => problem.kind,
        }
    }
}

/// Reason that a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The client has no endpoints.
    #[error("no endpoint is given")]
    NoEndpoint,
    /// An endpoint is no address.
    #[error(transparent)]
    InvalidEndpoint(#[from] InvalidAddress),
    /// A master refused, and asking again would not help.
    #[error("{problem}")]
    Refused {
        /// Answer of the master.
        problem: Problem,
        /// True if an earlier attempt of the same call may have taken effect.
        after_unknown: bool,
    },
    /// Every attempt until the deadline failed.
    #[error("gave up after {:.1} s: {failure}", waited.as_secs_f64())]
    GaveUp {
        waited: Duration,
        /// Reason that the last attempt failed.
        failure: AttemptFailure,
        /// True if one of the attempts may have taken effect.
        is_ambiguous: bool,
    },
}

impl ClientError {
    /// Returns the kind of error, which a program may act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoEndpoint | Self::InvalidEndpoint(_) => ErrorKind::Malformed,
            Self::Refused { problem, .. } => problem.kind,
            Self::GaveUp { failure, .. } => failure.kind(),
        }
    }

    /// Returns the outcome of a mutation.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let is_ambiguous = match self {
            Self::NoEndpoint | Self::InvalidEndpoint(_) => false,
            Self::Refused { problem, after_unknown } => {
                *after_unknown || problem.outcome == Some(Outcome::Unknown)
            }
            Self::GaveUp { is_ambiguous, .. } => *is_ambiguous,
        };
        if is_ambiguous { Outcome::Unknown } else { Outcome::Rejected }
    }

    /// Returns the master's answer, if there was one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. }
            | Self::GaveUp { failure: AttemptFailure::Refused(problem), .. } => Some(problem),
            Self::NoEndpoint
            | Self::InvalidEndpoint(_)
            | Self::GaveUp {
                failure:
                    AttemptFailure::Unreachable { .. }
                    | AttemptFailure::Untrusted { .. }
                    | AttemptFailure::Broken { .. }
                    | AttemptFailure::TimedOut,
                ..
            } => None,
        }
    }

    /// Returns true if the refusal may be a consequence of an earlier attempt whose outcome is
    /// unknown: that attempt may have caused the state that is in the way now.
    pub(super) fn may_be_own_doing(&self, kind: ErrorKind) -> bool {
        matches!(self, Self::Refused { problem, after_unknown: true } if problem.kind == kind)
    }
}
