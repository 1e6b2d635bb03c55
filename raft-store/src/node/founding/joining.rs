//! Asks to join a cluster.

use std::time::Duration;

use cluster_state::{ClusterId, Level};
use proto::v1;
use proto::v1::raft_service_client::RaftServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Response};

use crate::node::{Expulsion, Node};

/// Limit of one answer: it waits for the commit of a membership.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Reason that a master of release 0.2.0 gives without a word.
const ADMITS_NOBODY: &str = "the leader runs a release that admits no masters: upgrade it, or hand over to \
                             a master that is upgraded";

/// One attempt to join.
pub(super) struct Joining<'a> {
    pub(super) node: &'a Node,
    /// A member of the cluster.
    pub(super) through: RaftServiceClient<Channel>,
}

impl Joining<'_> {
    /// Asks the member, and the leader that it names; returns the reason of a refusal.
    pub(super) async fn run(self) -> Result<(), String> {
        let mut answer = self.ask(self.through.clone()).await?;
        if let (false, Some(leader)) = (answer.admitted, &answer.leader_address) {
            let channel = self.node.identity().connect(leader).map_err(|e| e.to_string())?;
            answer = self.ask(crate::network::client(channel)).await?;
        }
        if let Some(level) = answer.level {
            let needed = Level(u8::try_from(level).unwrap_or(u8::MAX));
            self.node.expel(Expulsion::TooOld { needed, known: Level::NEWEST });
        }
        if !answer.admitted {
            let has_no_leader = answer.refusal.is_empty();
            let refusal = if has_no_leader { "the cluster has no leader" } else { &answer.refusal };
            return Err(refusal.to_owned());
        }

        let cluster = answer.cluster_id.parse::<ClusterId>().map_err(|error| error.to_string())?;
        self.node.enter(cluster).await.map_err(|error| error.to_string())?;
        tracing::info!(%cluster, "admitted to the cluster: waiting for its log");
        Ok(())
    }

    async fn ask(
        &self,
        mut member: RaftServiceClient<Channel>,
    ) -> Result<v1::JoinResponse, String> {
        let cluster_name = self.node.config().cluster_name.clone();
        let cluster_id = self.node.cluster_id().map(|cluster| cluster.to_string());
        let joiner = Some(self.node.description());
        let request = v1::JoinRequest { joiner, cluster_name, cluster_id, announces: false };
        let answer = tokio::time::timeout(JOIN_TIMEOUT, member.join(Request::new(request))).await;
        let answer = answer.map_err(|_| "the cluster did not answer in time".to_owned())?;
        answer.map(Response::into_inner).map_err(|status| {
            let is_unknown = status.code() == Code::Unimplemented;
            if is_unknown { ADMITS_NOBODY.to_owned() } else { status.message().to_owned() }
        })
    }
}
