//! Calls about tasks that wait.

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
}
