//! Calls of users about tasks.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use proto::consistency::Consistency;
use proto::convert;
use proto::output::OutputStream;
use proto::problem::{ErrorKind, Problem};
use proto::v1;
use proto::v1::task_service_server::TaskService;
use tonic::{Request, Response, Status};

use super::{caller, reply, reply_unmarked, watch};
use crate::operations::{LogRequest, LogScope, Operations, SubmissionKey};
use crate::peer::check_leads_if_forwarded;
use crate::task_query::TaskQuery;
use crate::{ids, wire};

/// Longest wait: clients that want to wait longer ask again.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

#[derive(Clone, Debug)]
pub(super) struct TaskEndpoint {
    pub(super) operations: Operations,
}

#[tonic::async_trait]
impl TaskService for TaskEndpoint {
    type LogsStream = BoxStream<'static, Result<v1::LogChunk, Status>>;
    type WatchStream = BoxStream<'static, Result<v1::WatchedEvent, Status>>;

    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let submitted = async {
            let caller = caller(&request)?;
            let v1::SubmitRequest { tasks, idempotency_key } = request.into_inner();
            let key = idempotency_key.map(SubmissionKey::try_from).transpose()?;
            self.operations.submit(convert::task_batch(tasks)?, key, &caller).await
        };
        let message = |tasks| v1::SubmitResponse { tasks: wire::submitted(tasks) };
        reply(&self.operations, submitted.await, message)
    }

    async fn get(
        &self,
        request: Request<v1::GetTaskRequest>,
    ) -> Result<Response<v1::Task>, Status> {
        let shown = async {
            check_leads_if_forwarded(&request, self.operations.is_leading())?;
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            let id = ids::task(&request.task_id)?;
            self.operations.task(id, consistency.into(), &caller).await
        };
        reply(&self.operations, shown.await, wire::task)
    }

    async fn list(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::TaskPage>, Status> {
        let listed = async {
            check_leads_if_forwarded(&request, self.operations.is_leading())?;
            let caller = caller(&request)?;
            let request = request.get_ref();
            let query = TaskQuery::try_from(request)?;
            let consistency = Consistency::try_from(request.consistency)?;
            self.operations.tasks(query, consistency.into(), &caller).await
        };
        reply(&self.operations, listed.await, wire::task_page)
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelTaskByIdRequest>,
    ) -> Result<Response<v1::SubmittedTask>, Status> {
        let cancelled = async {
            let id = ids::task(&request.get_ref().task_id)?;
            self.operations.cancel(id, &caller(&request)?).await
        };
        reply(&self.operations, cancelled.await, wire::task_status)
    }

    async fn retry(
        &self,
        request: Request<v1::RetryTaskRequest>,
    ) -> Result<Response<v1::SubmittedTask>, Status> {
        let retried = async {
            let id = ids::task(&request.get_ref().task_id)?;
            self.operations.retry(id, &caller(&request)?).await
        };
        reply(&self.operations, retried.await, wire::task_status)
    }

    async fn wait(
        &self,
        request: Request<v1::WaitTaskRequest>,
    ) -> Result<Response<v1::Task>, Status> {
        let ended = async {
            let v1::WaitTaskRequest { task_id, timeout_ms } = request.get_ref();
            let patience = Duration::from_millis(*timeout_ms).min(WAIT_MAX);
            let caller = caller(&request)?;
            let task = self.operations.wait(ids::task(task_id)?, patience, &caller).await?;
            Ok(task.map(|task| self.operations.shown(task, &caller)))
        };
        reply(&self.operations, ended.await, wire::task)
    }

    async fn logs(
        &self,
        request: Request<v1::TaskLogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let opened = async {
            let caller = caller(&request)?;
            let request = request.into_inner();
            let stream = OutputStream::of(request.stream)
                .map_err(|error| Problem::new(ErrorKind::Malformed, error.to_string()))?;
            let scope = LogScope::new(request.follow, request.attempt, request.from_attempt);
            let request = LogRequest {
                task: ids::task(&request.task_id)?,
                scope,
                stream,
                tail_lines: request.tail_lines,
                stdout_offset: request.stdout_offset,
                stderr_offset: request.stderr_offset,
            };
            let chunks = self.operations.logs(request, &caller).await?;
            Ok(chunks.map(|piece| piece.map(wire::log_chunk).map_err(Status::from)).boxed())
        };
        reply_unmarked(&self.operations, opened.await)
    }
    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let opened = async {
            let caller = caller(&request)?;
            watch::open(&self.operations, request.get_ref(), &caller).await
        };
        reply_unmarked(&self.operations, opened.await)
    }
}
