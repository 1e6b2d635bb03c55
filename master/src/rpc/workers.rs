//! What workers tell the leader, through whichever master they reach.

use std::net::IpAddr;

use proto::v1;
use proto::v1::master_service_server::MasterService;
use tonic::{Request, Response, Status};

use super::heartbeat_relay::{self, HeartbeatRelay};
use super::{answer, refusal};
use crate::operations::{Operations, session_problem};

#[derive(Clone, Debug)]
pub(super) struct WorkerEndpoint {
    pub(super) operations: Operations,
    pub(super) heartbeats: HeartbeatRelay,
}

impl WorkerEndpoint {
    fn leads(&self) -> bool {
        self.operations.leadership().is_leading()
    }
}

#[tonic::async_trait]
impl MasterService for WorkerEndpoint {
    async fn register_worker(
        &self,
        mut request: Request<v1::RegisterWorkerRequest>,
    ) -> Result<Response<v1::RegisterWorkerResponse>, Status> {
        let peer = request.remote_addr().map(|peer| peer.ip());
        let operations = &self.operations;
        let answered = match self.leads() {
            true => operations
                .sessions()
                .register(request.into_inner(), peer)
                .await
                .map_err(|error| session_problem(&error)),
            false => {
                // Only the master that the worker called sees where the call comes from.
                let message = request.get_mut();
                message.address = seen_from(peer, std::mem::take(&mut message.address));
                operations.leader().register_worker(request).await
            }
        };
        match answered {
            Ok(message) => Ok(answer(operations, message)),
            Err(problem) => Err(refusal(operations, problem)),
        }
    }

    async fn send_heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let operations = &self.operations;
        let answered = match self.leads() {
            true => operations
                .sessions()
                .heartbeat(request.into_inner())
                .await
                .map_err(|error| session_problem(&error)),
            false if request.get_ref().goodbye => operations.leader().send_heartbeat(request).await,
            false => self.heartbeats.send(request.into_inner()).await,
        };
        match answered {
            Ok(message) => Ok(answer(operations, message)),
            Err(problem) => Err(refusal(operations, problem)),
        }
    }

    async fn relay_heartbeats(
        &self,
        request: Request<v1::RelayHeartbeatsRequest>,
    ) -> Result<Response<v1::RelayHeartbeatsResponse>, Status> {
        let operations = &self.operations;
        match operations.sessions().relayed(&request.get_ref().heartbeats) {
            Ok(relayed) => Ok(answer(operations, heartbeat_relay::response(relayed))),
            Err(error) => Err(refusal(operations, session_problem(&error))),
        }
    }

    async fn report_task_completion(
        &self,
        request: Request<v1::ReportTaskCompletionRequest>,
    ) -> Result<Response<v1::ReportTaskCompletionResponse>, Status> {
        let operations = &self.operations;
        let answered = match self.leads() {
            true => operations
                .sessions()
                .report(request.into_inner())
                .await
                .map_err(|error| session_problem(&error)),
            false => operations.leader().report_task_completion(request).await,
        };
        match answered {
            Ok(message) => Ok(answer(operations, message)),
            Err(problem) => Err(refusal(operations, problem)),
        }
    }
}

/// The address of a worker that listens on all interfaces, with the host its call came from.
fn seen_from(peer: Option<IpAddr>, address: String) -> String {
    let unspecified = ["0.0.0.0:", "[::]:", ":"];
    let port = unspecified.iter().find_map(|host| address.strip_prefix(host));
    match (peer, port) {
        (Some(IpAddr::V4(ip)), Some(port)) => format!("{ip}:{port}"),
        (Some(IpAddr::V6(ip)), Some(port)) => format!("[{ip}]:{port}"),
        (None, _) | (Some(_), None) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_on_all_interfaces_is_reached_where_it_called_from() {
        let seen = |peer: &str, address: &str| seen_from(peer.parse().ok(), address.to_owned());
        assert_eq!(seen("10.0.0.5", "0.0.0.0:50052"), "10.0.0.5:50052");
        assert_eq!(seen("::1", "[::]:50052"), "[::1]:50052");
        assert_eq!(seen("10.0.0.5", "worker-1:50052"), "worker-1:50052");
        assert_eq!(seen("", "0.0.0.0:50052"), "0.0.0.0:50052");
    }
}
