//! The gRPC service of a simulated worker: the protocol of a real one, and tasks that take no time.

use std::sync::Arc;

use futures_util::stream::Empty;
use proto::v1;
use proto::v1::worker_service_server::WorkerService;
use proto::worker_client::TERM_SEEN;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::known_leaders::LeaderRefusal;
use super::worker::{Call, SimulatedWorker};

/// Receives leaders' calls to one worker.
#[derive(Debug, Clone)]
pub(super) struct SimulatedWorkerService(pub(super) Arc<SimulatedWorker>);

impl SimulatedWorkerService {
    fn admit(
        &self,
        header: Option<v1::LeaderHeader>,
        worker_id: &str,
    ) -> Result<v1::LeaderHeader, Status> {
        let header =
            header.ok_or_else(|| Status::invalid_argument("the call does not say who leads"))?;
        let ours = self.0.id();
        if ours != worker_id {
            let detail = format!("this is worker {ours}, not {worker_id}");
            return Err(Status::failed_precondition(detail));
        }
        self.0.leaders().admit(&header).map_err(|refusal| refuse(&refusal))?;
        Ok(header)
    }
}

#[tonic::async_trait]
impl WorkerService for SimulatedWorkerService {
    type StreamTaskLogsStream = Empty<Result<v1::LogChunk, Status>>;

    async fn master_register(
        &self,
        request: Request<v1::MasterRegisterRequest>,
    ) -> Result<Response<v1::MasterRegisterResponse>, Status> {
        let request = request.into_inner();
        let leader = self.admit(request.leader, &request.worker_id)?;
        let session_stands = self.0.leaders().has_session_with(&leader);
        if !session_stands {
            let masters = request.masters.into_iter().map(|master| master.address).collect();
            self.0.on_called(Call { leader: leader.leader_address, masters });
        }
        let incarnation = self.0.incarnation().to_owned();
        Ok(Response::new(v1::MasterRegisterResponse { incarnation, session_stands }))
    }

    async fn assign_task(
        &self,
        request: Request<v1::AssignTaskRequest>,
    ) -> Result<Response<v1::AssignTaskResponse>, Status> {
        let request = request.into_inner();
        self.admit(request.leader, &request.worker_id)?;
        match self.0.leaders().epoch() {
            None => return Err(Status::unavailable("there is no session")),
            Some(ours) if ours != request.epoch => {
                return Err(Status::failed_precondition("another registration owns the attempts"));
            }
            Some(_) => {}
        }
        let attempts = request.assignments.into_iter().filter_map(|one| one.attempt);
        let accepted = attempts.filter(|attempt| self.0.finish(attempt.clone())).collect();
        Ok(Response::new(v1::AssignTaskResponse { accepted }))
    }

    async fn cancel_task(
        &self,
        request: Request<v1::CancelTaskRequest>,
    ) -> Result<Response<v1::CancelTaskResponse>, Status> {
        let request = request.into_inner();
        self.admit(request.leader, &request.worker_id)?;
        // Whatever was assigned has ended by now.
        Ok(Response::new(v1::CancelTaskResponse { unknown: request.attempts }))
    }

    async fn dismiss(
        &self,
        request: Request<v1::DismissRequest>,
    ) -> Result<Response<v1::DismissResponse>, Status> {
        let request = request.into_inner();
        self.admit(request.leader, &request.worker_id)?;
        self.0.leaders().set_session(None);
        Ok(Response::new(v1::DismissResponse { running: 0 }))
    }

    async fn stream_task_logs(
        &self,
        _: Request<v1::StreamTaskLogsRequest>,
    ) -> Result<Response<Self::StreamTaskLogsStream>, Status> {
        Err(Status::not_found("a simulated worker keeps no logs"))
    }
}

fn refuse(refusal: &LeaderRefusal) -> Status {
    let mut status = Status::failed_precondition(refusal.to_string());
    if let LeaderRefusal::OlderTerm { seen } = refusal {
        status.metadata_mut().insert(TERM_SEEN, MetadataValue::from(*seen));
    }
    status
}
