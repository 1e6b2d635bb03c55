//! Verifies leaders: a claim to lead waits until a master confirms it or none does.

use std::time::Duration;

use cluster_state::{ClusterId, Term};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Identity, LeaderRefusal, Verdict};

/// Longest wait for a confirmation: several times the duration of a heartbeat through a follower,
/// and less than the timeout of the caller.
const CONFIRMATION_MAX: Duration = Duration::from_secs(1);

/// Claims that wait for confirmation.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    raised: Notify,
    changed: Notify,
}

impl Doubts {
    /// Takes in that the worker has learned of a cluster or a higher term.
    pub(super) fn on_news(&self) {
        self.changed.notify_waiters();
    }
}

impl Identity {
    /// Decides about a leader that calls. An unknown leader waits for a master to confirm it: if
    /// its word were enough, it could name a term that no leader reaches, and the worker would obey
    /// no leader any more.
    pub(crate) async fn confirm(
        &self,
        cluster: ClusterId,
        term: Term,
    ) -> Result<(), LeaderRefusal> {
        let confirmed = async {
            loop {
                let mut changed = std::pin::pin!(self.doubts.changed.notified());
                changed.as_mut().enable();
                if self.judge(cluster, term)? == Verdict::Known {
                    return Ok(());
                }
                self.doubts.raised.notify_one();
                changed.await;
            }
        };
        let unconfirmed = Err(LeaderRefusal::Unconfirmed { cluster, term });
        timeout(CONFIRMATION_MAX, confirmed).await.unwrap_or(unconfirmed)
    }

    /// Waits until a claim needs confirmation, so that a master should be asked.
    pub(crate) async fn doubted(&self) {
        self.doubts.raised.notified().await;
    }
}
