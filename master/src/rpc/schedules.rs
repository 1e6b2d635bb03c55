//! Calls of users about schedules.

use cluster_state::KnownSchedule;
use proto::consistency::Consistency;
use proto::convert::NewSchedule;
use proto::v1;
use proto::v1::schedule_service_server::ScheduleService;
use tonic::{Request, Response, Status};

use super::{caller, reply};
use crate::operations::{Operations, SubmissionKey};
use crate::{ids, wire};

#[derive(Clone, Debug)]
pub(super) struct ScheduleEndpoint {
    pub(super) operations: Operations,
}

impl ScheduleEndpoint {
    async fn put(
        &self,
        request: Request<v1::ScheduleSpec>,
        known: KnownSchedule,
    ) -> Result<Response<v1::Schedule>, Status> {
        let put = async {
            let caller = caller(&request)?;
            let new = NewSchedule::try_from(request.into_inner())?;
            self.operations.put_schedule(new, known, &caller).await
        };
        reply(&self.operations, put.await, wire::schedule)
    }
}

#[tonic::async_trait]
impl ScheduleService for ScheduleEndpoint {
    async fn create(
        &self,
        request: Request<v1::ScheduleSpec>,
    ) -> Result<Response<v1::Schedule>, Status> {
        self.put(request, KnownSchedule::None).await
    }

    async fn replace(
        &self,
        request: Request<v1::ScheduleSpec>,
    ) -> Result<Response<v1::Schedule>, Status> {
        self.put(request, KnownSchedule::Some).await
    }

    async fn get(
        &self,
        request: Request<v1::GetScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let shown = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            let name = ids::schedule(&request.name)?;
            self.operations.schedule(&name, consistency.into(), &caller).await
        };
        reply(&self.operations, shown.await, wire::schedule)
    }

    async fn list(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::SchedulePage>, Status> {
        let listed = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
            let after = ids::cursor(request.cursor.as_deref())?;
            self.operations.schedules(limit, after, consistency.into(), &caller).await
        };
        reply(&self.operations, listed.await, wire::schedule_page)
    }

    async fn next(
        &self,
        request: Request<v1::NextRunsRequest>,
    ) -> Result<Response<v1::NextRuns>, Status> {
        let next = async {
            let caller = caller(&request)?;
            let request = request.get_ref();
            let consistency = Consistency::try_from(request.consistency)?;
            let name = ids::schedule(&request.name)?;
            let count = usize::try_from(request.count).ok().filter(|count| *count > 0);
            self.operations.next_runs(&name, count, consistency.into(), &caller).await
        };
        reply(&self.operations, next.await, wire::next_runs)
    }

    async fn run(
        &self,
        request: Request<v1::RunScheduleRequest>,
    ) -> Result<Response<v1::SubmittedTask>, Status> {
        let run = async {
            let caller = caller(&request)?;
            let v1::RunScheduleRequest { name, idempotency_key } = request.into_inner();
            let key = idempotency_key.map(SubmissionKey::try_from).transpose()?;
            self.operations.run_schedule(ids::schedule(&name)?, key, &caller).await
        };
        reply(&self.operations, run.await, wire::task_status)
    }

    async fn pause(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let paused = async {
            let caller = caller(&request)?;
            let v1::PauseScheduleRequest { name, paused } = request.get_ref();
            self.operations.pause_schedule(ids::schedule(name)?, *paused, &caller).await
        };
        reply(&self.operations, paused.await, wire::schedule)
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteScheduleRequest>,
    ) -> Result<Response<v1::DeleteScheduleResponse>, Status> {
        let deleted = async {
            let caller = caller(&request)?;
            let name = ids::schedule(&request.get_ref().name)?;
            self.operations.delete_schedule(name, &caller).await
        };
        reply(&self.operations, deleted.await, |()| v1::DeleteScheduleResponse {})
    }
}
