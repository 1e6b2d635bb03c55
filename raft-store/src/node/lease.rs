//! The quorum lease: tells whether this master certainly leads, and waits out a short loss of the
//! lease.

use std::time::Duration;

use cluster_state::Term;

use super::Node;
use crate::leadership::{self, Leadership};

/// Time within which a leader that no quorum confirms may resume its duties where they were: slow
/// syncs and lost packets cost a second or two. Much less than a worker's heartbeat timeout, so
/// that workers need not notice; after more, the knowledge of them is too old.
const LEASE_AWAY_MAX: Duration = Duration::from_secs(3);

impl Node {
    /// Returns true if this master leads now and no other can: checked at the moment of asking, on
    /// a clock that runs on while the process is frozen.
    #[must_use]
    pub fn holds_quorum_lease(&self) -> bool {
        self.inner.leadership.borrow().is_leading()
            && leadership::holds_lease(
                &self.inner.raft,
                &self.inner.stores.acks,
                self.inner.patience.quorum,
            )
    }

    /// Waits out a short loss of the quorum lease. Returns at once while it is held, and tells
    /// whether this master leads in `term`: it does not if another term has begun, or if no quorum
    /// has confirmed this one for some seconds.
    ///
    /// A leader that gets the lease back in the same term has lost nothing: no other can have been
    /// elected in the meantime, because a quorum would have refused to confirm the older term
    /// since.
    pub async fn keeps_leading(&self, term: Term) -> bool {
        let mut leadership = self.leadership();
        loop {
            let seen = *leadership.borrow_and_update();
            if seen == (Leadership::Leading { term }) {
                return true;
            }
            let age = leadership::confirmed_age(&self.inner.raft, &self.inner.stores.acks, term);
            let left = age.and_then(|age| LEASE_AWAY_MAX.checked_sub(age));
            let (Leadership::Leaderless { term: newest }, Some(left)) = (seen, left) else {
                return false;
            };
            if newest != term {
                return false;
            }
            let changed = tokio::time::timeout(left, leadership.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return false;
            }
        }
    }
}
