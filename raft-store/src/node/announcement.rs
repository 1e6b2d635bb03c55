//! Tells the others where this master is and what it runs, when the membership says otherwise, and
//! finds the others when they have moved.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use super::Node;
use crate::leadership::Leadership;
use crate::log_node::NodeId;
use crate::rarely::Rarely;

/// Interval between looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Limit of one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs until the node stops.
pub(super) async fn run(node: Node, stop: CancellationToken) {
    let said = Rarely::default();
    loop {
        let look = async {
            let seen = *node.leadership().borrow();
            match seen {
                Leadership::Leaderless { .. } => node.find_the_others().await,
                Leadership::Leading { .. } | Leadership::Following { .. } => {
                    if let Err(why) = node.correct_own_record().await
                        && said.is_due(&why)
                    {
                        tracing::warn!(
                            reason = why,
                            "the membership describes this master wrongly"
                        );
                    }
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = look => {}
        }
    }
}

impl Node {
    /// Has the leader record this master's address, release and zone, if it recorded others.
    async fn correct_own_record(&self) -> Result<(), String> {
        if !self.is_recorded_wrongly() {
            return Ok(());
        }
        let seen = *self.leadership().borrow();
        let leader = match seen {
            Leadership::Leading { .. } => Some(self.config().grpc_address.clone()),
            Leadership::Following { node, .. } => self.inner.members.address(node),
            Leadership::Leaderless { .. } => None,
        };
        let Some(leader) = leader else { return Ok(()) };
        let answer = self.announce_at(&leader).await?;
        if answer.refusal.is_empty() { Ok(()) } else { Err(answer.refusal) }
    }

    fn is_recorded_wrongly(&self) -> bool {
        let recorded = self.inner.members.record(self.node_id());
        recorded.is_some_and(|recorded| self.own_record().with_vote_of(&recorded) != recorded)
    }

    async fn announce_at(&self, address: &str) -> Result<v1::JoinResponse, String> {
        let channel = self.inner.identity.connect(address).map_err(|error| error.to_string())?;
        let mut client = crate::network::client(channel);
        let cluster_name = self.config().cluster_name.clone();
        let cluster_id = self.cluster_id().map(|cluster| cluster.to_string());
        let joiner = Some(self.description());
        let request = v1::JoinRequest { joiner, cluster_name, cluster_id, announces: true };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.join(Request::new(request))).await;
        match answer.map_err(|_| "the leader does not answer".to_owned())? {
            Ok(answer) => Ok(answer.into_inner()),
            // A leader of release 0.2.0 cannot record it. The next leader may.
            Err(status) if status.code() == Code::Unimplemented => Ok(v1::JoinResponse::default()),
            Err(status) => Err(status.message().to_owned()),
        }
    }

    /// Asks at the configured addresses who is there, because a member may have moved, and tells them
    /// where this master is, because nobody may reach it any more.
    async fn find_the_others(&self) {
        let config = self.config();
        let first = config.initial_cluster.values();
        let addresses = first.chain(&config.join).filter(|at| **at != config.grpc_address);
        let addresses = addresses.collect::<BTreeSet<_>>();
        join_all(addresses.into_iter().map(|address| self.find_at(address))).await;
    }

    async fn find_at(&self, address: &str) -> Option<()> {
        let channel = self.inner.identity.connect(address).ok()?;
        let mut client = crate::network::client(channel);
        let question = Request::new(v1::IntroduceRequest::default());
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, client.introduce(question)).await;
        let answer = answer.ok()?.ok()?.into_inner();
        let is_ours = answer.cluster_id.as_ref()?.parse() == Ok(self.cluster_id()?);
        let node = NodeId(answer.master?.node);
        let recorded = self.inner.members.record(node).filter(|_| is_ours)?;
        if self.inner.stores.book.on_found(node, &recorded.addr, address) {
            tracing::info!(%node, recorded = recorded.addr, address, "a member has moved");
        }
        if self.is_recorded_wrongly() {
            let leader = self.announce_at(address).await.ok()?.leader_address?;
            self.announce_at(&leader).await.ok()?;
        }
        Some(())
    }
}
