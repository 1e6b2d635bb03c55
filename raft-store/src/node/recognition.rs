//! Finds out whether this master still belongs to its cluster: it may have been removed while it was
//! away, a copy of its disk may have been put back, and the cluster may have gone on without it from a
//! backup or a recovery.

use std::time::Duration;

use cluster_state::{Generation, Level};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use proto::v1;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::leadership::Leadership;
use crate::log_node::NodeId;
use crate::membership::Member;
use crate::network::generation::Superseded;
use crate::network::wire;
use crate::types::{LogId, log_id};

/// Limit of the answers about how far this log was seen to go: whoever is there has them at hand. Until
/// then a master that has started acknowledges nothing, gives no vote and does not stand.
const SEEN_TIMEOUT: Duration = Duration::from_millis(500);
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
        "the data directory has gone back: it ends at entry {} of term {}, and another master knows that \
         it held entry {} of term {}, so this is an older copy: move it away and start this master empty, \
         and it is sent everything",
        has.index, has.leader_id.term, had.index, had.leader_id.term
    )]
    WentBack {
        /// Last committed entry that it has acknowledged, as another master knows.
        had: LogId,
        /// Last entry of the log.
        has: LogId,
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
    node.inner.has_looked_back.send_replace(true);
    stop.cancelled().await;
}

async fn find_out(node: &Node) -> Expulsion {
    if let Some(gone_back) = node.look_back().await {
        return gone_back;
    }
    node.inner.has_looked_back.send_replace(true);

    loop {
        tokio::select! {
            () = node.is_leaderless_for(LEADERLESS_PATIENCE) => {}
            // Not believed, but a reason to ask.
            () = node.inner.farewell.notified() => {}
            () = node.inner.doubted.notified() => {}
        }
        if let Some(gone_back) = node.look_back().await {
            return gone_back;
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
        let Ok(channel) = self.inner.identity.connect(&to.address) else { return };
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

    /// Asks the others how far this master's log has gone, and returns the reason to leave if it has less.
    /// They are all asked at once, and have half a second.
    async fn look_back(&self) -> Option<Expulsion> {
        self.last_entry()?;
        let (members, deadline) = (self.members(), Instant::now() + SEEN_TIMEOUT);
        let others = members.iter().filter(|member| member.node != self.node_id());
        let asked = others.map(|member| {
            timeout_at(deadline, self.ask_what_was_seen(member.node, &member.address))
        });
        // A copy from before the others came knows nobody else.
        let config = self.config();
        let configured = config.initial_cluster.values().chain(&config.join);
        let is_new = |address: &&String| {
            **address != config.grpc_address
                && members.iter().all(|known| known.address != **address)
        };
        let strangers = configured.filter(is_new).map(|address| {
            timeout_at(deadline, async move {
                let node = self.member_at(address).await?;
                self.ask_what_was_seen(node, address).await
            })
        });
        let (known, unknown) = tokio::join!(join_all(asked), join_all(strangers));
        let had = known.into_iter().chain(unknown).filter_map(|answer| answer.ok()?).max()?;
        // Looked at last: the log may have grown since, by what the others have seen, too.
        let has = self.last_entry()?;
        (had > has).then_some(Expulsion::WentBack { had, has })
    }

    async fn ask_what_was_seen(&self, node: NodeId, address: &str) -> Option<LogId> {
        let mut client = crate::network::client(self.inner.identity.connect(address).ok()?);
        let question = v1::RecognizeRequest { only_seen: true };
        let answer = client.recognize(self.inner.identity.sign(question, node)).await;
        let answer = answer.inspect_err(|status| self.inner.identity.on_refused(node, status));
        let v1::RecognizeResponse { seen_index, seen_term, .. } = answer.ok()?.into_inner();
        let last = wire::log_id_in(v1::LogId { term: seen_term, index: seen_index }).ok()?;
        (last.index > 0).then_some(last)
    }

    /// Returns the log of the master at an address, if it belongs to this cluster.
    async fn member_at(&self, address: &str) -> Option<NodeId> {
        let mut client = crate::network::client(self.inner.identity.connect(address).ok()?);
        let answer = client.introduce(v1::IntroduceRequest::default()).await.ok()?.into_inner();
        let is_ours = answer.cluster_id?.parse() == Ok(self.cluster_id()?);
        is_ours.then_some(NodeId(answer.master?.node))
    }

    /// Returns the last entry of which this master has the effect or the content.
    pub(crate) fn last_entry(&self) -> Option<LogId> {
        let applied = self.reader().applied();
        let applied = (applied.index.0 > 0).then(|| log_id(applied.term, applied.index));
        self.log().last_log_id().max(applied)
    }

    /// Waits until the others were asked how far this master's log had gone before it started; returns
    /// false if the node stops before that.
    pub(crate) async fn looked_back(&self) -> bool {
        let mut has_looked_back = self.inner.has_looked_back.subscribe();
        tokio::select! {
            looked = has_looked_back.wait_for(|has_looked_back| *has_looked_back) => looked.is_ok(),
            () = self.stopped() => false,
        }
    }

    /// Returns the last committed entry that a log is known to have acknowledged.
    #[must_use]
    pub fn seen_of(&self, node: NodeId) -> Option<LogId> {
        self.seen().of(node)
    }

    /// Has this master ask the others whether its log is an older copy.
    pub(crate) fn on_doubt(&self) {
        self.inner.doubted.notify_one();
    }

    async fn ask_about_itself_at(&self, member: &Member) -> Option<v1::RecognizeResponse> {
        let channel = self.inner.identity.connect(&member.address).ok()?;
        let mut client = crate::network::client(channel);
        let question = v1::RecognizeRequest { only_seen: false };
        let question = self.inner.identity.sign(question, member.node);
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let answer = timeout_at(deadline, client.recognize(question)).await.ok()?;
        let answer = answer.inspect_err(|status| {
            self.inner.identity.on_refused(member.node, status);
        });
        Some(answer.ok()?.into_inner())
    }
}
