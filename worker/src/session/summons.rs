//! What leaders want of the worker, on its way from the desk to the session keeper.

use std::time::Duration;

use cluster_state::{Epoch, MasterId, Term};
use tokio::sync::watch;

/// How long a registration under way may take once another leader has called. If it reaches that
/// leader through a follower it is about to be answered; one that were given up and arrived late
/// would tell the leader of a past state.
const OVERTAKE_GRACE: Duration = Duration::from_millis(500);

/// A leader has said that it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Who.
    pub(crate) leader: MasterId,
    /// In which term.
    pub(crate) term: Term,
    /// Where it is reached.
    pub(crate) address: String,
    /// All masters that it knows.
    pub(crate) masters: Vec<String>,
}

/// What a leader wants of the worker. The last word counts.
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
