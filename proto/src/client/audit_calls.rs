//! Calls of admins about the trail.

use super::{Client, ClientError, Repeat};
use crate::v1;
use crate::v1::audit_service_client::AuditServiceClient;

impl Client {
    /// Returns one page of the trail.
    pub async fn audit(&self, request: v1::ListAuditRequest) -> Result<v1::AuditPage, ClientError> {
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            let client = AuditServiceClient::new(channel);
            let mut client = client.max_decoding_message_size(crate::limits::MESSAGE_BYTES_MAX);
            client.list_audit(request).await
        })
        .await
    }
}
