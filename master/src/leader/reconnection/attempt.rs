//! One attempt: connect to a worker and say who leads.

use std::time::Duration;

use cluster_state::WorkerId;
use proto::v1;
use proto::worker_client::{WorkerCallError, WorkerClient};
use tokio::time::Instant;

use super::demands::Finding;
use crate::leader::attempts_schedule::Trouble;
use crate::leader::sessions::Lead;

/// How one attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The worker knows its leader now.
    Reached,
    /// Nobody listens there, which is expected of a worker that is offline.
    Offline,
    /// The connection was neither accepted nor refused, as when its machine is off or far too busy.
    OutOfReach,
    /// Somebody accepted the connection and did not answer; says what was seen.
    Silent(String),
    /// Somebody answered, but not as a worker of this cluster that obeys us; says why.
    Refused(String),
    /// The worker obeys a newer leader, of that term.
    NewerTerm(u64),
}

impl Attempt {
    /// What an operator who asked is told.
    pub(super) const fn finding(&self) -> Finding {
        match self {
            Self::Reached => Finding::Reached,
            Self::Offline | Self::OutOfReach | Self::Silent(_) => Finding::Unreachable,
            Self::Refused(_) | Self::NewerTerm(_) => Finding::Refused,
        }
    }

    /// What is wrong, where it is not to be expected of a worker that is offline.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Reached | Self::Offline | Self::OutOfReach => None,
            Self::Silent(_) => Some(Trouble::Silent),
            Self::Refused(words) => Some(Trouble::Refused(words.clone())),
            Self::NewerTerm(_) => Some(Trouble::NewerTerm),
        }
    }

    /// Tells operators of it.
    pub(super) fn log_trouble(&self, worker: &WorkerId, address: &str) {
        match self {
            Self::Reached | Self::Offline | Self::OutOfReach => {}
            Self::Silent(reason) => {
                tracing::warn!(%worker, address, reason, "worker accepts connections and does not answer");
            }
            Self::Refused(reason) => {
                tracing::warn!(%worker, address, reason, "worker refused to be registered");
            }
            Self::NewerTerm(seen) => {
                tracing::warn!(%worker, address, seen, "worker obeys a newer leader");
            }
        }
    }
}

/// Goes to one worker. Takes `timeout` at most.
pub(super) async fn attempt(
    lead: &Lead,
    worker: &WorkerId,
    address: &str,
    timeout: Duration,
) -> Attempt {
    let deadline = Instant::now() + timeout;
    // Always a new connection: whatever is left of an old one says nothing about the worker.
    let client = match WorkerClient::connect(address, timeout).await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(%worker, address, %error, "worker is still offline");
            return if error.is_refusal() { Attempt::Offline } else { Attempt::OutOfReach };
        }
    };
    let request = v1::MasterRegisterRequest {
        leader: lead.header(),
        worker_id: worker.to_string(),
        masters: lead.masters(),
    };
    let left = deadline.saturating_duration_since(Instant::now());
    match client.master_register(request, left).await {
        Ok(_) => Attempt::Reached,
        Err(WorkerCallError::Unreachable(reason)) => Attempt::Silent(reason),
        Err(WorkerCallError::NewerTerm(seen)) => Attempt::NewerTerm(seen),
        Err(WorkerCallError::Refused(reason)) => Attempt::Refused(reason),
    }
}
