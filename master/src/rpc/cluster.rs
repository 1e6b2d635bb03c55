//! Calls of operators about the masters themselves.

use cluster_state::MasterId;
use proto::consistency::Consistency;
use proto::v1;
use proto::v1::cluster_service_server::ClusterService;
use tonic::{Request, Response, Status};

use super::reply;
use crate::operations::Operations;
use crate::wire;

#[derive(Clone, Debug)]
pub(super) struct ClusterEndpoint {
    pub(super) operations: Operations,
}

#[tonic::async_trait]
impl ClusterService for ClusterEndpoint {
    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::ClusterStatus>, Status> {
        let status = self.operations.status(Consistency::Stale.into()).await;
        reply(&self.operations, status, wire::cluster)
    }

    async fn leader(
        &self,
        _: Request<v1::LeaderRequest>,
    ) -> Result<Response<v1::LeaderStatus>, Status> {
        let leader = self.operations.leader_status(Consistency::Stale.into()).await;
        reply(&self.operations, leader, wire::leader)
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::LeaderStatus>, Status> {
        let operations = &self.operations;
        let to = Some(request.get_ref().to).filter(|to| *to > 0).map(MasterId);
        if operations.is_leading() {
            return reply(operations, operations.transfer_leader(to).await, wire::leader);
        }
        let transferred = operations.leader_peer().transfer_leader(request).await;
        let transferred = transferred.map(|status| operations.mark().on(status));
        reply(operations, transferred, std::convert::identity)
    }

    async fn acknowledge_mass_loss(
        &self,
        _: Request<v1::AcknowledgeMassLossRequest>,
    ) -> Result<Response<v1::MassLoss>, Status> {
        reply(&self.operations, self.operations.acknowledge_mass_loss().await, wire::mass_loss)
    }
}
