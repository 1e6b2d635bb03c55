//! Calls of operators about orphaned results, each with its rule for repeating.

use super::{Client, ClientError, Repeat};
use crate::v1;
use crate::v1::cluster_service_client::ClusterServiceClient;

impl Client {
    /// Returns one page of orphaned results, oldest first.
    pub async fn orphans(
        &self,
        request: v1::ListOrphansRequest,
    ) -> Result<v1::OrphanPage, ClientError> {
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ClusterServiceClient::new(channel).list_orphans(request).await
        })
        .await
    }

    /// Drops orphaned results, and returns how many there were.
    pub async fn drop_orphans(&self, request: v1::DropOrphansRequest) -> Result<u32, ClientError> {
        let rules = self.rules(Repeat::UnlessAmbiguous);
        let answer = self.call(rules, request, |channel, request| async move {
            ClusterServiceClient::new(channel).drop_orphans(request).await
        });
        Ok(answer.await?.dropped)
    }
}
