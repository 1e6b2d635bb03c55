//! Calls of workers to a master, as a test wants them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should panic")]

use cluster_state::{DataId, Incarnation};
use eventually::{PATIENCE, eventually};
use proto::v1;
use proto::v1::master_service_client::MasterServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::one_master::OneMaster;

/// Nobody listens there.
pub(crate) const NOWHERE: &str = "127.0.0.1:9";

/// Workers that call a master.
pub(crate) struct WorkerCalls {
    client: MasterServiceClient<Channel>,
}

impl WorkerCalls {
    pub(crate) async fn of(master: &OneMaster) -> Self {
        let url = format!("http://{}", master.grpc());
        Self { client: MasterServiceClient::connect(url).await.unwrap() }
    }

    /// A worker with one processor registers itself.
    pub(crate) async fn connect(
        &self,
        worker: &str,
        address: &str,
        token: &str,
    ) -> Result<v1::RegisterWorkerResponse, Status> {
        let request = registration(worker, address, 1, 1);
        self.register(v1::RegisterWorkerRequest { join_token: token.to_owned(), ..request }).await
    }

    pub(crate) async fn register(
        &self,
        request: v1::RegisterWorkerRequest,
    ) -> Result<v1::RegisterWorkerResponse, Status> {
        Ok(self.client.clone().register_worker(request).await?.into_inner())
    }

    /// Sends a heartbeat and returns true if the master wants the worker to register again.
    pub(crate) async fn heartbeat(&self, worker: &str, epoch: u64) -> bool {
        self.heartbeat_saying(worker, epoch, None).await
    }

    /// As [`Self::heartbeat`], from a worker that says why it cannot start programs.
    pub(crate) async fn heartbeat_saying(
        &self,
        worker: &str,
        epoch: u64,
        unfit: Option<&str>,
    ) -> bool {
        let request = v1::HeartbeatRequest {
            worker_id: worker.to_owned(),
            epoch,
            unfit: unfit.map(str::to_owned),
            ..Default::default()
        };
        eventually("the heartbeat is answered", PATIENCE, async || {
            match self.client.clone().send_heartbeat(request.clone()).await {
                Ok(answer) => Ok(answer.into_inner().register_again),
                // A worker says it again: this master may have begun to lead just now.
                Err(status) if status.code() == Code::Unavailable => Err(status.to_string()),
                Err(status) => panic!("{status}"),
            }
        })
        .await
    }

    /// Reports how an attempt of `worker-1` ended, and returns how many results are confirmed.
    pub(crate) async fn report(
        &self,
        session: &v1::RegisterWorkerResponse,
        attempt: v1::AttemptRef,
        exit_code: i32,
    ) -> usize {
        let outcome = Some(v1::finished_attempt::Outcome::ExitCode(exit_code));
        let report = v1::ReportTaskCompletionRequest {
            cluster_id: session.leader.clone().unwrap().cluster_id,
            worker_id: "worker-1".to_owned(),
            epoch: session.epoch,
            finished: vec![v1::FinishedAttempt {
                attempt: Some(attempt),
                outcome,
                ..v1::FinishedAttempt::default()
            }],
            ..v1::ReportTaskCompletionRequest::default()
        };
        let answer = self.client.clone().report_task_completion(report).await.unwrap();
        answer.into_inner().confirmed.len()
    }
}

/// Returns the registration of a worker with one processor that was started so often in that
/// directory.
pub(crate) fn registration(
    worker: &str,
    address: &str,
    directory: u128,
    start: u64,
) -> v1::RegisterWorkerRequest {
    let total = v1::Resources { cpu: Some(1.0), memory_mb: Some(4_096), ..Default::default() };
    v1::RegisterWorkerRequest {
        worker_id: worker.to_owned(),
        data_id: DataId(directory).to_string(),
        start,
        incarnation: Incarnation(directory * 100 + u128::from(start)).to_string(),
        address: address.to_owned(),
        address_is_advertised: true,
        specs: Some(v1::WorkerSpecs { total: Some(total), ..Default::default() }),
        ..Default::default()
    }
}
