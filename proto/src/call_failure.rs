//! Classifies the status of a failed call by how far the call came.

use std::error::Error;

use tonic::{Code, Status};

/// Tonic's message for a call that ran out of time, on either side; its code is CANCELLED.
const TIMEOUT_TEXT: &str = "Timeout expired";
/// Tonic's messages for an answer that is not gRPC or is cut off: a proxy answered, or the
/// connection broke in the middle.
const CUT_OFF_TEXTS: [&str; 2] = ["invalid compression flag", "missing grpc-status trailer"];

/// Extent to which a failed call may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// The request was never sent.
    NeverConnected,
    /// The connection broke, or the peer is shutting down.
    Broken,
    /// There was no answer within the call's time.
    TimedOut,
    /// The peer read the request and answered.
    Refused,
}

impl CallFailure {
    /// Classifies a status by its code and its sources.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        if let Some(failure) = sources(status).find_map(of_source) {
            return failure;
        }

        let is_cut_off = || CUT_OFF_TEXTS.iter().any(|text| status.message().contains(text));
        match status.code() {
            Code::DeadlineExceeded => Self::TimedOut,
            Code::Cancelled if status.message() == TIMEOUT_TEXT => Self::TimedOut,
            // Tonic's code for broken connections and streams, and proxies' for absent servers.
            Code::Unavailable | Code::Cancelled => Self::Broken,
            Code::Unknown | Code::Internal if status.source().is_some() || is_cut_off() => {
                Self::Broken
            }
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

/// Iterates over the sources of a status, the nearest first.
fn sources(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |error| (*error).source())
}

/// Classifies one of the sources, whatever the status says.
fn of_source(error: &(dyn Error + 'static)) -> Option<CallFailure> {
    if error.is::<tonic::ConnectError>() {
        Some(CallFailure::NeverConnected)
    } else if error.is::<tonic::TimeoutExpired>() {
        Some(CallFailure::TimedOut)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn of(code: Code, message: &str) -> CallFailure {
        CallFailure::of(&Status::new(code, message))
    }

    #[test]
    fn only_an_answer_is_a_refusal() {
        assert_eq!(of(Code::Unavailable, "why"), CallFailure::Broken);
        assert_eq!(of(Code::DeadlineExceeded, "why"), CallFailure::TimedOut);
        assert_eq!(of(Code::Unknown, "why"), CallFailure::Refused);
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(CallFailure::of(&Status::from_error(broken.into())), CallFailure::Broken);
    }

    #[test]
    fn a_call_that_ran_out_of_time_is_not_a_broken_connection() {
        let here = Status::from_error(tonic::TimeoutExpired(()).into());
        assert_eq!((here.code(), here.message()), (Code::Cancelled, TIMEOUT_TEXT));
        assert_eq!(CallFailure::of(&here), CallFailure::TimedOut);
        assert_eq!(of(Code::Cancelled, TIMEOUT_TEXT), CallFailure::TimedOut, "over there");

        let reset = "h2 protocol error: error reading a body from connection";
        assert_eq!(of(Code::Cancelled, reset), CallFailure::Broken);
    }

    #[test]
    fn an_answer_that_is_not_ours_or_has_no_end_is_a_lost_connection() {
        let page = "protocol error: received message with invalid compression flag: 60 (valid flags \
            are 0 and 1) while receiving response with status: 502 Bad Gateway";
        assert_eq!(of(Code::Internal, page), CallFailure::Broken);
        let cut = "protocol error: missing grpc-status trailer, stream was terminated without a \
            final status (possible truncation by a proxy or load balancer)";
        assert_eq!(of(Code::Unknown, cut), CallFailure::Broken);
        assert_eq!(of(Code::Internal, "the log cannot be read"), CallFailure::Refused);
    }

    #[test]
    fn a_failure_of_the_transport_is_judged_by_its_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("transport error")]
        struct Transport(#[source] Box<dyn Error + Send + Sync>);
        let of = |cause: Box<dyn Error + Send + Sync>| {
            CallFailure::of(&Status::from_error(Transport(cause).into()))
        };
        assert_eq!(of(tonic::TimeoutExpired(()).into()), CallFailure::TimedOut);
        assert_eq!(of(io::Error::from(io::ErrorKind::BrokenPipe).into()), CallFailure::Broken);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(of(tonic::ConnectError(refused.into()).into()), CallFailure::NeverConnected);
    }
}
