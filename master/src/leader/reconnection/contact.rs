//! One contact: connects to a worker and announces the leader.

use std::time::Duration;

use cluster_state::WorkerId;
use proto::v1;
use proto::worker_client::{WorkerCallError, WorkerClient};
use tokio::time::Instant;

use crate::leader::state::{LeaderState, Outcome};

/// Result of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContactResult {
    /// The worker knows its leader now.
    Reached,
    /// Nobody listens at the address, as is expected of a worker that is offline.
    Offline,
    /// The connection was neither accepted nor refused: the machine is off or far too busy.
    OutOfReach,
    /// Somebody accepted the connection and did not answer, with what was seen.
    Silent(String),
    /// Somebody answered, but not as a worker of this cluster that obeys this leader, with the
    /// reason.
    Refused(String),
    /// The worker obeys a newer leader, of that term.
    NewerTerm(u64),
    /// The worker was reached and has not registered within that time.
    NotRegistered(Duration),
}

impl ContactResult {
    /// Tells whether the worker was reached.
    pub(super) fn is_reached(&self) -> bool {
        *self == Self::Reached
    }

    /// Tells whether operators should know of the result: an offline worker is expected, and a
    /// connection that nobody accepts or refuses shows nothing.
    pub(super) const fn is_trouble(&self) -> bool {
        match self {
            Self::Reached | Self::Offline | Self::OutOfReach => false,
            Self::Silent(_) | Self::Refused(_) | Self::NewerTerm(_) | Self::NotRegistered(_) => {
                true
            }
        }
    }

    /// Tells whether both are the same to an operator: what was seen of a silent worker varies.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Silent(_), Self::Silent(_)) | (Self::NewerTerm(_), Self::NewerTerm(_)) => true,
            _ => self == other,
        }
    }

    /// Returns the outcome for the requester of the contact.
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Reached => Outcome::Reached,
            Self::Offline | Self::OutOfReach | Self::Silent(_) => Outcome::Unreachable,
            Self::Refused(_) | Self::NewerTerm(_) => Outcome::Refused,
            Self::NotRegistered(_) => Outcome::NotRegistered,
        }
    }

    /// Logs trouble.
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
            Self::NotRegistered(waited) => {
                tracing::warn!(%worker, address, ?waited,
                    "worker was reached, but has not registered: its own log says why");
            }
        }
    }
}

/// Contacts one worker. Takes `timeout` at most.
pub(super) async fn contact(
    leader: &LeaderState,
    worker: &WorkerId,
    address: &str,
    timeout: Duration,
) -> ContactResult {
    let deadline = Instant::now() + timeout;
    // Always over a new connection: an old one says nothing about the worker now.
    let client = match WorkerClient::connect(leader.node.dialer(), worker, address, timeout).await {
        Ok(client) => client,
        Err(error) => {
            tracing::debug!(%worker, address, %error, "worker is still offline");
            return if error.is_refusal() {
                ContactResult::Offline
            } else {
                ContactResult::OutOfReach
            };
        }
    };

    let request = v1::MasterRegisterRequest {
        leader: leader.header(),
        worker_id: worker.to_string(),
        masters: leader.masters(),
    };
    let left = deadline.saturating_duration_since(Instant::now());
    match client.master_register(request, left).await {
        Ok(_) => ContactResult::Reached,
        Err(WorkerCallError::Unreachable(reason)) => ContactResult::Silent(reason),
        Err(WorkerCallError::NewerTerm(seen)) => ContactResult::NewerTerm(seen),
        Err(WorkerCallError::Refused(reason)) => ContactResult::Refused(reason),
    }
}
