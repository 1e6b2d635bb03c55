//! Calls of the cluster's services, each with its rule for repeating.

use std::time::Duration;

use cluster_state::millis;
use tokio::time::Instant;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{Client, ClientError, Repeat, Rules};
use crate::consistency::Consistency;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::problem::ErrorKind;
use crate::v1;
use crate::v1::cluster_service_client::ClusterServiceClient;
use crate::v1::registry_service_client::RegistryServiceClient;
use crate::v1::task_service_client::TaskServiceClient;

/// Longest single call that waits for a task; after it the current leader is asked again.
const WAIT_SLICE: Duration = Duration::from_secs(20);
/// Longest hand-over of leadership, which is answered when the other master leads.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the task service of one master, without repeating: for load generators, which count
/// every failure.
#[must_use]
pub fn task_service(channel: Channel) -> TaskServiceClient<Channel> {
    TaskServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

pub(super) fn registry_service(channel: Channel) -> RegistryServiceClient<Channel> {
    RegistryServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

impl Rules {
    /// Returns the same rules for a call that takes so much longer to answer.
    pub(super) fn longer_by(self, expected: Duration) -> Self {
        Self {
            attempt_timeout: self.attempt_timeout.saturating_add(expected),
            deadline: self.deadline.saturating_add(expected),
            ..self
        }
    }
}

impl Client {
    /// Submits all of the tasks or none. Without a key it chooses one, so that it can repeat.
    pub async fn submit(
        &self,
        tasks: Vec<v1::TaskSpec>,
        idempotency_key: Option<String>,
    ) -> Result<Vec<v1::SubmittedTask>, ClientError> {
        let key = idempotency_key.unwrap_or_else(|| Uuid::new_v4().to_string());
        let request = v1::SubmitRequest { tasks, idempotency_key: Some(key) };
        let answer =
            self.call(self.rules(Repeat::Always), request, |channel, request| async move {
                task_service(channel).submit(request).await
            });
        Ok(answer.await?.tasks)
    }

    /// Returns one task.
    pub async fn task(
        &self,
        task_id: &str,
        consistency: Consistency,
    ) -> Result<v1::Task, ClientError> {
        let (task_id, consistency) = (task_id.to_owned(), consistency.into());
        let request = v1::GetTaskRequest { task_id, consistency };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            task_service(channel).get(request).await
        })
        .await
    }

    /// Returns one page of tasks.
    pub async fn tasks(&self, request: v1::ListTasksRequest) -> Result<v1::TaskPage, ClientError> {
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            task_service(channel).list(request).await
        })
        .await
    }

    /// Cancels a task. A repetition that finds the effect of the first time returns it as the
    /// answer.
    pub async fn cancel(&self, task_id: &str) -> Result<v1::SubmittedTask, ClientError> {
        let request = v1::CancelTaskByIdRequest { task_id: task_id.to_owned() };
        let answer = self
            .call(self.rules(Repeat::Always), request, |channel, request| async move {
                task_service(channel).cancel(request).await
            })
            .await;

        match answer {
            Err(error) if error.may_be_own_doing(ErrorKind::Conflict) => {
                let task = self.task(task_id, Consistency::Linearizable).await?;
                let is_cancelled = match task.state() {
                    v1::TaskState::Cancelling | v1::TaskState::Cancelled => true,
                    v1::TaskState::Unspecified
                    | v1::TaskState::Scheduled
                    | v1::TaskState::Queued
                    | v1::TaskState::Assigned
                    | v1::TaskState::Running
                    | v1::TaskState::Completed
                    | v1::TaskState::Failed
                    | v1::TaskState::Blocked
                    | v1::TaskState::Aborted => false,
                };
                let answer = v1::SubmittedTask { task_id: task.task_id, state: task.state };
                if is_cancelled { Ok(answer) } else { Err(error) }
            }
            answer => answer,
        }
    }

    /// Has a finished task run again. It is not repeated where the first time may have had its effect: the
    /// task may have ended again in the meantime.
    pub async fn retry(&self, task_id: &str) -> Result<v1::SubmittedTask, ClientError> {
        let request = v1::RetryTaskRequest { task_id: task_id.to_owned() };
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            task_service(channel).retry(request).await
        })
        .await
    }

    /// Waits until the task is terminal, or for `timeout`, and returns its state. A change of
    /// leaders in the meantime does not matter.
    pub async fn wait(
        &self,
        task_id: &str,
        timeout: Option<Duration>,
    ) -> Result<v1::Task, ClientError> {
        let started = Instant::now();
        loop {
            let left = timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
            let slice = left.unwrap_or(WAIT_SLICE).min(WAIT_SLICE);
            let request =
                v1::WaitTaskRequest { task_id: task_id.to_owned(), timeout_ms: millis(slice) };
            let rules = self.rules(Repeat::Always).longer_by(slice);
            let task = self
                .call(rules, request, |channel, request| async move {
                    task_service(channel).wait(request).await
                })
                .await?;
            if task.is_terminal() || left.is_some_and(|left| left <= slice) {
                return Ok(task);
            }
        }
    }

    /// Registers a worker, or changes its address and labels.
    pub async fn register_worker(
        &self,
        request: v1::RegisterRequest,
    ) -> Result<v1::Worker, ClientError> {
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            registry_service(channel).register(request).await
        })
        .await
    }

    /// Unregisters a worker.
    pub async fn unregister_worker(&self, worker_id: &str) -> Result<(), ClientError> {
        let request = v1::UnregisterRequest { worker_id: worker_id.to_owned() };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            registry_service(channel).unregister(request).await
        })
        .await?;
        Ok(())
    }

    /// Returns one worker.
    pub async fn worker(
        &self,
        worker_id: &str,
        consistency: Consistency,
    ) -> Result<v1::Worker, ClientError> {
        let (worker_id, consistency) = (worker_id.to_owned(), consistency.into());
        let request = v1::GetWorkerRequest { worker_id, consistency };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            registry_service(channel).get(request).await
        })
        .await
    }

    /// Returns one page of workers.
    pub async fn workers(
        &self,
        request: v1::ListWorkersRequest,
    ) -> Result<v1::WorkerPage, ClientError> {
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            registry_service(channel).list(request).await
        })
        .await
    }

    /// Returns the cluster as one of the masters sees it; needs no leader.
    pub async fn status(&self) -> Result<v1::ClusterStatus, ClientError> {
        let request = v1::StatusRequest {};
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ClusterServiceClient::new(channel).status(request).await
        })
        .await
    }

    /// Returns the leader as one of the masters sees it.
    pub async fn leader(&self) -> Result<v1::LeaderStatus, ClientError> {
        let request = v1::LeaderRequest {};
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ClusterServiceClient::new(channel).leader(request).await
        })
        .await
    }

    /// Hands leadership to the master `to`, or to the most caught-up voter.
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<v1::LeaderStatus, ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous).longer_by(TRANSFER_TIMEOUT);
        let request = v1::TransferLeaderRequest { to: to.unwrap_or(0) };
        self.call(rules, request, |channel, request| async move {
            ClusterServiceClient::new(channel).transfer_leader(request).await
        })
        .await
    }
}
