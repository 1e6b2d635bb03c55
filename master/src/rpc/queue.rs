//! Calls of users about the queue, and about named queues.

use proto::consistency::Consistency;
use proto::convert::NewQueue;
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
    async fn list(
        &self,
        request: Request<v1::ListQueuesRequest>,
    ) -> Result<Response<v1::QueueList>, Status> {
        let listed = async {
            let caller = caller(&request)?;
            let consistency = Consistency::try_from(request.get_ref().consistency)?;
            self.operations.named_queues(consistency.into(), &caller).await
        };
        reply(&self.operations, listed.await, wire::queue_list)
    }

    async fn get(
        &self,
        request: Request<v1::GetQueueRequest>,
    ) -> Result<Response<v1::Queue>, Status> {
        let shown = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            let name = ids::queue(&request.name)?;
            self.operations.named_queue(name, consistency.into(), &caller).await
        };
        reply(&self.operations, shown.await, wire::named_queue)
    }

    async fn put(&self, request: Request<v1::QueueSpec>) -> Result<Response<v1::Queue>, Status> {
        let put = async {
            let caller = caller(&request)?;
            let new = NewQueue::try_from(request.into_inner())?;
            self.operations.put_queue(new, &caller).await
        };
        reply(&self.operations, put.await, wire::named_queue)
    }

    async fn pause(
        &self,
        request: Request<v1::PauseQueueRequest>,
    ) -> Result<Response<v1::Queue>, Status> {
        let paused = async {
            let caller = caller(&request)?;
            let v1::PauseQueueRequest { name, paused } = request.get_ref();
            self.operations.pause_queue(ids::queue(name)?, *paused, &caller).await
        };
        reply(&self.operations, paused.await, wire::named_queue)
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteQueueRequest>,
    ) -> Result<Response<v1::DeleteQueueResponse>, Status> {
        let deleted = async {
            let caller = caller(&request)?;
            let name = ids::queue(&request.get_ref().name)?;
            self.operations.delete_queue(name, &caller).await
        };
        reply(&self.operations, deleted.await, |()| v1::DeleteQueueResponse {})
    }
}
