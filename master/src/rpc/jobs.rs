//! Calls of users about many tasks at once.

use std::sync::Arc;

use cluster_state::{Job, JobAction};
use proto::consistency::Consistency;
use proto::convert;
use proto::problem::Problem;
use proto::v1;
use proto::v1::job_service_server::JobService;
use tonic::{Request, Response, Status};

use super::{caller, reply};
use crate::operations::{Answer, Operations};
use crate::{ids, wire};

#[derive(Clone, Debug)]
pub(super) struct JobEndpoint {
    pub(super) operations: Operations,
}

impl JobEndpoint {
    async fn start(
        &self,
        action: JobAction,
        request: Request<v1::TaskSelection>,
    ) -> Result<Response<v1::Job>, Status> {
        let started: Result<Answer<Arc<Job>>, Problem> = async {
            let caller = caller(&request)?;
            let filter = convert::task_filter(request.into_inner(), action)?;
            self.operations.start_job(action, filter, &caller).await
        }
        .await;
        reply(&self.operations, started, |job| convert::job(&job))
    }
}

#[tonic::async_trait]
impl JobService for JobEndpoint {
    async fn cancel_tasks(
        &self,
        request: Request<v1::TaskSelection>,
    ) -> Result<Response<v1::Job>, Status> {
        self.start(JobAction::Cancel, request).await
    }

    async fn retry_tasks(
        &self,
        request: Request<v1::TaskSelection>,
    ) -> Result<Response<v1::Job>, Status> {
        self.start(JobAction::Retry, request).await
    }

    async fn get(&self, request: Request<v1::GetJobRequest>) -> Result<Response<v1::Job>, Status> {
        let shown = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            self.operations.job(ids::job(&request.job_id)?, consistency.into(), &caller).await
        };
        reply(&self.operations, shown.await, |job| convert::job(&job))
    }

    async fn list(
        &self,
        request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::JobList>, Status> {
        let listed = async {
            let caller = caller(&request)?;
            let consistency = Consistency::try_from(request.get_ref().consistency)?;
            self.operations.jobs(consistency.into(), &caller).await
        };
        reply(&self.operations, listed.await, |jobs| wire::jobs(&jobs))
    }
}
