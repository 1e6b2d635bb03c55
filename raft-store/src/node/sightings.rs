//! Spreads what is seen of other logs: the leader tells the other masters, and each keeps it on its disk,
//! so that whoever leads next notices a log that has gone back.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver;
use proto::v1;
use tokio_util::sync::CancellationToken;

use super::Node;
use crate::calls::describe;
use crate::log_node::NodeId;
use crate::membership::Member;
use crate::network::wire;
use crate::rarely::Rarely;
use crate::seen::{Seen, earlier};
use crate::types::LogId;

/// Interval between two rounds. A copy of a disk that is younger than it may not be noticed; each round
/// costs a sync of a small file, and a call to each other master.
const ROUND_INTERVAL: Duration = Duration::from_secs(5);
/// Limit of one call: whoever misses it is told in the next round.
const TELL_TIMEOUT: Duration = Duration::from_millis(500);

/// Runs until the node stops.
pub(super) async fn run(node: Node, stop: CancellationToken) {
    let failures = Rarely::default();
    let mut told = BTreeMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND_INTERVAL) => {}
        }
        let seen = node.sightings();
        if node.leadership().borrow().is_leading() && seen != told {
            node.tell_sightings(&seen).await;
            told = seen;
        }
        node.keep_sightings(&failures).await;
    }
}

impl Node {
    pub(crate) fn seen(&self) -> &Seen {
        &self.inner.stores.seen
    }

    /// Writes what is known to the disk; a failure that is news is logged.
    pub(super) async fn keep_sightings(&self, failures: &Rarely) {
        let kept = self.inner.stores.seen_file.keep(self.sightings()).await;
        if let Err(error) = kept.map_err(|error| describe(&error))
            && failures.is_due(&error)
        {
            tracing::warn!(error, "cannot keep what was seen of other masters");
        }
    }

    /// Returns the last committed entry that each member's log is known to have had: a leader knows it of
    /// its own, too.
    fn sightings(&self) -> BTreeMap<NodeId, LogId> {
        let replicated = {
            let metrics = self.raft().data_metrics();
            let metrics = metrics.borrow_watched();
            let logs = metrics.replication.iter().flatten();
            let committed = |matched: &Option<LogId>| earlier(*matched, metrics.cluster_committed);
            logs.filter_map(|(node, matched)| Some((*node, committed(matched)?)))
                .collect::<Vec<_>>()
        };
        for (node, committed) in replicated {
            self.seen().learn(node, committed);
        }
        let mut seen = self.seen().all();
        seen.retain(|node, _| self.inner.members.get(*node).is_some());
        seen
    }

    /// Tells the other masters, as the leader.
    async fn tell_sightings(&self, seen: &BTreeMap<NodeId, LogId>) {
        let position = |(node, id): (&NodeId, &LogId)| v1::SeenLog {
            node: node.0,
            last: Some(wire::log_id_out(id)),
        };
        let logs = seen.iter().map(position).collect::<Vec<_>>();
        let members = self.members();
        let others = members.iter().filter(|member| member.node != self.node_id());
        join_all(others.map(|member| self.tell(member, logs.clone()))).await;
    }

    async fn tell(&self, member: &Member, logs: Vec<v1::SeenLog>) -> Option<()> {
        let channel = self.inner.identity.connect(&member.address).ok()?;
        let mut client = crate::network::client(channel);
        let request = self.inner.identity.sign(v1::RememberRequest { logs }, member.node);
        tokio::time::timeout(TELL_TIMEOUT, client.remember(request)).await.ok()?.ok()?;
        Some(())
    }

    /// Takes in what a master has seen of the members' logs, if this one obeys it.
    pub(crate) fn on_sightings(&self, from: Option<NodeId>, logs: Vec<v1::SeenLog>) {
        let (leader, term) = {
            let metrics = self.raft().server_metrics();
            let metrics = metrics.borrow_watched();
            (metrics.current_leader, metrics.vote.leader_id.term)
        };
        if from.is_none() || from != leader {
            return;
        }
        for v1::SeenLog { node, last } in logs {
            let node = NodeId(node);
            let Some(Ok(last)) = last.map(wire::log_id_in) else { continue };
            let is_plausible = last.leader_id.term <= term;
            if is_plausible && self.inner.members.get(node).is_some() {
                self.seen().learn(node, last);
            }
        }
    }
}
