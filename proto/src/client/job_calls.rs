//! Calls about many tasks at once, each with its rule for repeating.

use super::{Client, ClientError, Repeat};
use crate::consistency::Consistency;
use crate::v1;
use crate::v1::job_service_client::JobServiceClient;

impl Client {
    /// Cancels all tasks that a selection names, and returns the job that does so. It is not repeated where
    /// the first time may have had its effect: other tasks may have come since.
    pub async fn cancel_tasks(&self, selection: v1::TaskSelection) -> Result<v1::Job, ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, selection, |channel, request| async move {
            JobServiceClient::new(channel).cancel_tasks(request).await
        })
        .await
    }

    /// Has all finished tasks run again that a selection names, and returns the job that does so.
    pub async fn retry_tasks(&self, selection: v1::TaskSelection) -> Result<v1::Job, ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, selection, |channel, request| async move {
            JobServiceClient::new(channel).retry_tasks(request).await
        })
        .await
    }

    /// Returns one job.
    pub async fn job(&self, job_id: &str) -> Result<v1::Job, ClientError> {
        let consistency = Consistency::default().into();
        let request = v1::GetJobRequest { job_id: job_id.to_owned(), consistency };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            JobServiceClient::new(channel).get(request).await
        })
        .await
    }

    /// Returns the jobs, newest first.
    pub async fn jobs(&self) -> Result<Vec<v1::Job>, ClientError> {
        let request = v1::ListJobsRequest { consistency: Consistency::default().into() };
        let list = self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            JobServiceClient::new(channel).list(request).await
        });
        Ok(list.await?.jobs)
    }
}
