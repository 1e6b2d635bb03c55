//! Calls about schedules, each with its rule for repeating.

use uuid::Uuid;

use super::{Client, ClientError, Repeat};
use crate::v1;
use crate::v1::schedule_service_client::ScheduleServiceClient;

impl Client {
    /// Creates a schedule.
    pub async fn create_schedule(
        &self,
        request: v1::ScheduleSpec,
    ) -> Result<v1::Schedule, ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            ScheduleServiceClient::new(channel).create(request).await
        })
        .await
    }

    /// Replaces a schedule.
    pub async fn replace_schedule(
        &self,
        request: v1::ScheduleSpec,
    ) -> Result<v1::Schedule, ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            ScheduleServiceClient::new(channel).replace(request).await
        })
        .await
    }

    /// Returns a schedule with its latest runs.
    pub async fn schedule(&self, name: &str) -> Result<v1::Schedule, ClientError> {
        let request =
            v1::GetScheduleRequest { name: name.to_owned(), ..v1::GetScheduleRequest::default() };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ScheduleServiceClient::new(channel).get(request).await
        })
        .await
    }

    /// Returns one page of schedules, by name.
    pub async fn schedules(
        &self,
        request: v1::ListSchedulesRequest,
    ) -> Result<v1::SchedulePage, ClientError> {
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ScheduleServiceClient::new(channel).list(request).await
        })
        .await
    }

    /// Returns the next nominal times of a schedule.
    pub async fn next_runs(&self, name: &str, count: u32) -> Result<v1::NextRuns, ClientError> {
        let name = name.to_owned();
        let request = v1::NextRunsRequest { name, count, ..v1::NextRunsRequest::default() };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ScheduleServiceClient::new(channel).next(request).await
        })
        .await
    }

    /// Starts a run of a schedule. The order has a key of its own, so that it may be repeated.
    pub async fn run_schedule(&self, name: &str) -> Result<v1::SubmittedTask, ClientError> {
        let idempotency_key = Some(Uuid::new_v4().to_string());
        let request = v1::RunScheduleRequest { name: name.to_owned(), idempotency_key };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ScheduleServiceClient::new(channel).run(request).await
        })
        .await
    }

    /// Pauses or resumes a schedule.
    pub async fn pause_schedule(
        &self,
        name: &str,
        paused: bool,
    ) -> Result<v1::Schedule, ClientError> {
        let request = v1::PauseScheduleRequest { name: name.to_owned(), paused };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            ScheduleServiceClient::new(channel).pause(request).await
        })
        .await
    }

    /// Deletes a schedule.
    pub async fn delete_schedule(&self, name: &str) -> Result<(), ClientError> {
        let request = v1::DeleteScheduleRequest { name: name.to_owned() };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            ScheduleServiceClient::new(channel).delete(request).await
        })
        .await?;
        Ok(())
    }
}
