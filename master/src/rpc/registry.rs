//! Calls of operators about the worker registry.

use cluster_state::RegisterWorker;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use proto::consistency::Consistency;
use proto::convert;
use proto::problem::Problem;
use proto::v1;
use proto::v1::registry_service_server::RegistryService;
use tonic::{Request, Response, Status};

use super::{caller, reply, reply_unmarked};
use crate::operations::{Operations, Reading, ReconnectTarget};
use crate::peer::{check_leads_if_forwarded, is_forwarded};
use crate::{ids, wire};

#[derive(Clone, Debug)]
pub(super) struct RegistryEndpoint {
    pub(super) operations: Operations,
}

impl RegistryEndpoint {
    fn reading<T>(&self, request: &Request<T>, consistency: i32) -> Result<Reading, Problem> {
        check_leads_if_forwarded(request, self.operations.is_leading())?;
        Consistency::try_from(consistency).map(Reading::from)
    }
}

#[tonic::async_trait]
impl RegistryService for RegistryEndpoint {
    type WatchUsageStream = BoxStream<'static, Result<v1::UsageSample, Status>>;

    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        let registered = async {
            let caller = caller(&request)?;
            let command = RegisterWorker::try_from(request.into_inner())?;
            self.operations.register_worker(command, &caller).await
        };
        reply(&self.operations, registered.await, |(worker, _)| wire::own_worker(worker))
    }

    async fn unregister(
        &self,
        request: Request<v1::UnregisterRequest>,
    ) -> Result<Response<v1::UnregisterResponse>, Status> {
        let unregistered = async {
            let id = ids::worker(&request.get_ref().worker_id)?;
            self.operations.unregister_worker(id, &caller(&request)?).await
        };
        reply(&self.operations, unregistered.await, |()| v1::UnregisterResponse {})
    }

    async fn forget(
        &self,
        request: Request<v1::ForgetWorkerRequest>,
    ) -> Result<Response<v1::ForgetWorkerResponse>, Status> {
        let forgotten = async {
            let caller = caller(&request)?;
            let v1::ForgetWorkerRequest { worker_id, force } = request.into_inner();
            self.operations.forget_worker(ids::worker(&worker_id)?, force, &caller).await
        };
        reply(&self.operations, forgotten.await, |()| v1::ForgetWorkerResponse {})
    }

    async fn get(
        &self,
        request: Request<v1::GetWorkerRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        let shown = async {
            let reading = self.reading(&request, request.get_ref().consistency)?;
            let id = ids::worker(&request.get_ref().worker_id)?;
            self.operations.worker(&id, reading).await
        };
        reply(&self.operations, shown.await, wire::worker)
    }

    async fn list(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::WorkerPage>, Status> {
        let listed = async {
            let message = request.get_ref();
            let reading = self.reading(&request, message.consistency)?;
            let limit = usize::try_from(message.limit).ok().filter(|limit| *limit > 0);
            let after = ids::cursor(message.cursor.as_deref())?;
            self.operations.worker_page(limit, after, reading).await
        };
        reply(&self.operations, listed.await, wire::worker_page)
    }

    async fn set_scheduling(
        &self,
        request: Request<v1::SetSchedulingRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        let changed = async {
            let command = wire::set_scheduling(request.get_ref())?;
            self.operations.set_scheduling(command, &caller(&request)?).await
        };
        reply(&self.operations, changed.await, wire::own_worker)
    }

    async fn label(
        &self,
        request: Request<v1::LabelWorkerRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        let changed = async {
            let caller = caller(&request)?;
            let command = wire::label_worker(request.into_inner())?;
            self.operations.label_worker(command, &caller).await
        };
        reply(&self.operations, changed.await, wire::own_worker)
    }

    async fn history(
        &self,
        request: Request<v1::WorkerHistoryRequest>,
    ) -> Result<Response<v1::WorkerHistory>, Status> {
        let request = request.into_inner();
        let shown = async {
            let consistency = Consistency::try_from(request.consistency)?;
            let id = ids::worker(&request.worker_id)?;
            self.operations.worker_record(&id, consistency.into()).await
        };
        reply(&self.operations, shown.await, |worker| convert::worker_history(&worker))
    }

    async fn reconnect(
        &self,
        request: Request<v1::ReconnectRequest>,
    ) -> Result<Response<v1::ReconnectResponse>, Status> {
        let reconnected = async {
            check_leads_if_forwarded(&request, self.operations.is_leading())?;
            let target = match request.get_ref().worker_id.as_str() {
                "" => ReconnectTarget::AllInactive,
                id => ReconnectTarget::One(ids::worker(id)?),
            };
            self.operations.reconnect(target).await
        };
        reply(&self.operations, reconnected.await, wire::reconnections)
    }

    async fn usage(
        &self,
        request: Request<v1::WorkerUsageRequest>,
    ) -> Result<Response<v1::WorkerMetrics>, Status> {
        let shown = async {
            check_leads_if_forwarded(&request, self.operations.is_leading())?;
            let id = ids::worker(&request.get_ref().worker_id)?;
            self.operations.usage(&id, Reading::default()).await
        };
        reply(&self.operations, shown.await, std::convert::identity)
    }

    async fn watch_usage(
        &self,
        request: Request<v1::WatchUsageRequest>,
    ) -> Result<Response<Self::WatchUsageStream>, Status> {
        // Another master wants what this one hears itself; a client wants it from whoever leads.
        let watched = match is_forwarded(&request) {
            true => self.operations.watch_own_usage(),
            false => Ok(self.operations.watch_usage()),
        };
        let stopping = self.operations.stopping().clone().cancelled_owned();
        let watched = watched.map(|samples| {
            let samples = samples.map(|sample| Ok(v1::UsageSample::clone(&sample)));
            samples.take_until(stopping).boxed()
        });
        reply_unmarked(&self.operations, watched)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreatedToken>, Status> {
        let created = async {
            let caller = caller(&request)?;
            let token = wire::new_token(request.into_inner())?;
            self.operations.create_token(token, &caller).await
        };
        reply(&self.operations, created.await, wire::created_token)
    }

    async fn list_tokens(
        &self,
        _: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::TokenList>, Status> {
        reply(&self.operations, self.operations.tokens(Reading::default()).await, wire::tokens)
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let revoked = async {
            let id = ids::token(&request.get_ref().token_id)?;
            self.operations.revoke_token(id, &caller(&request)?).await
        };
        reply(&self.operations, revoked.await, |()| v1::RevokeTokenResponse {})
    }
}
