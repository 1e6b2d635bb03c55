//! Calls of operators about the masters themselves.

use cluster_state::MasterId;
use proto::v1;
use proto::v1::cluster_service_server::ClusterService;
use tonic::{Request, Response, Status};

use super::{answer, refusal};
use crate::operations::Operations;

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
        let status = self.operations.status().await;
        Ok(answer(&self.operations, status))
    }

    async fn leader(
        &self,
        _: Request<v1::LeaderRequest>,
    ) -> Result<Response<v1::LeaderStatus>, Status> {
        let status = self.operations.leader_status().await;
        Ok(answer(&self.operations, status))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::LeaderStatus>, Status> {
        let to = Some(request.get_ref().to).filter(|to| *to > 0).map(MasterId);
        let transferred = match self.operations.leadership().is_leading() {
            true => self.operations.transfer_leader(to).await,
            false => self.operations.leader_peer().transfer_leader(request).await,
        };
        match transferred {
            Ok(status) => Ok(answer(&self.operations, status)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn acknowledge_mass_loss(
        &self,
        _: Request<v1::AcknowledgeMassLossRequest>,
    ) -> Result<Response<v1::MassLoss>, Status> {
        match self.operations.acknowledge_mass_loss().await {
            Ok((raised, _)) => Ok(answer(&self.operations, raised)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }
}
