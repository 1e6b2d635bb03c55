//! What the status of a failed call says about the way to whoever was called.

use std::error::Error;

use tonic::{Code, Status};

/// How far a call came that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// The request never left.
    NeverConnected,
    /// The connection broke, or whoever was called is going away.
    Broken,
    /// There was no answer within the call's time.
    TimedOut,
    /// It was read and answered.
    Refused,
}

impl CallFailure {
    /// Judges by the status alone.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        if never_connected(status) {
            return Self::NeverConnected;
        }
        match status.code() {
            Code::DeadlineExceeded => Self::TimedOut,
            // What tonic says of broken connections and streams, and proxies of absent servers.
            Code::Unavailable | Code::Cancelled => Self::Broken,
            Code::Unknown | Code::Internal if status.source().is_some() => Self::Broken,
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => Self::Refused,
        }
    }
}

fn never_connected(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_is_a_refusal() {
        let of = |code| CallFailure::of(&Status::new(code, "why"));
        assert_eq!(of(Code::Unavailable), CallFailure::Broken);
        assert_eq!(of(Code::DeadlineExceeded), CallFailure::TimedOut);
        assert_eq!(of(Code::Unknown), CallFailure::Refused);
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert_eq!(CallFailure::of(&Status::from_error(broken.into())), CallFailure::Broken);
    }
}
