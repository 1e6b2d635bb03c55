//! Calls of operators about the worker registry.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use proto::consistency::Consistency;
use proto::problem::Problem;
use proto::v1;
use proto::v1::registry_service_server::RegistryService;
use tonic::{Request, Response, Status};

use super::forwarded::check_leads_if_forwarded;
use super::{answer, refusal};
use crate::operations::{Operations, Reading};
use crate::peer::is_forwarded;

#[derive(Clone, Debug)]
pub(super) struct RegistryEndpoint {
    pub(super) operations: Operations,
}

impl RegistryEndpoint {
    fn reading<T>(&self, request: &Request<T>, consistency: i32) -> Result<Reading, Problem> {
        check_leads_if_forwarded(request, &self.operations)?;
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
        match self.operations.register_worker(request.into_inner()).await {
            Ok((worker, _, _)) => Ok(answer(&self.operations, worker)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn unregister(
        &self,
        request: Request<v1::UnregisterRequest>,
    ) -> Result<Response<v1::UnregisterResponse>, Status> {
        match self.operations.unregister_worker(&request.into_inner().worker_id).await {
            Ok(_) => Ok(answer(&self.operations, v1::UnregisterResponse {})),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn get(
        &self,
        request: Request<v1::GetWorkerRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        let shown = async {
            let reading = self.reading(&request, request.get_ref().consistency)?;
            self.operations.worker(&request.get_ref().worker_id, reading).await
        };
        match shown.await {
            Ok((worker, _)) => Ok(answer(&self.operations, worker)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn list(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::WorkerPage>, Status> {
        let listed = async {
            let message = request.get_ref();
            let reading = self.reading(&request, message.consistency)?;
            let limit = usize::try_from(message.limit).ok().filter(|limit| *limit > 0);
            self.operations.worker_page(limit, message.cursor.as_deref(), reading).await
        };
        match listed.await {
            Ok((page, _)) => Ok(answer(&self.operations, page)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn set_scheduling(
        &self,
        request: Request<v1::SetSchedulingRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        match self.operations.set_scheduling(request.get_ref()).await {
            Ok((worker, _)) => Ok(answer(&self.operations, worker)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn label(
        &self,
        request: Request<v1::LabelWorkerRequest>,
    ) -> Result<Response<v1::Worker>, Status> {
        match self.operations.label_worker(request.into_inner()).await {
            Ok((worker, _)) => Ok(answer(&self.operations, worker)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn history(
        &self,
        request: Request<v1::WorkerHistoryRequest>,
    ) -> Result<Response<v1::WorkerHistory>, Status> {
        let request = request.into_inner();
        let shown = async {
            let consistency = Consistency::try_from(request.consistency)?;
            self.operations.worker_history(&request.worker_id, consistency.into()).await
        };
        match shown.await {
            Ok((history, _)) => Ok(answer(&self.operations, history)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn reconnect(
        &self,
        request: Request<v1::ReconnectRequest>,
    ) -> Result<Response<v1::ReconnectResponse>, Status> {
        let reconnected = async {
            check_leads_if_forwarded(&request, &self.operations)?;
            self.operations.reconnect(request.into_inner()).await
        };
        match reconnected.await {
            Ok((response, _)) => Ok(answer(&self.operations, response)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn usage(
        &self,
        request: Request<v1::WorkerUsageRequest>,
    ) -> Result<Response<v1::WorkerMetrics>, Status> {
        let shown = async {
            let reading = self.reading(&request, Consistency::Linearizable.into())?;
            self.operations.usage(&request.get_ref().worker_id, reading).await
        };
        match shown.await {
            Ok((metrics, _)) => Ok(answer(&self.operations, metrics)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
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
        match watched {
            Ok(samples) => {
                let samples = samples.map(|sample| Ok(v1::UsageSample::clone(&sample)));
                let stopping = self.operations.stopping().clone().cancelled_owned();
                Ok(answer(&self.operations, samples.take_until(stopping).boxed()))
            }
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreatedToken>, Status> {
        match self.operations.create_token(request.into_inner()).await {
            Ok((token, _)) => Ok(answer(&self.operations, token)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn list_tokens(
        &self,
        _: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::TokenList>, Status> {
        match self.operations.tokens(Reading::default()).await {
            Ok((tokens, _)) => Ok(answer(&self.operations, tokens)),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        match self.operations.revoke_token(&request.get_ref().token_id).await {
            Ok(_) => Ok(answer(&self.operations, v1::RevokeTokenResponse {})),
            Err(problem) => Err(refusal(&self.operations, problem)),
        }
    }
}
