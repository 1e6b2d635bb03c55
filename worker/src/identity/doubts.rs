//! Leaders that say of themselves that they lead, until a master confirms it or nobody does.

use std::time::Duration;

use cluster_state::{ClusterId, Term};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Disobedience, Identity, Verdict};

/// Longest wait of a leader that nobody knows: several times what a heartbeat through a follower
/// takes, and less than its call may.
const CONFIRMATION_MAX: Duration = Duration::from_secs(1);

/// Claims that are to be confirmed.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    raised: Notify,
    news: Notify,
}

impl Doubts {
    /// The worker has learned of a cluster or a higher term.
    pub(super) fn on_news(&self) {
        self.news.notify_waiters();
    }
}

impl Identity {
    /// Decides about a leader that calls. One that is not known yet waits for a master to confirm
    /// it: whoever was believed by his word alone could name a term that no leader reaches, and the
    /// worker would obey nobody any more.
    pub(crate) async fn confirm(&self, cluster: ClusterId, term: Term) -> Result<(), Disobedience> {
        let confirmed = async {
            loop {
                let mut news = std::pin::pin!(self.doubts.news.notified());
                news.as_mut().enable();
                if self.judge(cluster, term)? == Verdict::Known {
                    return Ok(());
                }
                self.doubts.raised.notify_one();
                news.await;
            }
        };
        let unconfirmed = Err(Disobedience::Unconfirmed { cluster, term });
        timeout(CONFIRMATION_MAX, confirmed).await.unwrap_or(unconfirmed)
    }

    /// Returns when a claim is to be confirmed: a master had better be asked.
    pub(crate) async fn doubted(&self) {
        self.doubts.raised.notified().await;
    }
}
