//! Finds out whether this master still belongs to its cluster: it may have been removed while it was
//! away, a copy of its disk may have been put back, and the cluster may have gone on without it from a
//! backup or a recovery.

use std::time::Duration;

use cluster_state::{Generation, Level};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use proto::v1;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::leadership::Leadership;
use crate::membership::Member;
use crate::network::generation::Superseded;

/// Limit of one answer, which a leader confirms with a quorum.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time without a leader after which this master asks: longer than an election.
const LEADERLESS_PATIENCE: Duration = Duration::from_secs(1);
/// Pause between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Reason that this master does not belong to its cluster, or not any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Expulsion {
    /// Its log is no member.
    #[error(
        "this master was removed from its cluster: to let it join again, move its data directory \
         away and start it empty"
    )]
    Removed,
    /// Its program cannot read what the cluster stores.
    #[error(
        "the cluster has feature level {needed}, and this release knows levels up to {known}: start a \
         release that knows level {needed}"
    )]
    TooOld {
        /// Level of the cluster.
        needed: Level,
        /// Highest level that this program knows.
        known: Level,
    },
    /// Its cluster has begun another life.
    #[error(
        "this master belongs to generation {} of its cluster, which has gone on as generation {} from a \
         backup or a recovery: to let it join, move its data directory away and start it empty",
        ours.number, theirs.number
    )]
    Superseded {
        /// Generation of this master.
        ours: Generation,
        /// Generation of a master that has refused it.
        theirs: Generation,
    },
    /// Its log has lost entries that it had acknowledged.
    #[error(
        "the data directory has gone back: it ends at entry {has}, and another master saw it hold \
         entry {had}, so this is an older copy: move it away and start this master empty, and it is \
         sent everything"
    )]
    WentBack {
        /// Last entry that another master saw.
        had: u64,
        /// Last entry of the log.
        has: u64,
    },
}

/// Asks the other members about this master's log until it stops. Whoever waits for the expulsion
/// stops the node.
pub(super) async fn run(node: Node, stop: CancellationToken) {
    let reason = tokio::select! {
        () = stop.cancelled() => return,
        reason = find_out(&node) => reason,
        later = node.inner.identity.generation().superseded() => {
            let Superseded { ours, theirs } = later;
            Expulsion::Superseded { ours, theirs }
        }
    };
    node.expel(reason);
    stop.cancelled().await;
}

async fn find_out(node: &Node) -> Expulsion {
    let had = node.ask_about_itself().await.iter().map(|answer| answer.seen_index).max();
    // Looked at last: the log may have grown since, but not that of an older copy, because what its
    // leader sends next does not fit.
    let has = node.log().last_log_id().map_or(0, |last| last.index);
    if let Some(had) = had.filter(|had| *had > has) {
        return Expulsion::WentBack { had, has };
    }

    loop {
        tokio::select! {
            () = node.is_leaderless_for(LEADERLESS_PATIENCE) => {}
            // Not believed, but a reason to ask.
            () = node.inner.farewell.notified() => {}
        }
        if node.is_certainly_removed().await {
            return Expulsion::Removed;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Node {
    /// Waits until this master does not belong to its cluster any more, and returns the reason.
    pub async fn expelled(&self) -> Expulsion {
        let mut expelled = self.inner.expelled.subscribe();
        loop {
            let seen = expelled.borrow_and_update().clone();
            if let Some(reason) = seen {
                return reason;
            }
            // Cannot fail: the node holds the sender.
            expelled.changed().await.ok();
        }
    }

    /// Returns true if this master may take part.
    pub(crate) fn is_expelled(&self) -> bool {
        self.inner.expelled.borrow().is_some()
    }

    pub(crate) fn expel(&self, why: Expulsion) {
        self.inner.expelled.send_replace(Some(why));
        self.inner.left.cancel();
        // From here on it stands for no election, and votes in none.
        self.raft().runtime_config().elect(false);
    }

    /// Has this master find out at once whether it belongs to the cluster.
    pub(crate) fn on_farewell(&self) {
        self.inner.farewell.notify_one();
    }

    /// Tells a log that it was removed, so that its master does not have to miss its leader first.
    pub(super) async fn say_farewell(self, to: Member) {
        let Ok(channel) = proto::channel::connect_lazily(&to.address) else { return };
        let mut client = crate::network::client(channel);
        let farewell = self.inner.identity.sign(v1::FarewellRequest {}, to.node);
        // Whoever does not hear it finds out by itself.
        tokio::time::timeout(ANSWER_TIMEOUT, client.farewell(farewell)).await.ok();
    }

    async fn is_leaderless_for(&self, patience: Duration) {
        let mut leadership = self.leadership();
        loop {
            let is_leaderless = |seen: &Leadership| matches!(seen, Leadership::Leaderless { .. });
            if leadership.wait_for(is_leaderless).await.is_err() {
                return std::future::pending().await;
            }
            let is_led = leadership.wait_for(|seen| !is_leaderless(seen));
            if tokio::time::timeout(patience, is_led).await.is_err() {
                return;
            }
        }
    }

    /// Returns true as soon as one of the others is certain that this master was removed.
    async fn is_certainly_removed(&self) -> bool {
        let members = self.members();
        let others = members.iter().filter(|member| member.node != self.node_id());
        let answers = others.map(|member| self.ask_about_itself_at(member));
        let mut answers = answers.collect::<FuturesUnordered<_>>();
        while let Some(answer) = answers.next().await {
            if answer.is_some_and(|answer| answer.certain && !answer.member) {
                return true;
            }
        }
        false
    }

    async fn ask_about_itself(&self) -> Vec<v1::RecognizeResponse> {
        let members = self.members();
        let others = members.iter().filter(|member| member.node != self.node_id());
        let answers = others.map(|member| self.ask_about_itself_at(member));
        join_all(answers).await.into_iter().flatten().collect()
    }

    async fn ask_about_itself_at(&self, member: &Member) -> Option<v1::RecognizeResponse> {
        let channel = proto::channel::connect_lazily(&member.address).ok()?;
        let mut client = crate::network::client(channel);
        let question = self.inner.identity.sign(v1::RecognizeRequest {}, member.node);
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let answer = tokio::time::timeout_at(deadline, client.recognize(question)).await.ok()?;
        let answer = answer.inspect_err(|status| {
            self.inner.identity.on_refused(member.node, status);
        });
        Some(answer.ok()?.into_inner())
    }
}
