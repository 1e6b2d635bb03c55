//! Calls of users about the queue.

use proto::consistency::Consistency;
use proto::v1;
use proto::v1::queue_service_server::QueueService;
use tonic::{Request, Response, Status};

use super::{caller, reply};
use crate::operations::Operations;
use crate::{ids, wire};

#[derive(Clone, Debug)]
pub(super) struct QueueEndpoint {
    pub(super) operations: Operations,
}

#[tonic::async_trait]
impl QueueService for QueueEndpoint {
    async fn show(
        &self,
        request: Request<v1::ShowQueueRequest>,
    ) -> Result<Response<v1::QueueSummary>, Status> {
        let shown = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            self.operations.queue(request.limit, consistency.into(), &caller).await
        };
        reply(&self.operations, shown.await, wire::queue_summary)
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainTaskRequest>,
    ) -> Result<Response<v1::TaskExplanation>, Status> {
        let explained = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            let id = ids::task(&request.task_id)?;
            self.operations.explain(id, consistency.into(), &caller).await
        };
        reply(&self.operations, explained.await, wire::task_explanation)
    }
}
