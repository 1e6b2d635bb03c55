//! Calls of operators about upgrades, each with its rule for repeating.

use super::{Client, ClientError, Repeat};
use crate::v1;
use crate::v1::cluster_service_client::ClusterServiceClient;

impl Client {
    /// Returns the state of an upgrade; needs no leader.
    pub async fn upgrade(&self) -> Result<v1::UpgradeStatus, ClientError> {
        let request = v1::GetUpgradeRequest {};
        self.call(self.rules(Repeat::Always), request, |channel, request| async move {
            ClusterServiceClient::new(channel).get_upgrade(request).await
        })
        .await
    }

    /// Holds the feature level, or lets it rise.
    pub async fn hold_level(&self, hold: bool) -> Result<v1::UpgradeStatus, ClientError> {
        let request = v1::SetUpgradeRequest { hold };
        self.call(self.rules(Repeat::UnlessAmbiguous), request, |channel, request| async move {
            ClusterServiceClient::new(channel).set_upgrade(request).await
        })
        .await
    }
}
