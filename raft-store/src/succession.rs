//! Calls an election without the random wait when the leader is certainly dead.
//!
//! Raft's followers wait out the leader's lease and then a random time, in case the leader is only
//! slow. A leader whose connection was closed and whose port refuses another is not slow: its
//! process is gone. The lease is still waited out, because other followers may have promised it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::contact::Contact;
use crate::leadership::Leadership;
use crate::log_node::NodeId;
use crate::membership::Members;
use crate::raft::Raft;

/// Limit of a dial that should be refused. A host that is gone does not refuse, and proves nothing.
const DIAL_TIMEOUT: Duration = Duration::from_millis(100);
/// Time between the candidacies of two followers, so that they do not split the vote: several round
/// trips and syncs.
const STAGGER: Duration = Duration::from_millis(50);
/// Margin after the lease, for clocks that were read a moment apart.
const MARGIN: Duration = Duration::from_millis(10);

/// Watches for the leader's death on one follower.
pub(crate) struct Succession {
    pub(crate) id: NodeId,
    pub(crate) raft: Raft,
    pub(crate) members: Members,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) contact: Arc<Contact>,
    /// Time for which a follower that has heard the leader elects no other.
    pub(crate) lease: Duration,
}

impl Succession {
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.contact.broken() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.succeed() => {}
            }
        }
    }

    async fn succeed(&self) {
        let seen = *self.leadership.borrow();
        let Leadership::Following { leader, node, term } = seen else { return };
        if !self.is_refused_by(node).await {
            return;
        }
        let Some(heard_at) = self.contact.heard_at() else { return };
        let wait = self.lease + MARGIN + STAGGER * self.rank(node);
        tokio::time::sleep_until(heard_at + wait).await;

        let is_unchanged =
            self.contact.heard_at() == Some(heard_at) && *self.leadership.borrow() == seen;
        if is_unchanged {
            tracing::info!(%leader, %term, "the leader's process is gone: standing for election");
            // With a pre-vote, so that a follower that cannot win disturbs nobody.
            self.raft.trigger().elect(true).await.ok();
        }
    }

    async fn is_refused_by(&self, leader: NodeId) -> bool {
        let Some(address) = self.members.address(leader) else { return false };
        let dialed = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await;
        matches!(dialed, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Returns the number of voters besides the leader that stand before this one.
    fn rank(&self, leader: NodeId) -> u32 {
        let members = self.members.all();
        let earlier = members
            .iter()
            .filter(|member| member.is_voter && member.node != leader && member.node < self.id);
        u32::try_from(earlier.count()).unwrap_or(0)
    }
}
