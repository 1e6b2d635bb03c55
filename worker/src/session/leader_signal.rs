//! Carries signals of leaders from the gRPC service to the session keeper.

use std::time::Duration;

use cluster_state::{Epoch, MasterId, Term};
use tokio::sync::watch;

/// Time that a pending registration may take once another leader has called. If it reaches that
/// leader through a follower, its answer is close; if it were given up and arrived late, it would
/// tell the leader of a past state.
const OVERTAKE_GRACE: Duration = Duration::from_millis(500);

/// A leader's claim that it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) leader: MasterId,
    pub(crate) term: Term,
    /// Address under which the leader is reached.
    pub(crate) address: String,
    /// All masters that it knows.
    pub(crate) masters: Vec<String>,
}

/// Demand of a leader. The latest one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LeaderSignal {
    /// Register with this leader.
    Register(Call),
    /// The registration of that epoch was removed.
    Unregister(Epoch),
}

/// Waits for a leader to call.
pub(super) async fn next_signal(
    signals: &mut watch::Receiver<Option<LeaderSignal>>,
) -> LeaderSignal {
    while signals.changed().await.is_ok() {
        if let Some(signal) = signals.borrow_and_update().clone() {
            return signal;
        }
    }
    std::future::pending().await
}

/// Waits until the registration at this address is of no use any more: the worker is not wanted, or
/// a leader at another address has called, and a little longer.
pub(super) async fn superseded(
    signals: &mut watch::Receiver<Option<LeaderSignal>>,
    address: &str,
) -> LeaderSignal {
    loop {
        match next_signal(signals).await {
            LeaderSignal::Register(call) if call.address == address => {}
            LeaderSignal::Register(call) => {
                tokio::time::sleep(OVERTAKE_GRACE).await;
                return LeaderSignal::Register(call);
            }
            LeaderSignal::Unregister(epoch) => return LeaderSignal::Unregister(epoch),
        }
    }
}
