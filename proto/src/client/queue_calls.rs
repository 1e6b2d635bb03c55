//! Calls about tasks that wait, and about named queues.

use super::{Client, ClientError, Repeat};
use crate::consistency::Consistency;
use crate::v1;
use crate::v1::queue_service_client::QueueServiceClient;

impl Client {
    /// Returns the sum of the queue, with up to so many classes.
    pub async fn queue(&self, limit: u32) -> Result<v1::QueueSummary, ClientError> {
        let consistency = Consistency::default().into();
        let request = v1::ShowQueueRequest { limit: Some(limit), consistency };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            let client = QueueServiceClient::new(channel);
            let mut client = client.max_decoding_message_size(crate::limits::MESSAGE_BYTES_MAX);
            client.show(request).await
        })
        .await
    }

    /// Explains why a task waits.
    pub async fn explain(&self, task_id: &str) -> Result<v1::TaskExplanation, ClientError> {
        let consistency = Consistency::default().into();
        let request = v1::ExplainTaskRequest { task_id: task_id.to_owned(), consistency };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            QueueServiceClient::new(channel).explain(request).await
        })
        .await
    }

    /// Returns all named queues.
    pub async fn queues(&self) -> Result<v1::QueueList, ClientError> {
        let request = v1::ListQueuesRequest::default();
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            QueueServiceClient::new(channel).list(request).await
        })
        .await
    }

    /// Returns a named queue.
    pub async fn named_queue(&self, name: &str) -> Result<v1::Queue, ClientError> {
        let request =
            v1::GetQueueRequest { name: name.to_owned(), ..v1::GetQueueRequest::default() };
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            QueueServiceClient::new(channel).get(request).await
        })
        .await
    }

    /// Creates a named queue, or sets all that it has.
    pub async fn put_queue(&self, request: v1::QueueSpec) -> Result<v1::Queue, ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            QueueServiceClient::new(channel).put(request).await
        })
        .await
    }

    /// Pauses or resumes a named queue.
    pub async fn pause_queue(&self, name: &str, paused: bool) -> Result<v1::Queue, ClientError> {
        let request = v1::PauseQueueRequest { name: name.to_owned(), paused };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            QueueServiceClient::new(channel).pause(request).await
        })
        .await
    }

    /// Deletes a named queue.
    pub async fn delete_queue(&self, name: &str) -> Result<(), ClientError> {
        let request = v1::DeleteQueueRequest { name: name.to_owned() };
        let rules = self.rules(Repeat::UnlessAmbiguous);
        self.call(rules, request, |channel, request| async move {
            QueueServiceClient::new(channel).delete(request).await
        })
        .await?;
        Ok(())
    }
}
