//! What masters tell each other of themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster_state::{LogIndex, MasterId};
use futures_util::future::join_all;
use proto::v1;

use super::Node;
use crate::membership::{LocalStatus, Member};

/// How long a peer may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

impl Node {
    /// What every other member says of itself; nothing for those that do not answer in time.
    pub async fn peer_statuses(&self) -> BTreeMap<MasterId, Option<v1::NodeStatusResponse>> {
        let others = self.members().into_iter().filter(|member| member.id != self.id());
        let asked = others.map(|member| async move {
            let answer = self.ask_status(&member).await;
            (member.id, answer)
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn ask_status(&self, member: &Member) -> Option<v1::NodeStatusResponse> {
        let channel = proto::channel::connect_lazily(&member.address).ok()?;
        let mut client = crate::network::client(channel);
        let question = self.inner.identity.sign(v1::NodeStatusRequest {}, member.id);
        let answer = tokio::time::timeout(STATUS_TIMEOUT, client.node_status(question)).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    pub(crate) fn describe(&self, status: &LocalStatus) -> v1::NodeStatusResponse {
        v1::NodeStatusResponse {
            node_id: status.id.0,
            role: status.role.name().to_owned(),
            term: status.term.0,
            leader_id: status.leader.map(|leader| leader.0),
            last_log_index: status.last_log.0,
            commit_index: status.committed.0,
            applied_index: status.applied.0,
            snapshot_index: status.snapshot.map(|LogIndex(index)| index),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http_address: self.inner.config.http_address.clone(),
        }
    }
}
