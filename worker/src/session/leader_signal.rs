//! Carries wishes of leaders from the gRPC service to the session keeper.

use std::time::Duration;

use cluster_state::{Epoch, MasterId, Term};
use tokio::sync::watch;

/// Time that a pending registration may take once another leader has called. If it reaches that
/// leader through a follower, its answer is close; if it were given up and arrived late, it would
/// tell the leader of a past state.
const OVERTAKE_GRACE: Duration = Duration::from_millis(500);

/// A leader has said that it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) leader: MasterId,
    /// In which term.
    pub(crate) term: Term,
    /// Address under which the leader is reached.
    pub(crate) address: String,
    /// All masters that it knows.
    pub(crate) masters: Vec<String>,
}

/// Wish of a leader. The latest one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Summons {
    /// Register with it.
    Come(Call),
    /// The registration of that epoch is off the registry.
    Leave(Epoch),
}

/// Waits for a leader to call.
pub(super) async fn next_summons(summons: &mut watch::Receiver<Option<Summons>>) -> Summons {
    while summons.changed().await.is_ok() {
        if let Some(summons) = summons.borrow_and_update().clone() {
            return summons;
        }
    }
    std::future::pending().await
}

/// Waits until the registration at this address is of no use any more: the worker is not wanted,
/// or a leader at another address has called, and a little longer.
pub(super) async fn summoned_elsewhere(
    summons: &mut watch::Receiver<Option<Summons>>,
    address: &str,
) -> Summons {
    loop {
        match next_summons(summons).await {
            Summons::Come(call) if call.address == address => {}
            Summons::Come(call) => {
                tokio::time::sleep(OVERTAKE_GRACE).await;
                return Summons::Come(call);
            }
            Summons::Leave(epoch) => return Summons::Leave(epoch),
        }
    }
}
