//! Requests of operators to the reconnection monitor, and its answers.

use std::collections::BTreeMap;

use cluster_state::WorkerId;
use proto::v1;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for the monitor, which takes each up within microseconds.
const REQUESTS_WAITING_MAX: usize = 64;

/// The workers to reconnect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// One worker.
    One(WorkerId),
    /// Every inactive worker.
    AllInactive,
}

/// Outcome of a request for one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The worker knows its leader now, and has registered unless it had before.
    Reached,
    /// The worker answered but has not registered.
    NotRegistered,
    /// Nobody answers at its address.
    Unreachable,
    /// Somebody answers at its address but does not follow this leader.
    Refused,
    /// The worker is connected: there is nothing to do.
    Active,
    /// The worker has no known address.
    NoAddress,
}

impl From<Outcome> for v1::ReconnectOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Reached => Self::Reached,
            Outcome::NotRegistered => Self::NotRegistered,
            Outcome::Unreachable => Self::Unreachable,
            Outcome::Refused => Self::Refused,
            Outcome::Active => Self::Active,
            Outcome::NoAddress => Self::NoAddress,
        }
    }
}

/// Reason why a request has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReconnectError {
    /// The worker is not registered, or not any more.
    #[error("the worker is not registered")]
    UnknownWorker,
    /// The term of leadership ended first.
    #[error("leadership was lost before all attempts had ended")]
    Interrupted,
}

/// The outcome of a request for each worker.
pub(crate) type Outcomes = Result<BTreeMap<WorkerId, Outcome>, ReconnectError>;

/// A request on its way to the monitor.
#[derive(Debug)]
pub(crate) struct ReconnectRequest {
    pub(crate) target: Target,
    /// Answered when every contact has ended.
    pub(crate) answer: oneshot::Sender<Outcomes>,
}

/// Sends requests to the monitor.
#[derive(Debug, Clone)]
pub(crate) struct ReconnectHandle(mpsc::Sender<ReconnectRequest>);

impl ReconnectHandle {
    /// Returns a handle, and the receiver from which the monitor takes requests.
    #[must_use]
    pub(crate) fn new() -> (Self, mpsc::Receiver<ReconnectRequest>) {
        let (sender, receiver) = mpsc::channel(REQUESTS_WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Contacts workers immediately, and returns each outcome when every contact has ended.
    pub(crate) async fn request(&self, target: Target) -> Outcomes {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(ReconnectRequest { target, answer }).await;
        sent.map_err(|_| ReconnectError::Interrupted)?;
        answered.await.unwrap_or(Err(ReconnectError::Interrupted))
    }
}
